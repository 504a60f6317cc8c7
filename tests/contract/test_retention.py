"""What has arrived too long ago for its project is deleted, and nothing else."""

from collections.abc import Iterator
from itertools import count

import pytest
from support.retention import NOW, retain, still, with_bodies
from support.samples import SECOND, keep, listed, place, row

from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import Seq
from chatkeep.core.ports.store import Store
from chatkeep.core.records import bulk, retention
from chatkeep.core.records.retention import DAY_S, SWEEP_S, Expired


async def swept(
    store: Store, now_unix: float = NOW, what: Expired = "completions"
) -> dict[str, int]:
    return {
        one.project.name: one.outcome.done
        async for one in retention.sweep(store, store, now_unix, still)
        if one.what == what
    }


@pytest.fixture
async def places(store: Store, project: Project) -> list[Seq]:
    """Of forty days, one a day."""
    found = [place(0, SECOND + day * DAY_S) for day in range(40)]
    await keep(store, project, *map(row, found))
    return found


async def test_without_a_setting_all_is_kept_for_ever(
    store: Store, project: Project, places: list[Seq]
) -> None:
    assert await swept(store, NOW * 2) == {}
    assert len(await listed(store, project)) == 40


async def test_what_is_as_old_as_it_may_be_is_kept_for_one_more_second(
    store: Store, project: Project, places: list[Seq]
) -> None:
    await retain(store, project, 30)
    assert await swept(store) == {"ours": 10}
    assert await listed(store, project) == list(reversed(places[10:]))
    assert await swept(store) == {}
    assert await swept(store, NOW + 0.9) == {}
    assert await swept(store, NOW + 1) == {"ours": 1}
    assert await listed(store, project) == list(reversed(places[11:]))


async def test_each_project_has_its_own(
    store: Store, project: Project, other: Project, places: list[Seq]
) -> None:
    theirs = [place(1, SECOND + day * DAY_S) for day in range(40)]
    await keep(store, other, *map(row, theirs))
    await retain(store, project, 35)
    assert await swept(store) == {"ours": 5}
    await retain(store, other, 1)
    assert await swept(store) == {"theirs": 39}
    assert await listed(store, project) == list(reversed(places[5:]))
    assert await listed(store, other) == theirs[39:]


async def test_days_before_all_time_delete_nothing(
    store: Store, project: Project, places: list[Seq]
) -> None:
    await retain(store, project, 1_000_000_000)
    assert await swept(store) == {}


async def test_what_is_not_done_in_time_is_done_later(
    store: Store, project: Project, places: list[Seq]
) -> None:
    await retain(store, project, 1)
    ticks: Iterator[int] = count(step=int(SWEEP_S))
    done = []
    for _ in range(4):
        async for _, _, outcome in retention.sweep(store, store, NOW, lambda: float(next(ticks))):
            done.append((outcome.done, outcome.complete))
    assert done == [(bulk.BATCH, False), (bulk.BATCH, False), (39 - 2 * bulk.BATCH, True)]


async def test_bodies_go_when_they_are_too_old_and_rows_stay(
    store: Store, project: Project, places: list[Seq]
) -> None:
    await retain(store, project, 30, "retain_body_days")
    assert await swept(store, what="bodies") == {"ours": 10}
    assert await with_bodies(store, project) == places[10:]
    assert await listed(store, project) == list(reversed(places))
    assert await swept(store, NOW + 0.9, what="bodies") == {}
    assert await swept(store, NOW + 1, what="bodies") == {"ours": 1}
    assert await with_bodies(store, project) == places[11:]


async def test_a_sweep_deletes_completions_and_lets_go_of_bodies(
    store: Store, project: Project, other: Project, places: list[Seq]
) -> None:
    theirs = place(1)
    await keep(store, other, row(theirs))
    await retain(store, project, 30)
    await retain(store, project, 20, "retain_body_days")
    swept = [
        (p.name, what, o.done) async for p, what, o in retention.sweep(store, store, NOW, still)
    ]
    assert swept == [("ours", "completions", 10), ("ours", "bodies", 10)]
    assert await listed(store, project) == list(reversed(places[10:]))
    assert await with_bodies(store, project) == places[20:]
    assert await with_bodies(store, other) == [theirs]


async def test_bodies_that_do_not_go_in_time_go_later(
    store: Store, project: Project, places: list[Seq]
) -> None:
    await retain(store, project, 1, "retain_body_days")
    ticks: Iterator[int] = count(step=int(SWEEP_S))
    done = []
    for _ in range(4):
        async for _, _, outcome in retention.sweep(store, store, NOW, lambda: float(next(ticks))):
            done.append((outcome.done, outcome.complete))
    assert done == [(bulk.BATCH, False), (bulk.BATCH, False), (39 - 2 * bulk.BATCH, True)]
    assert await with_bodies(store, project) == places[39:]
