"""Deleting and tagging what a filter finds: what is refused, and what is done."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from support.memory.data import Data
from support.memory.store import MemoryStore
from support.samples import as_json, keep, listed, place, row

from chatkeep.core.model.completion import Project, Query
from chatkeep.core.model.ids import Name
from chatkeep.core.ports.records import Failure
from chatkeep.core.records import bulk
from chatkeep.core.records.completions import Completions
from chatkeep.errors import (
    InvalidType,
    InvalidValue,
    MissingParameter,
    NotJson,
    RecordCorrupt,
    Refusal,
    SearchOff,
    StoreFailed,
    TooManyProperties,
    UnknownParameter,
    UnusableValue,
)

FULL = {str(n): "" for n in range(16)}


async def asked(store: MemoryStore, project: Project, **body: Any) -> dict[str, Any]:
    """What a request is answered."""
    given = msgspec.json.encode(body)
    answer = await bulk.bulk(store, Completions(store), project, given, lambda: 0.0)
    decoded: dict[str, Any] = msgspec.json.decode(answer)
    return decoded


async def planted(store: MemoryStore, project: Project) -> None:
    await keep(store, project, *(row(place(n), {"half": str(n % 2)}) for n in range(40)))


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", NotJson),
        (b"{}", UnusableValue),
        (b'{"all":true}', MissingParameter),
        (b'{"all":"yes","delete":true}', InvalidType),
        (b'{"all":true,"filter":{"model":"m"},"delete":true}', UnusableValue),
        (b'{"filter":{},"delete":true}', UnusableValue),
        (b'{"filter":{"metadata":{}},"delete":true}', UnusableValue),
        (b'{"filter":{"models":"m"},"delete":true}', UnknownParameter),
        (b'{"filter":{"limit":5},"delete":true}', UnknownParameter),
        (b'{"filter":{"key":"x"},"delete":true}', InvalidType),
        (b'{"filter":{"status":"done"},"delete":true}', InvalidValue),
        (b'{"all":true,"after":"nobody","delete":true}', InvalidValue),
        (b'{"all":true,"delete":true,"metadata":{"a":"b"}}', UnusableValue),
        (b'{"all":true,"metadata":{"a":1}}', InvalidType),
        (b'{"all":true,"delete":true,"now":true}', UnknownParameter),
        (msgspec.json.encode({"all": True, "metadata": {**FULL, "17": ""}}), TooManyProperties),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_nothing_is_done(
    store: MemoryStore, project: Project, body: bytes, refusal: type[Refusal]
) -> None:
    await planted(store, project)
    with pytest.raises(refusal):
        await bulk.bulk(store, Completions(store), project, body, lambda: 0.0)
    assert len(await listed(store, project)) == 40


async def test_words_cannot_be_asked_for_where_they_are_not_searched(
    store: MemoryStore, project: Project
) -> None:
    off = msgspec.structs.replace(project, full_text=False)
    with pytest.raises(SearchOff):
        await asked(store, off, filter={"q": "word"}, delete=True)


async def test_all_that_a_filter_finds_is_deleted(store: MemoryStore, project: Project) -> None:
    await planted(store, project)
    filtered = {"metadata": {"half": "1"}}
    counted = await asked(store, project, filter=filtered, delete=True, dry_run=True)
    assert counted == {"matched": 20, "complete": True}
    assert len(await listed(store, project)) == 40
    done = await asked(store, project, filter=filtered, delete=True)
    last = row(place(1)).id
    ended = {"complete": True, "last_id": last, "error": None}
    assert done == {"matched": 20, "deleted": 20} | ended
    assert len(await listed(store, project)) == 20
    await asked(store, project, all=True, delete=True, after=row(place(20)).id)
    assert await listed(store, project) == [place(n) for n in range(38, 19, -2)]


async def test_pairs_are_merged_and_those_without_room_are_left(
    store: MemoryStore, project: Project
) -> None:
    await keep(store, project, *(row(place(n), {"n": str(n)}) for n in range(3)))
    await keep(store, project, row(place(3), FULL), row(place(4), {"new": "yes"}))
    done = await asked(store, project, all=True, metadata={"new": "yes", "n": None})
    assert (done["matched"], done["changed"], done["refused"]) == (5, 3, 1)
    assert len(await listed(store, project, Query(metadata={"new": "yes"}))) == 4
    assert await listed(store, project, Query(metadata=FULL)) == [place(3)]


class Damaged(MemoryStore):
    """Some cannot be changed or deleted, and the disk may fail."""

    def __init__(self, data: Data, failure: Failure) -> None:
        super().__init__(data)
        self._failure = failure

    async def delete_many(self, project: Project, names: Sequence[Name]) -> list[bool | Failure]:
        damaged = [name for name in names if name.seq % 10 == 0]
        done = await super().delete_many(project, [one for one in names if one not in damaged])
        return [*done, *(self._failure for _ in damaged)]


async def test_what_is_damaged_is_counted_and_left(
    data: Data, store: MemoryStore, project: Project
) -> None:
    await planted(store, project)
    damaged = Damaged(data, RecordCorrupt("it is damaged"))
    run = bulk.deleting(damaged, project)
    outcome = await bulk.run(damaged, project, Query(), run, lambda: False)
    assert (outcome.matched, outcome.done, outcome.refused) == (40, 36, 4)
    assert (outcome.complete, outcome.stopped_by) == (True, None)


async def test_an_error_behind_the_first_batch_ends_the_run_and_is_said(
    data: Data, store: MemoryStore, project: Project
) -> None:
    await planted(store, project)
    failing = Damaged(data, StoreFailed(detail="the disk is full"))
    done = await asked(failing, project, all=True, delete=True, after=row(place(30)).id)
    assert (done["matched"], done["deleted"], done["complete"]) == (15, 15, False)
    assert "the disk is full" in done["error"]


async def test_a_map_that_would_not_change_is_not_written(
    store: MemoryStore, project: Project
) -> None:
    await keep(store, project, row(place(1), {"a": "1"}))
    before = await store.page(project, Query())
    done = await asked(store, project, all=True, metadata={"a": "1", "b": None})
    assert (done["matched"], done["changed"]) == (1, 0)
    assert before.items[0].row.metadata == as_json({"a": "1"})
