"""What a sweep and the hourly upkeep find in a file, damaged as it may be."""

from typing import Any

import pytest
from support.backends import SqliteBackend
from support.conversations import Talks, call, message
from support.database import direct
from support.retention import NOW, retain, still, with_bodies
from support.samples import SECOND, keep, listed, place, row, said

from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import Seq
from chatkeep.core.ports.store import Store
from chatkeep.core.records import retention
from chatkeep.core.records.retention import DAY_S
from chatkeep.store.encoding.chain import MAX_AGE_S

SAID = message("assistant", "Once upon a time")


@pytest.fixture
async def places(store: Store, project: Project) -> list[Seq]:
    """Of forty days, one a day."""
    found = [place(0, SECOND + day * DAY_S) for day in range(40)]
    await keep(store, project, *map(row, found))
    return found


async def test_one_project_that_fails_does_not_keep_the_others_from_it(
    store: Store, project: Project, other: Project, places: list[Seq], backend: SqliteBackend
) -> None:
    theirs = place(1)
    await keep(store, other, row(theirs))
    for one in (project, other):
        await retain(store, one, 30)
    with direct(backend.path) as connection:
        connection.execute("UPDATE posting SET more = x'00' WHERE project = ?", (project.id,))
    ended = {p.name: outcome async for p, _, outcome in retention.sweep(store, store, NOW, still)}
    assert ended["ours"].stopped_by is not None
    assert (ended["ours"].done, ended["theirs"].done) == (0, 1)
    assert await listed(store, other) == []


async def test_a_body_that_is_damaged_is_let_go_of_like_the_others(
    store: Store, project: Project, other: Project, backend: SqliteBackend
) -> None:
    for n in range(6):
        await store.insert(project, row(place(n)), said(str(n)))
    await store.insert(other, row(place(6)), said())
    for one in (project, other):
        await retain(store, one, 1, "retain_body_days")
    with direct(backend.path) as connection:
        connection.execute("UPDATE record SET body = x'00' WHERE seq = ?", (place(3),))
    ended = {p.name: outcome async for p, _, outcome in retention.sweep(store, store, NOW, still)}
    assert ended["ours"].stopped_by is None
    assert (ended["ours"].done, ended["theirs"].done) == (6, 1)
    assert await with_bodies(store, project) == []


async def test_nobody_goes_on_any_more_from_what_is_a_day_old(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    talks = Talks(store, project)
    told = message("user", "A story, please")
    old = [await talks.keep(call([told], seed=n), SAID, at=place(n)) for n in range(600)]
    new = await talks.keep(call([told, told]), SAID, at=place(1, SECOND + MAX_AGE_S))
    await store.upkeep(SECOND + MAX_AGE_S)
    assert prefix_hashes_in(backend) == 601
    await store.upkeep(SECOND + MAX_AGE_S + 1)
    assert prefix_hashes_in(backend) == 1
    assert backend.faults() == []
    await talks.check(old[0], old[-1], new)
    for one in (old[0], new):
        await talks.delete(one)
    assert backend.faults() == []


async def test_a_prefix_hash_that_is_missing_and_was_not_pruned_is_a_fault(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    talks = Talks(store, project)
    for n, second in enumerate((SECOND, SECOND + MAX_AGE_S)):
        await talks.keep(call([message("user", str(n))]), SAID, at=place(n, second))
    await store.upkeep(SECOND + MAX_AGE_S + 1)
    with direct(backend.path) as connection:
        connection.execute("DELETE FROM prefix_hash")
    assert len(backend.faults()) == 1


async def test_a_prefix_hash_that_is_wrong_is_a_fault_also_where_some_may_be_gone(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    talks = Talks(store, project)
    await talks.keep(call([message("user", "hi")]), SAID, at=place(1))
    await store.upkeep(SECOND + MAX_AGE_S + 1)
    late = await talks.keep(call([message("user", "late")]), SAID, at=place(2))
    assert backend.faults() == []
    with direct(backend.path) as connection:
        connection.execute("INSERT INTO prefix_hash VALUES (?, 7, ?)", (project.id, late.row.seq))
    assert backend.faults() == [f"prefix hash (7, {late.row.seq}) should not be there"]


def prefix_hashes_in(backend: SqliteBackend) -> int:
    with direct(backend.path) as connection:
        found: Any = connection.execute("SELECT count(*) FROM prefix_hash").fetchall()
    return int(found[0][0])
