"""A lock held by another process, a full disk, a broken one: refused, never lost, never half."""

import asyncio
import sys
import threading
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import apsw
import msgspec
import pytest
from support.backends import SqliteBackend
from support.database import direct
from support.faultyvfs import Call, FaultyVfs, Kind
from support.patience import PATIENCE_S
from support.samples import import_one, keep, listed, name, place, replacing, row, said

from chatkeep.core.model.completion import KeyId, Project, Query, Scope
from chatkeep.core.ports.store import Store
from chatkeep.errors import StoreBusy, StoreFailed, StoreUnreadable

READ: frozenset[Scope] = frozenset({"read"})
FAULTS: list[tuple[Kind, Call, type[apsw.Error]]] = [
    ("wal", "write", apsw.FullError),
    ("wal", "write", apsw.IOError),
    ("wal", "sync", apsw.IOError),
]
LOCKER = """
import apsw, sys
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("COMMIT")
"""

Use = Callable[[Store, Project], Awaitable[object]]
READS: dict[str, Use] = {
    "get": lambda store, project: store.get(project, name(row(place(1)))),
    "alias": lambda store, project: store.alias(project, "id"),
    "page": lambda store, project: store.page(project, Query()),
    "filtered page": lambda store, project: store.page(project, Query(metadata={"a": "1"})),
    "key": lambda store, project: store.key(b"digest"),
    "key_of": lambda store, project: store.key_of(KeyId(1)),
    "keys": lambda store, project: store.keys(),
    "project": lambda store, project: store.project("ours"),
    "projects": lambda store, project: store.projects(),
    "facts": lambda store, project: store.facts(project, Query(), 10),
    "count": lambda store, project: store.count(project, Query(), 1),
    "changes": lambda store, project: anext(store.changes()),
    "check": lambda store, project: store.check(),
    "high_water": lambda store, project: store.high_water(),
}
WRITES: dict[str, Use] = {
    "insert": lambda store, project: keep(store, project, row(place(2))),
    "import_many": lambda store, project: import_one(
        store, project, "id", 0, row(0, {"a": "1"}), said()
    ),
    "change_metadata": lambda store, project: store.change_metadata(
        project, name(row(place(1))), replacing({"b": "2"})
    ),
    "delete": lambda store, project: store.delete(project, name(row(place(1)))),
    "add_key": lambda store, project: store.add_key("new", b"new", "hint", READ, 0),
    "change_key": lambda store, project: store.change_key(
        KeyId(1), lambda key: msgspec.structs.replace(key, name="new")
    ),
    "revoke_key": lambda store, project: store.revoke_key(KeyId(1), 0),
    "note_used": lambda store, project: store.note_used({KeyId(1): 5}),
    "add_project": lambda store, project: store.add_project("new", 0, lambda made: made),
    "change_project": lambda store, project: store.change_project(
        project.id, lambda old: msgspec.structs.replace(old, retain_days=5)
    ),
}


@pytest.fixture
def vfs() -> Iterator[FaultyVfs]:
    with FaultyVfs() as vfs:
        yield vfs


@pytest.fixture
def disk(tmp_path: Path, vfs: FaultyVfs) -> SqliteBackend:
    return SqliteBackend(tmp_path, vfs.name)


@pytest.fixture
async def store(disk: SqliteBackend) -> AsyncIterator[Store]:
    """Has one completion with {"a": "1"} at place(1)."""
    store = await disk.open()
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    await keep(store, project, row(place(1), {"a": "1"}))
    yield store
    await store.aclose()


@pytest.fixture
async def project(store: Store) -> Project:
    return (await store.keys())[0].project


async def state(store: Store, project: Project, disk: SqliteBackend) -> object:
    """All that a failed write might have changed."""
    page = await store.page(project, Query(limit=100))
    alias = await store.alias(project, "id")
    return page, alias, await store.keys(), disk.keys_version(), await store.high_water()


@contextmanager
def locked(disk: SqliteBackend) -> Iterator[None]:
    """Another connection is inside a write transaction."""
    with direct(disk.path, disk.vfs) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
async def test_a_lock_that_is_not_let_go_makes_the_store_busy(
    store: Store, project: Project, disk: SqliteBackend, vfs: FaultyVfs, write: Use
) -> None:
    before = await state(store, project, disk)
    vfs.on_sleep = lambda: None  # SQLite's patience passes in no time
    with locked(disk):
        for _ in range(2):
            with pytest.raises(StoreBusy):
                await write(store, project)
    assert await state(store, project, disk) == before
    await write(store, project)
    assert await state(store, project, disk) != before
    assert disk.faults() == []


async def test_everybody_waiting_for_a_lock_is_told_it_is_busy(
    store: Store, project: Project, disk: SqliteBackend, vfs: FaultyVfs
) -> None:
    vfs.on_sleep = lambda: None
    rows = [row(place(number)) for number in range(2, 202)]
    with locked(disk):
        outcomes = await asyncio.gather(
            *(keep(store, project, one) for one in rows), return_exceptions=True
        )
    assert {type(outcome) for outcome in outcomes} == {StoreBusy}
    assert await listed(store, project) == [place(1)]


async def test_waiting_for_a_lock_keeps_the_event_loop_free(
    store: Store, project: Project, disk: SqliteBackend, vfs: FaultyVfs
) -> None:
    waiting, go_on = threading.Event(), threading.Event()
    event_loop = threading.get_ident()
    sleepers: set[int] = set()

    def sleep() -> None:
        sleepers.add(threading.get_ident())
        waiting.set()
        if threading.get_ident() != event_loop:
            go_on.wait(PATIENCE_S)

    vfs.on_sleep = sleep
    with locked(disk):
        write = asyncio.ensure_future(keep(store, project, row(place(2))))
        assert await asyncio.to_thread(waiting.wait, 10)
        assert await store.get(project, name(row(place(1)))) is not None
        for read in READS.values():
            await read(store, project)
        assert not write.done()
    go_on.set()
    await write
    assert await listed(store, project) == [place(2), place(1)]
    assert event_loop not in sleepers


async def test_a_lock_held_by_another_process_is_waited_for(
    store: Store, project: Project, disk: SqliteBackend
) -> None:
    other = await create_subprocess_exec(
        sys.executable, "-c", LOCKER, disk.path, stdin=PIPE, stdout=PIPE
    )
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert await other.stdout.readline() == b"locked\n"
        write = asyncio.ensure_future(keep(store, project, row(place(2))))
        for _ in range(20):
            assert await listed(store, project) == [place(1)]
        assert not write.done()
    finally:
        other.stdin.close()
        await other.wait()
    await write
    assert await listed(store, project) == [place(2), place(1)]


@pytest.mark.parametrize(("kind", "call", "error"), FAULTS)
@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
async def test_a_write_the_disk_refuses_changes_nothing(
    store: Store,
    project: Project,
    disk: SqliteBackend,
    vfs: FaultyVfs,
    write: Use,
    kind: Kind,
    call: Call,
    error: type[apsw.Error],
) -> None:
    before = await state(store, project, disk)
    with vfs.failing(kind, call, error):
        for _ in range(2):
            with pytest.raises(StoreFailed):
                await write(store, project)
        assert await state(store, project, disk) == before
    assert disk.faults() == []
    await write(store, project)
    assert await state(store, project, disk) != before
    assert disk.faults() == []


@pytest.mark.parametrize(("kind", "call", "error"), FAULTS)
async def test_writes_together_on_a_broken_disk_each_fail(
    store: Store,
    project: Project,
    disk: SqliteBackend,
    vfs: FaultyVfs,
    kind: Kind,
    call: Call,
    error: type[apsw.Error],
) -> None:
    rows = [row(place(number)) for number in range(2, 82)]
    with vfs.failing(kind, call, error):
        outcomes = await asyncio.gather(
            *(keep(store, project, one) for one in rows), return_exceptions=True
        )
    assert {type(outcome) for outcome in outcomes} == {StoreFailed}
    await asyncio.gather(*(keep(store, project, one) for one in rows))
    assert len(await listed(store, project)) == 81
    assert disk.faults() == []


@pytest.mark.parametrize("seed", range(8))
async def test_on_an_unreliable_disk_what_was_acknowledged_is_there_and_nothing_else(
    disk: SqliteBackend, vfs: FaultyVfs, seed: int
) -> None:
    luck = Random(seed)
    store = await disk.open()
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    promised = set()

    def perhaps() -> None:
        if luck.random() < 0.1:
            raise luck.choice([apsw.FullError, apsw.IOError])("as luck has it")

    with vfs.acting("wal", "write", perhaps), vfs.acting("wal", "sync", perhaps):
        for turn in range(10):
            rows = [row(place(10 * turn + n), {"turn": str(turn)}) for n in range(8)]
            outcomes = await asyncio.gather(
                *(keep(store, project, one) for one in rows), return_exceptions=True
            )
            assert {type(outcome) for outcome in outcomes} <= {type(None), StoreFailed}
            promised |= {
                one.seq for one, outcome in zip(rows, outcomes, strict=True) if outcome is None
            }
            assert set(await listed(store, project)) == promised
    await store.aclose()
    assert disk.faults() == []
    again = await disk.open(serving=True)
    assert set(await listed(again, project)) == promised
    await again.aclose()


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
async def test_a_read_the_disk_refuses_is_a_failure_and_passes(
    disk: SqliteBackend, vfs: FaultyVfs, store: Store, project: Project, read: Use
) -> None:
    cold = await disk.open()  # has no page in memory yet
    try:
        with (
            vfs.failing("wal", "read", apsw.IOError),
            vfs.failing("db", "read", apsw.IOError),
            pytest.raises(StoreFailed),
        ):
            await read(cold, project)
        await read(cold, project)
    finally:
        await cold.aclose()


async def test_a_store_on_a_full_disk_is_not_opened(disk: SqliteBackend, vfs: FaultyVfs) -> None:
    with vfs.failing("db", "write", apsw.FullError), pytest.raises(StoreUnreadable):
        await disk.open()
    again = await disk.open()
    await again.aclose()


async def test_closing_on_a_full_disk_lets_go_of_the_store(
    disk: SqliteBackend, vfs: FaultyVfs
) -> None:
    store = await disk.open(serving=True)
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    await keep(store, project, row(place(1)))
    errors = [apsw.FullError("while the WAL is checkpointed")]

    def fail_once() -> None:
        if errors:
            raise errors.pop()

    with vfs.acting("db", "write", fail_once), suppress(StoreFailed):
        await store.aclose()
    assert not errors
    again = await disk.open(serving=True)
    assert await listed(again, project) == [place(1)]
    await again.aclose()


async def test_closing_beside_a_reader_lets_go_of_the_store(
    disk: SqliteBackend, vfs: FaultyVfs
) -> None:
    """A command that exports keeps its snapshot; the server stops all the same."""
    vfs.on_sleep = lambda: None
    store = await disk.open(serving=True)
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    reader = apsw.Connection(str(disk.path), vfs=disk.vfs)
    try:
        reader.execute("BEGIN; SELECT count(*) FROM record").fetchall()
        await keep(store, project, row(place(1)))
        await store.aclose()
        again = await disk.open(serving=True)
        assert await listed(again, project) == [place(1)]
    finally:
        reader.close()
    await again.aclose()


async def test_a_command_that_closes_does_not_hold_up_the_servers_writes(
    disk: SqliteBackend, vfs: FaultyVfs, store: Store, project: Project
) -> None:
    """Folding the WAL into the file takes the write lock and waits for everybody who reads."""
    command = await disk.open()
    reader = apsw.Connection(str(disk.path), vfs=disk.vfs)
    reader.execute("BEGIN; SELECT count(*) FROM record").fetchall()
    await keep(store, project, row(place(2)))
    closing, go_on = threading.Event(), threading.Event()

    def sleep() -> None:
        if threading.current_thread().name == "closing":
            closing.set()
            assert go_on.wait(PATIENCE_S)

    def close() -> None:
        threading.current_thread().name = "closing"
        with suppress(StoreFailed, apsw.BusyError):  # the command's own end is another test's
            asyncio.run(command.aclose())
        closing.set()

    vfs.on_sleep = sleep
    closed = asyncio.create_task(asyncio.to_thread(close))
    try:
        assert await asyncio.to_thread(closing.wait, PATIENCE_S)
        await keep(store, project, row(place(3)))
    finally:
        go_on.set()
        await closed
        reader.close()
