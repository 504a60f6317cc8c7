"""What waits to be searched in SQLite: when it goes into search, and that nobody notices."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.backends import SqliteBackend
from support.database import direct
from support.samples import keep, listed, name, place, row, said, spoken

from chatkeep.core.accounts.projects import changed
from chatkeep.core.model.completion import Project, Query, Scope
from chatkeep.core.ports.store import Store
from chatkeep.store.sqlite.indexing import MOST

READ: frozenset[Scope] = frozenset({"read"})
PLANTED = "xylophonequartz"


@pytest.fixture
def backend(tmp_path: Path) -> SqliteBackend:
    return SqliteBackend(tmp_path)


@pytest.fixture
async def store(backend: SqliteBackend) -> AsyncIterator[Store]:
    store = await backend.open()
    yield store
    await store.aclose()
    assert backend.faults() == []


@pytest.fixture
async def project(store: Store) -> Project:
    return (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project


async def found(store: Store, project: Project, q: str) -> list[int]:
    """The numbers of the places, oldest first."""
    query = Query(q=q, order="asc", limit=100)
    return [seq - place(0) for seq in await listed(store, project, query)]


def searched(backend: SqliteBackend) -> list[int]:
    with direct(backend.path) as connection:
        return [seq - place(0) for (seq,) in connection.execute("SELECT seq FROM searched")]


def terms(backend: SqliteBackend) -> list[Any]:
    """All words that search has."""
    with direct(backend.path) as connection:
        connection.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab (main, search, row)")
        return [*connection.execute("SELECT term FROM terms")]


async def test_completions_go_into_search_many_at_a_time(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    for number in range(MOST - 2):
        await store.insert(project, row(place(number)), said())
    assert searched(backend) == []
    for number in range(MOST - 2, MOST + 1):
        await store.insert(project, row(place(number)), said())
    assert len(searched(backend)) >= MOST - 1


async def test_much_text_does_not_wait(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    for number in range(5):
        assert searched(backend) == []
        await store.insert(project, row(place(number)), said("word " * (1 << 18)))
    assert searched(backend) == list(range(5))


async def test_who_is_deleted_in_the_commit_that_brings_the_others_in_leaves_no_words(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    await store.insert(project, row(place(0)), said(PLANTED))
    for number in range(1, MOST - 2):
        await store.insert(project, row(place(number)), said("word"))
    await asyncio.gather(
        store.insert(project, row(place(MOST)), said("last")),
        store.delete(project, name(row(place(0)))),
    )
    assert searched(backend) == [*range(1, MOST - 2), MOST]
    assert not any(PLANTED in term for term in terms(backend))


async def test_who_comes_late_does_not_wait(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    await store.insert(project, row(place(2)), said("early"))
    assert await found(store, project, "early") == [2]
    await store.insert(project, row(place(1)), said("late"))
    assert searched(backend) == [1, 2]
    assert await found(store, project, "late") == [1]


async def test_what_waits_is_found_by_whoever_opens_the_file(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    await store.insert(project, row(place(1)), said("word"))
    another = await backend.open()
    assert await found(another, project, "word") == [1]
    await another.insert(project, row(place(2)), said("word"))
    await store.insert(project, row(place(3)), said("word"))
    assert await found(store, project, "word") == [1, 2, 3]
    assert await found(another, project, "word") == [1, 2, 3]
    assert searched(backend) == [1, 2, 3]
    await another.aclose()


async def test_what_others_added_little_by_little_waits_no_longer_than_the_own(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    for number in range(MOST):
        another = await backend.open()
        await another.insert(project, row(place(number)), said("word"))
        await another.aclose()
    assert len(searched(backend)) >= MOST - 1


async def test_what_waited_when_the_process_ended_is_searched_by_its_body(
    store: Store, project: Project, backend: SqliteBackend, tmp_path: Path
) -> None:
    """Also in the middle of a conversation, beside what is damaged."""
    for number, texts in enumerate([["one"], ["one", "two"], ["three"], ["four"]]):
        await store.insert(project, row(place(number)), said(*texts))
    left = SqliteBackend(tmp_path / "left")
    left.path.parent.mkdir()
    for file in ("chatkeep.db", "chatkeep.db-wal"):
        shutil.copy(tmp_path / file, left.path.parent / file)
    with direct(left.path) as connection:
        connection.execute("UPDATE record SET body = x'00' WHERE seq = ?", (place(2),))
    store = await left.open()
    for number, word in enumerate(["one", "two"]):
        assert await found(store, project, word) == [number]
    assert await found(store, project, "three") == []
    assert await store.delete(project, name(row(place(3))))
    assert await found(store, project, "four") == []
    await store.aclose()


async def test_a_write_that_fails_takes_nobody_s_words_with_it(
    store: Store, project: Project
) -> None:
    await store.insert(project, row(place(1)), said("word"))
    outcomes = await asyncio.gather(
        store.insert(project, row(place(2)), said("word")),
        store.insert(project, row(place(1)), said("word other")),
        store.insert(project, row(place(3)), said("word")),
        return_exceptions=True,
    )
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert await found(store, project, "word") == [1, 2, 3]
    assert await found(store, project, "other") == []


@pytest.mark.parametrize("seed", range(3))
async def test_two_processes_find_each_others_words_and_leave_none(
    store: Store, project: Project, backend: SqliteBackend, seed: int
) -> None:
    """Inserted in any order, searched now and then, and all deleted in the end."""
    luck = Random(seed)
    stores = [store, await backend.open()]
    free = list(range(400))
    there: dict[int, str] = {}
    for _ in range(60):
        one = luck.choice(stores)
        coming = {free.pop(luck.choice([0, 0, 0, 9])): luck.choice("abc") for _ in range(4)}
        await asyncio.gather(
            *(one.insert(project, row(place(n)), said(f"{n} {word}")) for n, word in coming.items())
        )
        there |= coming
        for number in luck.sample(sorted(there), 2):
            assert await luck.choice(stores).delete(project, name(row(place(number))))
            del there[number]
        if luck.random() < 0.2:
            word = luck.choice("abc")
            wanted = [number for number in sorted(there) if there[number] == word]
            assert await found(luck.choice(stores), project, word) == wanted[:100]
            assert backend.faults() == []
    for number in there:
        assert await luck.choice(stores).delete(project, name(row(place(number))))
    await stores[1].aclose()
    assert terms(backend) == []


@pytest.mark.parametrize("gone", [None, "deleted", "expired", "both at once"])
async def test_words_that_waited_when_they_were_to_go_are_in_no_file(
    tmp_path: Path, gone: str | None
) -> None:
    """Without that they are, or this would look in the wrong place."""
    backend = SqliteBackend(tmp_path)
    store = await backend.open()
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    inserted = asyncio.ensure_future(store.insert(project, row(place(1)), spoken(PLANTED)))
    if gone != "both at once":
        await inserted
    if gone == "expired":
        await store.expire_bodies(project, place(2), 1)
    elif gone is not None:
        assert await store.delete(project, name(row(place(1))))
    await inserted
    await store.insert(project, row(place(3)), said("common"))
    assert await found(store, project, "common") == [3]
    assert await found(store, project, PLANTED) == ([] if gone else [1])
    await store.aclose()
    content = backend.path.read_bytes()
    assert b"common" in content
    assert (PLANTED[:5].encode() in content) is (gone is None)


async def test_what_waits_while_full_text_is_turned_on_is_not_found(
    store: Store, project: Project
) -> None:
    off = await store.change_project(project.id, changed({"full_text": False}))
    assert off
    await keep(store, off, row(place(1)))
    on = await store.change_project(project.id, changed({"full_text": True}))
    assert on
    await keep(store, on, row(place(2)))
    assert await found(store, on, "hello") == [2]
    assert await store.change_project(project.id, changed({"full_text": False}))
    assert await found(store, on, "hello") == [2]
