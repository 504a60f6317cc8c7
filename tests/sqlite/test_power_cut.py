"""The power fails at any moment: every acknowledged write is there, and nothing is half done."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import apsw
import pytest
from support.backends import SqliteBackend
from support.powercut import Cut, Recorder, Write
from support.samples import as_json, asked, listed, name, place, replacing, request, row, said

from chatkeep.core.model.completion import Project, Query, Row, Scope
from chatkeep.core.model.ids import Name, Seq, counter_of
from chatkeep.core.ports.store import Store
from chatkeep.errors import StoreUnreadable
from chatkeep.store.sqlite import open_sqlite

READ: frozenset[Scope] = frozenset({"read"})
SEEDS = (None, 1, 2)
STEP = 5

State = bytes | None  # the metadata of a completion, None when there is none
Opening = Callable[[Path, str], Awaitable[Store]]


@dataclass(frozen=True)
class Promise:
    """`state` was asked for after `began` events and acknowledged after `done`."""

    began: int
    done: int
    state: State


@dataclass
class Ledger:
    """What may be found after a cut."""

    recorder: Recorder
    since: int
    promises: dict[Name, list[Promise]] = field(default_factory=lambda: defaultdict(list))

    async def note(self, named: Name, state: State, write: Awaitable[object]) -> None:
        began = self.recorder.mark()
        await write
        self.promises[named].append(Promise(began, self.recorder.mark(), state))

    def allowed(self, named: Name, at: int) -> set[State]:
        """What was acknowledged last; or what was on its way, which may have come to pass."""
        last: State = None
        on_its_way = set()
        for promise in self.promises[named]:
            if promise.done <= at:
                last = promise.state
            elif promise.began <= at:
                on_its_way.add(promise.state)
        return {last, *on_its_way}


@dataclass
class History:
    """Some life: single writes and crowds of them, small rows and large ones."""

    store: Store
    project: Project
    ledger: Ledger

    async def run(self, first: int) -> None:
        rows = [row(place(first + n), {"run": str(n), "all": "yes"}) for n in range(20)]
        for one in rows[:5]:
            await self.insert(one)
        await asyncio.gather(*map(self.insert, rows[5:]))
        await asyncio.gather(*(self.change(one, {"run": "changed"}) for one in rows[3:12]))
        await self.change(rows[0], {})
        await asyncio.gather(*map(self.delete, rows[10:14]), self.change(rows[1], {"a": "1"}))
        await self.delete(rows[15])
        await asyncio.gather(*(self.change(one, {"run": "again"}) for one in rows[:3]))

    async def insert(self, row: Row) -> None:
        write = self.store.insert(self.project, row, said(*texts_of(row.seq)))
        await self.ledger.note(name(row), row.metadata, write)

    async def change(self, row: Row, pairs: dict[str, str]) -> None:
        write = self.store.change_metadata(self.project, name(row), replacing(pairs))
        await self.ledger.note(name(row), as_json(pairs), write)

    async def delete(self, row: Row) -> None:
        await self.ledger.note(name(row), None, self.store.delete(self.project, name(row)))


def texts_of(seq: Seq) -> list[str]:
    """A conversation has ten turns: deletes fall on what others build on."""
    turn = counter_of(seq) % 10
    return [text_of(Seq(seq - turn + n)) for n in range(turn + 1)]


def text_of(seq: Seq) -> str:
    """Every fourth is large enough for pages of its own, and cannot be compressed."""
    size = 20_000 if seq % 4 == 0 else 50
    return Random(seq).randbytes(size).hex()


async def losses(cut: Cut, ledger: Ledger) -> list[str]:
    """What a restart finds missing or wrong after the cut."""
    with unsynced(cut.folder) as backend:
        try:
            store = await backend.open(serving=True)
        except StoreUnreadable as error:
            return [str(error)]
        try:
            return [*backend.faults(), *await broken_promises(store, cut.at, ledger)]
        finally:
            await store.aclose()


async def broken_promises(store: Store, at: int, ledger: Ledger) -> list[str]:
    project = (await store.keys())[0].project
    states = {named: await found_state(store, project, named) for named in ledger.promises}
    broken = [
        f"{named.seq} is {state!r}"
        for named, state in states.items()
        if state not in ledger.allowed(named, at)
    ]
    there = sorted(named.seq for named, state in states.items() if state is not None)
    if await listed(store, project, Query(order="asc", limit=100)) != there:
        broken.append("the list differs from the rows")
    return broken


@contextmanager
def unsynced(folder: Path) -> Iterator[SqliteBackend]:
    """A copy to look at, not to keep: a recorder does not really sync."""
    with Recorder(folder) as recorder:
        yield SqliteBackend(folder, recorder.vfs)


async def found_state(store: Store, project: Project, named: Name) -> State:
    found = await store.get(project, named)
    if found is None:
        return None
    assert await asked(store, project, named) == request(*texts_of(named.seq))
    return found.row.metadata


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    folder = tmp_path / "before"
    folder.mkdir()
    (folder / "chatkeep.db").touch()  # chatkeep makes the file itself, which no VFS sees
    with Recorder(folder) as recorder:
        yield recorder


@pytest.fixture(autouse=True)
def frequent_checkpoints() -> Iterator[None]:
    """So that cuts come between a checkpoint's steps too."""

    def often(connection: apsw.Connection) -> None:
        connection.wal_autocheckpoint(12)

    apsw.connection_hooks.append(often)
    yield
    apsw.connection_hooks.remove(often)


async def as_chatkeep_does(path: Path, vfs: str) -> Store:
    return await open_sqlite(path, vfs=vfs)


async def without_syncs(path: Path, vfs: str) -> Store:
    opened: list[apsw.Connection] = []
    apsw.connection_hooks.append(opened.append)
    try:
        store = await open_sqlite(path, vfs=vfs)
    finally:
        apsw.connection_hooks.remove(opened.append)
    for connection in opened:
        connection.pragma("synchronous", "off")
    return store


@asynccontextmanager
async def two_lives(recorder: Recorder, opening: Opening) -> AsyncIterator[Ledger]:
    """Of a store that was made before, with a close between them; the second one goes on."""
    path = recorder.folder / "chatkeep.db"
    store: Store = await open_sqlite(path, vfs=recorder.vfs)
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    await store.aclose()
    ledger = Ledger(recorder, since=recorder.mark())
    store = await opening(path, recorder.vfs)
    await History(store, project, ledger).run(first=100)
    await store.aclose()
    store = await opening(path, recorder.vfs)
    await History(store, project, ledger).run(first=200)
    yield ledger
    await store.aclose()


async def test_a_power_cut_during_the_first_start_leaves_a_store_that_opens(
    recorder: Recorder, tmp_path: Path
) -> None:
    store = await open_sqlite(recorder.folder / "chatkeep.db", vfs=recorder.vfs)
    for cut in recorder.cuts(tmp_path / "after", seeds=SEEDS):
        with unsynced(cut.folder) as backend:
            again = await backend.open(serving=True)
            await again.add_key("ours", b"digest", "sk-o", READ, 0)
            await again.aclose()
            assert backend.faults() == [], cut
    await store.aclose()


async def test_every_acknowledged_write_survives_a_power_cut(
    recorder: Recorder, tmp_path: Path
) -> None:
    async with two_lives(recorder, as_chatkeep_does) as ledger:
        assert_is_worth_cutting(recorder, ledger)
        for cut in recorder.cuts(tmp_path / "after", since=ledger.since, step=STEP, seeds=SEEDS):
            assert await losses(cut, ledger) == [], cut


async def test_without_syncs_the_same_test_fails(recorder: Recorder, tmp_path: Path) -> None:
    async with two_lives(recorder, without_syncs) as ledger:
        assert_is_worth_cutting(recorder, ledger)
        cut = recorder.cut(tmp_path / "after")
        found = await losses(cut, ledger)
    assert len(found) > 10, "a disk that was never told to keep anything has kept it"


def assert_is_worth_cutting(recorder: Recorder, ledger: Ledger) -> None:
    events = recorder.events[ledger.since :]
    files = {event.inode for event in events if isinstance(event, Write)}
    assert len(events) > 300
    assert len(files) >= 3, "the database and the WAL of each life"
