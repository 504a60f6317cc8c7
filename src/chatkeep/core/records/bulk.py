"""Deletes or tags all completions a filter finds, a few at a time, from the newest to the oldest.

What arrives meanwhile is left alone, so that a run ends.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chatkeep.core.json.types import expect
from chatkeep.core.model.completion import Metadata, Project, Query, Row, Stored
from chatkeep.core.model.ids import Name
from chatkeep.core.ports.records import Counted, Failure, Records
from chatkeep.core.records.completions import Completions, merging
from chatkeep.core.records.filters import RECORDS, ListRequest, requested
from chatkeep.core.wire import metadata
from chatkeep.core.wire.body import fields_of, shown
from chatkeep.core.wire.metadata import LimitedPatch
from chatkeep.core.wire.query import Filter, did_you_mean, object_schema
from chatkeep.errors import (
    MissingParameter,
    RecordCorrupt,
    StoreBusy,
    StoreFailed,
    TooManyProperties,
    UnknownParameter,
    UnusableValue,
)

BATCH = 16  # changes asked for at a time: deletes of searchable text are slow
DEADLINE_S = 20.0
COUNT_S = 5.0  # a store's reads are given up after ten
FILTERS: tuple[Filter, ...] = tuple(
    entry for entry in RECORDS if entry.name not in ("after", "limit", "order")
)
_METADATA = msgspec.json.Decoder(Metadata)

Late = Callable[[], bool]
# What is done to a batch: of each whether anything was, or why it could not be, in any order.
Act = Callable[[Sequence[Stored]], Awaitable[Sequence[bool | Failure]]]


class Bulk(Struct, forbid_unknown_fields=True):
    """A filter, or all: true; delete: true, or metadata to merge into what is there. From the
    newest to the oldest, beginning behind the id after."""

    filter: (
        Annotated[dict[str, Any], Meta(extra_json_schema=object_schema(FILTERS))] | UnsetType
    ) = UNSET
    all: bool = False
    after: str | None = None
    delete: bool = False
    metadata: LimitedPatch | UnsetType = UNSET
    dry_run: bool = False


class BulkOutcome(Struct, forbid_unknown_fields=True, kw_only=True):
    """Not complete: the rest is behind last_id; error says what was in the way, if not the time.
    refused had no room for more pairs, or are damaged."""

    matched: int
    deleted: int | UnsetType = UNSET
    changed: int | UnsetType = UNSET
    refused: int | UnsetType = UNSET
    complete: bool
    last_id: str | UnsetType | None = UNSET
    error: str | UnsetType | None = UNSET


class Outcome(Struct):
    """How far a run over records has come, and how much it has `done`.

    Those `refused` would have had too many pairs, or are damaged. `last` is the one looked at last.
    `stopped_by` says why a run ended in its middle.
    """

    matched: int = 0
    done: int = 0
    refused: int = 0
    last: Row | None = None
    complete: bool = True
    stopped_by: str | None = None


class Asked(Struct, frozen=True):
    """What a request asks for: the deletion of all that is found, or a patch of its metadata."""

    request: ListRequest
    patch: metadata.Patch | None
    dry_run: bool


async def bulk(
    records: Records,
    completions: Completions,
    project: Project,
    body: bytes,
    monotonic: Callable[[], float],
) -> bytes:
    """The answer to a request; the errors of a list, and of what its body says."""
    wanted = asked(body)
    query = await completions.query(project, wanted.request)
    if wanted.dry_run:
        found = await count(records, project, query)
        return msgspec.json.encode(BulkOutcome(matched=found.matched, complete=found.complete))
    patch = wanted.patch
    act = deleting(records, project) if patch is None else _changing(records, project, patch)
    outcome = await run(records, project, query, act, deadline(DEADLINE_S, monotonic))
    shown = BulkOutcome(
        matched=outcome.matched,
        complete=outcome.complete,
        last_id=None if outcome.last is None else outcome.last.id,
        error=outcome.stopped_by,
    )
    if patch is None:
        shown.deleted = outcome.done
    else:
        shown.changed, shown.refused = outcome.done, outcome.refused
    return msgspec.json.encode(shown)


async def count(records: Records, project: Project, query: Query) -> Counted:
    """How many there are, as far as that can be said while somebody waits for it."""
    return await records.count(project, query, COUNT_S)


async def run(records: Records, project: Project, query: Query, act: Act, late: Late) -> Outcome:
    """Acts on all there are, until it is too late. An error after the first batch is in the end."""
    outcome = Outcome()
    try:
        while await _batch(records, project, query, act, outcome):
            if late():
                outcome.complete = False
                break
    except (StoreBusy, StoreFailed, RecordCorrupt) as error:
        if outcome.matched == 0:
            raise
        outcome.complete = False
        outcome.stopped_by = str(error)
    return outcome


def deleting(records: Records, project: Project) -> Act:
    return lambda items: records.delete_many(project, list(map(_name, items)))


def asked(body: bytes) -> Asked:
    """Raises UnknownParameter, InvalidType, UnusableValue, MissingParameter."""
    given = fields_of(body, Bulk.__struct_fields__)
    every = expect("all", given.get("all", False), bool, "a boolean")
    after = given.get("after")
    found = _filter(given["filter"]) if "filter" in given else {}
    if every is bool(found):
        give = 'a filter, or "all": true for all completions, and not both'
        raise UnusableValue("filter", got=shown(given.get("filter")), give=give)
    if after is not None:
        found["after"] = expect("after", after, str, "a string")
    dry_run = expect("dry_run", given.get("dry_run", False), bool, "a boolean")
    return Asked(requested(found), _patch(given), dry_run)


def _patch(given: dict[str, Any]) -> metadata.Patch | None:
    delete = expect("delete", given.get("delete", False), bool, "a boolean")
    if "metadata" not in given:
        if not delete:
            raise MissingParameter("delete")
        return None
    if delete:
        raise UnusableValue("delete", got="true", give="either delete or metadata")
    patch = metadata.checked_patch(given["metadata"])
    metadata.merged({}, patch)  # what no completion can take is refused as a whole
    return patch


def _filter(given: Any) -> dict[str, Any]:
    known = {entry.name: entry for entry in FILTERS}
    found: dict[str, Any] = {}
    for name, value in expect("filter", given, dict, "an object").items():
        if name not in known:
            raise UnknownParameter(f"filter.{name}", hint=did_you_mean(name, known))
        found[name] = _value(known[name], f"filter.{name}", value)
    return {name: value for name, value in found.items() if value != {}}


def _value(entry: Filter, name: str, value: Any) -> Any:
    match entry.schema["type"]:
        case "object":
            return metadata.checked(value, name)
        case "integer":
            return entry.read(name, str(expect(name, value, int, "an integer")))
        case _:
            return entry.read(name, expect(name, value, str, "a string"))


async def _batch(
    records: Records, project: Project, query: Query, act: Act, outcome: Outcome
) -> bool:
    """Whether there are more behind it."""
    after = query.after if outcome.last is None else outcome.last.seq
    batch = msgspec.structs.replace(query, after=after, order="desc", limit=BATCH)
    page = await records.page(project, batch, damaged=True)
    results = await act(page.items)
    failures = [one for one in results if isinstance(one, Failure)]
    refused = [one for one in failures if isinstance(one, TooManyProperties | RecordCorrupt)]
    outcome.matched += len(results) - len(failures) + len(refused)
    outcome.done += results.count(True)
    outcome.refused += len(refused)
    for failure in failures:
        if failure not in refused:
            raise failure
    if page.items:
        outcome.last = page.items[-1].row
    return page.has_more


def _changing(records: Records, project: Project, patch: metadata.Patch) -> Act:
    change = merging(patch)

    def differs(item: Stored) -> bool:
        current = _METADATA.decode(item.row.metadata)
        return any(current.get(key) != text for key, text in patch.items())

    async def act(items: Sequence[Stored]) -> list[bool | Failure]:
        wanted = [_name(item) for item in items if differs(item)]
        changed = await records.change_metadata_many(project, wanted, change)
        same: list[bool | Failure] = [False] * (len(items) - len(wanted))
        return same + [one if isinstance(one, Failure) else one is not None for one in changed]

    return act


def _name(item: Stored) -> Name:
    return Name(item.row.seq, item.row.tag, item.id)


def deadline(seconds: float, monotonic: Callable[[], float]) -> Late:
    end = monotonic() + seconds
    return lambda: monotonic() >= end
