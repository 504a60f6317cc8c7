"""A run over many completions: it ends, says how far it came, and can go on from there."""

from collections.abc import Sequence

import pytest
from support.samples import keep, listed, place, row

from chatkeep.core.model.completion import Project, Query, Stored
from chatkeep.core.ports.records import Counted, Failure
from chatkeep.core.ports.store import Store
from chatkeep.core.records import bulk
from chatkeep.errors import StoreBusy, StoreFailed

pytestmark = pytest.mark.also_encrypted

MANY = 3 * bulk.BATCH + 5


def never() -> bool:
    return False


def at_once() -> bool:
    return True


async def planted(store: Store, project: Project) -> None:
    await keep(store, project, *(row(place(n)) for n in range(MANY)))


async def test_a_run_that_is_late_says_so_and_goes_on_from_where_it_stopped(
    store: Store, project: Project
) -> None:
    await planted(store, project)
    seen: list[int] = []

    async def act(items: Sequence[Stored]) -> list[bool | Failure]:
        seen.extend(item.row.seq for item in items)
        return [True] * len(items)

    query, complete = Query(), False
    while not complete:
        outcome = await bulk.run(store, project, query, act, at_once)
        assert outcome.matched == outcome.done <= bulk.BATCH
        assert outcome.last is not None
        complete, query = outcome.complete, Query(after=outcome.last.seq)
    assert seen == [place(n) for n in reversed(range(MANY))]


async def test_what_arrives_meanwhile_is_left(store: Store, project: Project) -> None:
    await planted(store, project)
    delete = bulk.deleting(store, project)
    arrived = iter(range(MANY, 2 * MANY))

    async def act(items: Sequence[Stored]) -> Sequence[bool | Failure]:
        await keep(store, project, *(row(place(next(arrived))) for _ in items))
        return await delete(items)

    outcome = await bulk.run(store, project, Query(), act, never)
    assert (outcome.matched, outcome.done, outcome.complete) == (MANY, MANY, True)
    assert await listed(store, project) == [place(n) for n in reversed(range(MANY, 2 * MANY))]


async def test_what_another_deletes_meanwhile_is_not_counted_as_done(
    store: Store, project: Project
) -> None:
    await planted(store, project)
    delete = bulk.deleting(store, project)

    async def act(items: Sequence[Stored]) -> Sequence[bool | Failure]:
        await delete(items)
        return await delete(items)

    outcome = await bulk.run(store, project, Query(), act, never)
    assert (outcome.matched, outcome.done) == (MANY, 0)


async def test_a_store_that_fails_in_the_middle_ends_the_run_with_what_was_done(
    store: Store, project: Project
) -> None:
    await planted(store, project)
    delete = bulk.deleting(store, project)
    failing = place(MANY - bulk.BATCH - 3)

    async def act(items: Sequence[Stored]) -> list[bool | Failure]:
        done = await delete([item for item in items if item.row.seq != failing])
        failed = [item for item in items if item.row.seq == failing]
        return [*done, *(StoreFailed(detail="the disk is full") for _ in failed)]

    outcome = await bulk.run(store, project, Query(), act, never)
    done = 2 * bulk.BATCH - 1
    assert (outcome.matched, outcome.done, outcome.complete) == (done, done, False)
    assert outcome.stopped_by is not None
    assert outcome.last is not None
    assert outcome.last.seq == place(MANY - bulk.BATCH)
    assert len(await listed(store, project)) == MANY - done
    assert failing in await listed(store, project)


async def test_a_store_that_takes_nothing_is_an_error(store: Store, project: Project) -> None:
    await planted(store, project)

    async def act(items: Sequence[Stored]) -> list[bool | Failure]:
        return [StoreBusy(detail="4096 writes are waiting") for _ in items]

    with pytest.raises(StoreBusy):
        await bulk.run(store, project, Query(), act, never)


async def test_a_count_that_is_late_is_not_complete(store: Store, project: Project) -> None:
    await planted(store, project)
    assert await bulk.count(store, project, Query()) == Counted(MANY, complete=True)
    assert await store.count(project, Query(limit=3), 1000) == Counted(MANY, complete=True)
    assert await store.count(project, Query(), 0) == Counted(1, complete=False)
    assert await store.count(project, Query(model="other"), 0) == Counted(0, complete=True)
