"""Several changes asked for at once: what each came to. One that fails takes no other with it."""

import pytest
from support.backends import Backend
from support.samples import SECOND, as_json, keep, listed, name, place, replacing, row, said

from chatkeep.core.model.completion import Project, Query, Stored
from chatkeep.core.ports.records import Expired, Import
from chatkeep.core.ports.store import Store
from chatkeep.errors import MetadataChanged

pytestmark = pytest.mark.also_encrypted


def imported(id: str, text: str = "hello") -> Import:
    return Import(id, SECOND, row(0, {"run": "1"}), said(text))


async def test_of_nothing_nothing_comes(store: Store, project: Project) -> None:
    assert await store.delete_many(project, []) == []
    assert await store.change_metadata_many(project, [], replacing({})) == []
    assert await store.import_many(project, []) == []


async def test_each_delete_says_whether_there_was_one(
    store: Store, project: Project, other: Project, backend: Backend
) -> None:
    mine, kept, theirs, unknown = (row(place(n), {"a": "1"}) for n in range(4))
    await keep(store, project, mine, kept)
    await keep(store, other, theirs)
    names = [name(one) for one in (unknown, mine, theirs)]
    assert await store.delete_many(project, names) == [False, True, False]
    assert await store.delete_many(project, names) == [False] * 3
    assert await listed(store, project, Query(metadata={"a": "1"})) == [kept.seq]
    assert await listed(store, other) == [theirs.seq]
    assert backend.faults() == []


async def test_each_change_gives_its_record_or_why_there_is_none(
    store: Store, project: Project, backend: Backend
) -> None:
    rows = [row(place(n), {"n": str(n)}) for n in range(3)]
    await keep(store, project, *rows)

    def change(current: bytes) -> bytes:
        if current == as_json({"n": "1"}):
            raise MetadataChanged
        return as_json({"n": "new"})

    names = [name(one) for one in (*rows, row(place(9)))]
    first, refused, last, unknown = await store.change_metadata_many(project, names, change)
    assert isinstance(first, Stored)
    assert isinstance(last, Stored)
    assert [first.row.seq, last.row.seq] == [place(0), place(2)]
    assert first == await store.get(project, names[0])
    assert isinstance(refused, MetadataChanged)
    assert unknown is None
    assert await listed(store, project, Query(metadata={"n": "new"})) == [place(2), place(0)]
    assert await listed(store, project, Query(metadata={"n": "1"})) == [place(1)]
    assert backend.faults() == []


async def test_each_import_gives_its_row_or_says_that_it_was_there(
    store: Store, project: Project, backend: Backend
) -> None:
    await store.import_many(project, [imported("known")])
    ids = ["a", "known", "b", "a"]
    kept = await store.import_many(project, [imported(id) for id in ids])
    assert [getattr(one, "id", None) for one in kept] == ["a", None, "b", None]
    assert len(await listed(store, project)) == 3
    assert backend.faults() == []


async def test_as_many_bodies_go_as_are_asked_for_the_oldest_first(
    store: Store, project: Project, backend: Backend
) -> None:
    rows = [row(place(n)) for n in range(7)]
    await keep(store, project, *rows[::-1])
    for limit, left in ((3, [3, 4, 5, 6]), (2, [5, 6])):
        assert await store.expire_bodies(project, place(6), limit) == Expired(limit, more=True)
        found = [await store.get(project, name(one)) for one in rows]
        assert [n for n, one in enumerate(found) if one and one.has_body] == left
    assert await store.expire_bodies(project, place(6), 4) == Expired(1, more=False)
    assert await store.expire_bodies(project, place(6), 4) == Expired(0, more=False)
    assert backend.faults() == []
