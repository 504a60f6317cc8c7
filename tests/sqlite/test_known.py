"""What SQLite's writer remembers of the file counts only while nobody else writes to it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from support.backends import Backend, SqliteBackend
from support.faultyvfs import FaultyVfs
from support.samples import keep, listed, name, place, row

from chatkeep.core.model.completion import Project, Query, Scope
from chatkeep.core.ports.store import Store
from chatkeep.errors import StoreFailed

READ: frozenset[Scope] = frozenset({"read"})
RUN = {"run": "1"}
ALL = Query(metadata=RUN, limit=1000)


@pytest.fixture
def vfs() -> Iterator[FaultyVfs]:
    with FaultyVfs() as vfs:
        yield vfs


async def test_two_who_write_in_turn_lose_nothing_of_each_other(
    store: Store, project: Project, backend: Backend
) -> None:
    theirs = await backend.open()
    rows = [row(place(number), RUN, model=f"model {number % 3}") for number in range(300)]
    for number, one in enumerate(rows):
        await keep((store, theirs)[number % 2], project, one)
    assert await listed(theirs, project, ALL) == [one.seq for one in reversed(rows)]
    await theirs.aclose()
    assert await listed(store, project, ALL) == [one.seq for one in reversed(rows)]
    assert backend.faults() == []


async def test_what_somebody_else_deleted_does_not_come_back(
    store: Store, project: Project, backend: Backend
) -> None:
    rows = [row(place(number), RUN) for number in range(4)]
    await keep(store, project, *rows[:3])
    theirs = await backend.open()
    for one in rows[1:3]:
        assert await theirs.delete(project, name(one))
    await theirs.aclose()
    await keep(store, project, rows[3])
    assert await listed(store, project, ALL) == [rows[3].seq, rows[0].seq]
    assert backend.faults() == []


async def test_what_was_rolled_back_is_not_remembered(tmp_path: Path, vfs: FaultyVfs) -> None:
    backend = SqliteBackend(tmp_path, vfs.name)
    store = await backend.open()
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    rows = [row(place(number), RUN, model="new" if number > 1 else "old") for number in range(6)]
    await keep(store, project, *rows[:2])
    with vfs.failing("wal", "sync", apsw.IOError):
        for some in (rows[2:3], rows[3:5]):
            writes = (keep(store, project, one) for one in some)
            outcomes = await asyncio.gather(*writes, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreFailed}
    await keep(store, project, rows[5])
    assert await listed(store, project, ALL) == [rows[5].seq, rows[1].seq, rows[0].seq]
    assert await listed(store, project, Query(model="new")) == [rows[5].seq]
    await store.aclose()
    assert backend.faults() == []
