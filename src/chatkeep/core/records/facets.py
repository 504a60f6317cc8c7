"""Which values completions have, and how often: counted over the newest ones, never over all."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chatkeep.core.model.completion import Facts, Metadata, Project, Query
from chatkeep.core.ports.records import Records
from chatkeep.core.records.filters import RECORDS
from chatkeep.core.wire import metadata
from chatkeep.core.wire.query import Filter, Pairs, read, rows

LOOKED_AT = 10_000  # completions at the most
SHOWN = 100  # values of a facet, the most frequent ones

_METADATA = msgspec.json.Decoder(Metadata)


def _metadata_key(name: str, value: str) -> str:
    metadata.check_characters(name, value, "a key")
    return value


FACETS: tuple[Filter, ...] = (
    Filter(
        "values_of",
        _metadata_key,
        {"type": "string"},
        "Count the values of this metadata key as well.",
    ),
    *rows(RECORDS, "model", "status", "finish_reason", "upstream", "key", "metadata"),
    *rows(RECORDS, "created_after", "created_before"),
)


class Value(Struct):
    """A value, and how many of the completions have it."""

    value: Any
    count: int


class Facet(Struct):
    """The most frequent values, and whether there are more of them."""

    values: list[Value]
    more: bool


class FacetsByName(Struct):
    """Those of `values` when a metadata key's values were asked for."""

    model: Facet
    status: Facet
    finish_reason: Facet
    upstream: Facet
    key: Facet
    metadata_keys: Facet
    values: Facet | UnsetType = UNSET


class Facets(Struct):
    """What the newest completions have; complete when those are all there are."""

    looked_at: int
    complete: bool
    facets: FacetsByName


async def facets(records: Records, project: Project, pairs: Pairs) -> bytes:
    """Raises what the parameters are refused with."""
    given = read(FACETS, pairs)
    values_of = given.pop("values_of", None)
    newest = await records.facts(project, Query(**given), LOOKED_AT + 1)
    # It takes some 10 ms, for which streams do not wait.
    return await asyncio.to_thread(counted, newest, values_of)


def counted(newest: Sequence[Facts], values_of: str | None) -> bytes:
    """The answer: each facet's values with their counts, and how many completions that is of.

    Of more than LOOKED_AT completions it counts the first ones, and says that there are others.
    """
    kinds: Counter[tuple[Any, ...]] = Counter()
    keys: Counter[str] = Counter()
    values: Counter[str] = Counter()
    for facts in newest[:LOOKED_AT]:
        kinds[facts[:-1]] += 1
        pairs = _METADATA.decode(facts.metadata)
        keys.update(pairs.keys())
        if values_of is not None and values_of in pairs:
            values[pairs[values_of]] += 1
    columns = {name: _facet(_column(kinds, at)) for at, name in enumerate(Facts._fields[:-1])}
    shown = FacetsByName(**columns, metadata_keys=_facet(keys))
    if values_of is not None:
        shown.values = _facet(values)
    complete = len(newest) <= LOOKED_AT
    return msgspec.json.encode(Facets(kinds.total(), complete, shown))


def _column(kinds: Counter[tuple[Any, ...]], at: int) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for kind, count in kinds.items():
        found[kind[at]] += count
    return found


def _facet(counts: Counter[Any]) -> Facet:
    shown = [Value(value, count) for value, count in counts.most_common(SHOWN)]
    return Facet(shown, len(counts) > SHOWN)
