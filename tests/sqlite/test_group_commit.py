"""Writes that arrive together: each has its own outcome, and none is answered before it lasts."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from support.backends import Backend, SqliteBackend
from support.faultyvfs import FaultyVfs
from support.listing import pairs_of
from support.patience import PATIENCE_S
from support.samples import answer, as_json, keep, listed, name, place, replacing, row, said

from chatkeep.core.model.completion import Project, ProjectId, Query, Row, Scope
from chatkeep.core.ports.store import Store
from chatkeep.errors import MetadataChanged, StoreBusy, StoreFailed

READ: frozenset[Scope] = frozenset({"read"})
MAX_WAITING = 4096  # what DESIGN.md's memory goal leaves room for

Spoil = Callable[[Store, Project, Row], Awaitable[object]]  # the row is there already


@pytest.fixture
def vfs() -> Iterator[FaultyVfs]:
    with FaultyVfs() as vfs:
        yield vfs


@pytest.fixture
def slow_backend(tmp_path: Path, vfs: FaultyVfs) -> SqliteBackend:
    return SqliteBackend(tmp_path, vfs.name)


@pytest.fixture
async def slow(slow_backend: SqliteBackend) -> AsyncIterator[Store]:
    """A store on a disk the test can hold up."""
    store = await slow_backend.open()
    yield store
    await store.aclose()


async def owner(store: Store) -> Project:
    return (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project


def counting(current: bytes) -> bytes:
    count = msgspec.json.decode(current, type=dict[str, str])["count"]
    return as_json({"count": str(int(count) + 1)})


def insert(**fields: Any) -> Spoil:
    return lambda store, project, _: store.insert(project, row(place(500), **fields), said())


def change(act: Callable[[bytes], bytes]) -> Spoil:
    return lambda store, project, kept: store.change_metadata(project, name(kept), act)


REFUSED: dict[str, Spoil] = {
    "a place that is taken": lambda store, project, kept: store.insert(project, kept, said()),
    "a project that does not exist": lambda store, project, kept: store.insert(
        Project(ProjectId(99), "nobody", b"secret"), row(place(500)), said()
    ),
    "a text where a number belongs": insert(duration_ms="slow"),
}
# What should never be asked of a store; but a mistake elsewhere must not stop everybody's writes.
BROKEN: dict[str, Spoil] = {
    "an upstream without a name": insert(upstream=None),
    "a number beyond 64 bits": insert(duration_ms=1 << 64),
    "a lone surrogate": insert(upstream="\ud83d"),
    "metadata that are not UTF-8": change(lambda _: b'{"count":"\xff"}'),
    "metadata that are not JSON": change(lambda _: b"{"),
    "metadata that are not a map of texts": change(lambda _: b'{"count":7}'),
    "a change that fails of itself": change(lambda _: b"%d" % (1 // 0)),
}


@pytest.mark.parametrize("spoil", REFUSED.values(), ids=list(REFUSED))
async def test_a_refused_write_fails_only_its_caller(
    store: Store, project: Project, spoil: Spoil, backend: Backend
) -> None:
    assert isinstance(await outcome_among_others(store, project, spoil), StoreFailed)
    assert backend.faults() == []


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=list(BROKEN))
async def test_a_write_that_breaks_fails_only_its_caller(
    store: Store, project: Project, spoil: Spoil, backend: Backend
) -> None:
    assert isinstance(await outcome_among_others(store, project, spoil), Exception)
    assert backend.faults() == []


async def outcome_among_others(store: Store, project: Project, spoil: Spoil) -> object:
    kept = row(place(0), {"count": "0"})
    await keep(store, project, kept)
    inserts = [row(place(number)) for number in range(1, 21)]
    outcomes = await asyncio.gather(
        *(store.insert(project, one, said()) for one in inserts[:10]),
        *(store.change_metadata(project, name(kept), counting) for _ in range(10)),
        spoil(store, project, kept),
        *(store.insert(project, one, said()) for one in inserts[10:]),
        return_exceptions=True,
    )
    failed = [number for number, one in enumerate(outcomes) if isinstance(one, BaseException)]
    assert failed == [20], outcomes
    assert await listed(store, project) == [one.seq for one in [*inserts[::-1], kept]]
    assert await listed(store, project, Query(metadata={"count": "10"})) == [kept.seq]
    return outcomes[20]


async def test_refused_changes_hurt_nobody_else(
    store: Store, project: Project, backend: Backend
) -> None:
    kept = row(place(0), {"count": "0"})
    await keep(store, project, kept)

    def refuse(_: bytes) -> bytes:
        raise MetadataChanged

    changes = [counting, refuse] * 10
    outcomes = await asyncio.gather(
        *(store.change_metadata(project, name(kept), change) for change in changes),
        return_exceptions=True,
    )
    assert [isinstance(one, MetadataChanged) for one in outcomes] == [False, True] * 10
    assert await listed(store, project, Query(metadata={"count": "10"})) == [kept.seq]
    assert backend.faults() == []


async def test_fifty_parallel_updates_each_get_their_own_map(
    store: Store, project: Project, backend: Backend
) -> None:
    kept = row(place(0), {"first": "map"})
    await keep(store, project, kept)
    maps = [{"own": str(number), f"key {number % 7}": "x"} for number in range(50)]
    answers = await asyncio.gather(
        *(store.change_metadata(project, name(kept), replacing(pairs)) for pairs in maps)
    )
    assert [answer and pairs_of(answer.row) for answer in answers] == maps
    last = await store.get(project, name(kept))
    assert last is not None
    assert pairs_of(last.row) in maps
    for pairs in ({"first": "map"}, *maps):
        found = await listed(store, project, Query(metadata=pairs))
        assert found == ([kept.seq] if pairs == pairs_of(last.row) else [])
    assert backend.faults() == []


async def test_parallel_changes_each_start_from_the_one_before(
    store: Store, project: Project, backend: Backend
) -> None:
    kept = row(place(0), {"count": "0"})
    await keep(store, project, kept)
    answers = await asyncio.gather(
        *(store.change_metadata(project, name(kept), counting) for _ in range(100))
    )
    counts = [int(pairs_of(answer.row)["count"]) for answer in answers if answer]
    assert sorted(counts) == list(range(1, 101))
    assert await listed(store, project, Query(metadata={"count": "100"})) == [kept.seq]
    assert backend.faults() == []


async def test_parallel_inserts_are_all_there(
    store: Store, project: Project, backend: Backend
) -> None:
    rows = [row(place(number), {"n": str(number)}) for number in range(500)]
    await asyncio.gather(*(store.insert(project, one, said(str(one.seq))) for one in rows))
    for one in rows:
        found = await store.get(project, name(one))
        assert found is not None
        assert (found.row, found.answer) == (one, answer(str(one.seq)))
    assert backend.faults() == []


async def test_of_parallel_deletes_one_says_it_was_the_one(
    store: Store, project: Project, backend: Backend
) -> None:
    kept = row(place(0), {"run": "1"})
    await keep(store, project, kept)
    answers = await asyncio.gather(*(store.delete(project, name(kept)) for _ in range(20)))
    assert sorted(answers) == [False] * 19 + [True]
    assert backend.faults() == []


async def test_a_caller_that_leaves_hurts_nobody_else(
    store: Store, project: Project, backend: Backend
) -> None:
    rows = [row(place(number)) for number in range(30)]
    writes = [asyncio.ensure_future(store.insert(project, one, said())) for one in rows]
    await asyncio.sleep(0)  # they are all waiting now
    for write in writes[::3]:
        write.cancel()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [outcome is None for outcome in outcomes] == [n % 3 != 0 for n in range(30)]
    there = await listed(store, project)
    assert {one.seq for n, one in enumerate(rows) if n % 3} <= set(there)
    assert backend.faults() == []


async def test_nobody_is_answered_before_the_disk_has_it(slow: Store, vfs: FaultyVfs) -> None:
    project = await owner(slow)
    await keep(slow, project, row(place(0)))
    reached, may_sync = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        assert may_sync.wait(10)

    with vfs.acting("wal", "sync", wait):
        writes = [asyncio.ensure_future(keep(slow, project, row(place(n)))) for n in range(1, 9)]
        try:
            assert await asyncio.to_thread(reached.wait, 10)
            # The event loop is free: others read, and see nothing that might still be lost.
            assert await slow.get(project, name(row(place(0)))) is not None
            assert await slow.get(project, name(row(place(1)))) is None
            assert await listed(slow, project) == [place(0)]
            assert not any(write.done() for write in writes)
        finally:
            may_sync.set()
        await asyncio.gather(*writes)
    assert len(await listed(slow, project)) == 9


async def test_every_answer_has_waited_for_a_sync_of_the_wal(slow: Store, vfs: FaultyVfs) -> None:
    project = await owner(slow)
    kept = row(place(0))

    async def synced(write: Awaitable[object]) -> int:
        before = vfs.calls["wal", "sync"]
        await write
        return vfs.calls["wal", "sync"] - before

    assert await synced(slow.insert(project, kept, said())) >= 1
    assert await synced(slow.change_metadata(project, name(kept), replacing({"a": "1"}))) >= 1
    assert await synced(slow.delete(project, name(kept))) >= 1
    assert await synced(slow.add_key("ours", b"another", "hint", READ, 0)) >= 1
    assert await synced(slow.get(project, name(kept))) == 0


async def test_writes_that_arrive_together_share_a_sync(slow: Store, vfs: FaultyVfs) -> None:
    project = await owner(slow)
    before = vfs.calls["wal", "sync"]
    await asyncio.gather(*(keep(slow, project, row(place(n))) for n in range(640)))
    assert vfs.calls["wal", "sync"] - before <= 640 // 64 + 2


@pytest.fixture
async def checkpointing(slow_backend: SqliteBackend) -> AsyncIterator[Store]:
    """A store that folds its WAL into the file after every commit, and has had none yet."""
    before = await slow_backend.open()
    await owner(before)
    await before.aclose()

    def often(connection: apsw.Connection) -> None:
        connection.wal_autocheckpoint(1)

    apsw.connection_hooks.append(often)
    try:
        store = await slow_backend.open()
    finally:
        apsw.connection_hooks.remove(often)
    yield store
    await store.aclose()
    assert slow_backend.faults() == []


async def test_nobody_who_was_committed_waits_for_a_checkpoint(
    checkpointing: Store, vfs: FaultyVfs
) -> None:
    project = (await checkpointing.keys())[0].project
    reached, may_sync = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        assert may_sync.wait(PATIENCE_S)

    with vfs.acting("db", "sync", wait):
        try:
            await keep(checkpointing, project, row(place(1)))
            assert await asyncio.to_thread(reached.wait, PATIENCE_S)
            assert await listed(checkpointing, project) == [place(1)]
        finally:
            may_sync.set()
        await keep(checkpointing, project, row(place(2)))
    assert await listed(checkpointing, project) == [place(2), place(1)]


async def test_the_wal_begins_anew_after_a_checkpoint(
    checkpointing: Store, slow_backend: SqliteBackend, vfs: FaultyVfs
) -> None:
    project = (await checkpointing.keys())[0].project
    await keep(checkpointing, project, row(place(0)))
    wal = slow_backend.path.with_name(f"{slow_backend.path.name}-wal")
    before = wal.stat().st_size
    await keep(checkpointing, project, *(row(place(number)) for number in range(1, 60)))
    assert wal.stat().st_size < before + 100_000
    with vfs.failing("db", "write", apsw.FullError):
        await keep(checkpointing, project, row(place(60)))  # it is in the WAL
        await keep(checkpointing, project, row(place(61)))


async def test_too_many_waiting_writes_are_refused_at_once_and_the_others_are_kept(
    slow: Store, slow_backend: SqliteBackend, vfs: FaultyVfs
) -> None:
    project = await owner(slow)
    blocker = apsw.Connection(str(slow_backend.path), vfs=slow_backend.vfs)
    blocker.execute("BEGIN IMMEDIATE")
    may_go_on = threading.Event()

    event_loop = threading.get_ident()

    def sleep() -> None:
        if threading.get_ident() != event_loop:
            may_go_on.wait(PATIENCE_S)  # SQLite counts its sleeps, so its patience does not run out

    vfs.on_sleep = sleep
    rows = [row(place(number)) for number in range(MAX_WAITING + 200)]
    try:
        writes = [asyncio.ensure_future(slow.insert(project, one, said())) for one in rows]
        done, _ = await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
        assert {type(write.exception()) for write in done} == {StoreBusy}
        assert await listed(slow, project) == []
    finally:
        blocker.execute("COMMIT")
        blocker.close()
        may_go_on.set()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {type(None), StoreBusy}
    assert MAX_WAITING <= outcomes.count(None) < MAX_WAITING + 200
    for one, outcome in zip(rows, outcomes, strict=True):
        assert (await slow.get(project, name(one)) is not None) == (outcome is None)


async def test_closing_writes_what_is_waiting(backend: Backend) -> None:
    store = await backend.open()
    project = await owner(store)
    rows = [row(place(number)) for number in range(200)]
    writes = [asyncio.ensure_future(store.insert(project, one, said())) for one in rows]
    await asyncio.sleep(0)  # they are all waiting now
    await store.aclose()
    assert await asyncio.gather(*writes) == [None] * 200
    again = await backend.open()
    for one in rows:
        assert await again.get(project, name(one)) is not None
    await again.aclose()
    assert backend.faults() == []
