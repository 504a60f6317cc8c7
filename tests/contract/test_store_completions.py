"""Keeping, reading, changing and deleting one completion."""

from collections.abc import Awaitable, Callable

import pytest
from support.backends import Backend
from support.samples import (
    SECOND,
    answer,
    as_json,
    asked,
    keep,
    listed,
    name,
    other_tag,
    place,
    replacing,
    row,
    said,
)

from chatkeep.core.model.completion import KeyId, Project, ProjectId, Query, Usage
from chatkeep.core.model.ids import IMPORT_NODE, Name, encode
from chatkeep.core.model.record import Record, cut
from chatkeep.core.ports.store import Store
from chatkeep.errors import MetadataChanged, StoreFailed

pytestmark = pytest.mark.also_encrypted

Use = Callable[[Store, Project, Name], Awaitable[object]]

USES: dict[str, Use] = {
    "get": lambda store, project, name: store.get(project, name),
    "change": lambda store, project, name: store.change_metadata(project, name, replacing({})),
    "delete": lambda store, project, name: store.delete(project, name),
}


@pytest.fixture(params=sorted(USES))
def use(request: pytest.FixtureRequest) -> Use:
    return USES[request.param]


async def test_an_unknown_name_is_not_found(store: Store, project: Project, use: Use) -> None:
    assert not await use(store, project, name(row(place(1))))


async def test_another_projects_name_is_not_found(
    store: Store, project: Project, other: Project, use: Use
) -> None:
    theirs = row(place(1), {"run": "1"})
    await keep(store, other, theirs)
    assert not await use(store, project, name(theirs))
    kept = await store.get(other, name(theirs))
    assert kept is not None
    assert kept.row == theirs


async def test_a_wrong_tag_is_not_found(store: Store, project: Project, use: Use) -> None:
    kept = row(place(1), {"run": "1"})
    await keep(store, project, kept)
    assert not await use(store, project, other_tag(name(kept)))
    found = await store.get(project, name(kept))
    assert found is not None
    assert found.row == kept


async def test_a_deleted_completion_is_not_found(store: Store, project: Project, use: Use) -> None:
    kept = row(place(1))
    await keep(store, project, kept)
    assert await store.delete(project, name(kept))
    assert not await use(store, project, name(kept))


async def test_a_change_is_asked_for_nothing_but_the_row_named(
    store: Store, project: Project, other: Project
) -> None:
    kept = row(place(1))
    await keep(store, other, kept)
    asked: list[bytes] = []

    def change(current: bytes) -> bytes:
        asked.append(current)
        return current

    await store.change_metadata(project, name(kept), change)
    await store.change_metadata(other, other_tag(name(kept)), change)
    assert asked == []


async def test_a_place_that_is_taken_is_refused_and_kept_as_it_was(
    store: Store, project: Project, other: Project, backend: Backend
) -> None:
    first = row(place(1), {"run": "first"})
    await keep(store, project, first)
    for owner in (project, other):
        with pytest.raises(StoreFailed):
            await store.insert(owner, row(place(1), {"run": "second"}, b"another tag.."), said())
    found = await store.get(project, name(first))
    assert found is not None
    assert (found.row, found.answer) == (first, answer("hello"))
    assert backend.faults() == []


async def test_a_project_that_does_not_exist_cannot_keep_anything(
    store: Store, project: Project, backend: Backend
) -> None:
    stranger = Project(ProjectId(project.id + 1000), "stranger", b"secret")
    with pytest.raises(StoreFailed):
        await keep(store, stranger, row(place(1)))
    assert backend.faults() == []


async def test_a_refused_change_leaves_the_row_as_it_was(
    store: Store, project: Project, backend: Backend
) -> None:
    kept = row(place(1), {"run": "1"})
    await keep(store, project, kept)

    def refuse(current: bytes) -> bytes:
        assert current == kept.metadata
        raise MetadataChanged

    with pytest.raises(MetadataChanged):
        await store.change_metadata(project, name(kept), refuse)
    found = await store.get(project, name(kept))
    assert found is not None
    assert found.row == kept
    assert await listed(store, project, Query(metadata={"run": "1"})) == [kept.seq]
    assert backend.faults() == []


async def test_every_column_comes_back(store: Store, project: Project) -> None:
    plain = row(place(1), first_token_ms=40, key=KeyId(7))
    bare = row(
        place(2),
        {"": "", "a.b": 'quoted "', "日本": "\U0001f600", "'; --": "%_\\"},
        model="",
        status="partial",
        finish_reason=None,
        usage=Usage(),
        duration_ms=0,
    )
    big = row(place(3), status="failed_midstream", usage=Usage(2**53, 0, 2**53), upstream="日本")
    for kept in (plain, bare, big):
        await keep(store, project, kept)
        found = await store.get(project, name(kept))
        assert found is not None
        assert found.row == kept
        assert found.row.id == encode(kept.seq, kept.tag)


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
async def test_a_body_comes_back_byte_for_byte(store: Store, project: Project, size: int) -> None:
    kept, given = row(place(1)), bytes(range(256)) * (size // 256) + bytes(size % 256)
    await store.insert(project, kept, Record(cut(given, ()), given, "", None))
    found = await store.get(project, name(kept))
    assert found is not None
    assert found.answer == given
    assert await asked(store, project, name(kept)) == given


async def test_the_lowest_and_the_highest_place_can_be_used(store: Store, project: Project) -> None:
    ends = [row(0), row((1 << 63) - 1)]
    await keep(store, project, *ends)
    assert await listed(store, project) == [(1 << 63) - 1, 0]
    for kept in ends:
        assert await store.get(project, name(kept)) is not None


async def test_what_was_written_is_read_by_every_method(store: Store, project: Project) -> None:
    """Gets and pages read through connections of their own; they must not lag behind."""
    for number in range(1, 31):
        kept = row(place(number), {"run": str(number)})
        await keep(store, project, kept)
        assert await store.get(project, name(kept)) is not None
        assert await listed(store, project, Query(limit=1)) == [kept.seq]
        await store.change_metadata(project, name(kept), replacing({"run": "changed"}))
        changed = await store.get(project, name(kept))
        assert changed is not None
        assert changed.row.metadata == as_json({"run": "changed"})
        assert await listed(store, project, Query(metadata={"run": "changed"})) == [kept.seq]
        assert await listed(store, project, Query(metadata={"run": str(number)})) == []
        await store.delete(project, name(kept))
        assert await store.get(project, name(kept)) is None
        assert await listed(store, project) == []


async def test_a_change_gets_the_old_map_and_answers_the_new_row(
    store: Store, project: Project, backend: Backend
) -> None:
    kept = row(place(1), {"a": "1", "b": "2"})
    await keep(store, project, kept)
    asked: list[bytes] = []

    def change(current: bytes) -> bytes:
        asked.append(current)
        return as_json({"b": "2", "c": "3"})

    changed = await store.change_metadata(project, name(kept), change)
    assert changed is not None
    assert asked[0] == kept.metadata
    assert changed.row.metadata == as_json({"b": "2", "c": "3"})
    assert changed.answer == answer("hello")
    assert changed == await store.get(project, name(kept))
    for pair, found in (({"a": "1"}, []), ({"b": "2"}, [kept.seq]), ({"c": "3"}, [kept.seq])):
        assert await listed(store, project, Query(metadata=pair)) == found
    assert backend.faults() == []


async def test_metadata_may_be_cleared_and_set_again(
    store: Store, project: Project, backend: Backend
) -> None:
    kept = row(place(1), {"run": "1"})
    await keep(store, project, kept)
    for pairs in ({}, {}, {"run": "1"}, {"run": "1"}, {"run": "2"}):
        changed = await store.change_metadata(project, name(kept), replacing(pairs))
        assert changed is not None
        assert changed.row.metadata == as_json(pairs)
        assert backend.faults() == []


async def test_a_full_map_of_the_longest_texts_is_kept_and_found(
    store: Store, project: Project, backend: Backend
) -> None:
    full = {f"{number:02}{'ключ' * 15}"[:64]: "値" * 512 for number in range(16)}
    kept = row(place(1), full)
    await keep(store, project, kept)
    assert await listed(store, project, Query(metadata=full)) == [kept.seq]
    await store.delete(project, name(kept))
    assert backend.faults() == []


async def test_a_delete_answers_true_once(store: Store, project: Project, backend: Backend) -> None:
    kept = row(place(1), {"run": "1"})
    await keep(store, project, kept)
    assert [await store.delete(project, name(kept)) for _ in range(3)] == [True, False, False]
    assert await listed(store, project, Query(metadata={"run": "1"})) == []
    assert backend.faults() == []


async def test_a_new_store_has_used_no_place(store: Store, project: Project) -> None:
    assert await store.high_water() is None


async def test_high_water_survives_the_deletion_of_the_newest(
    store: Store, project: Project, backend: Backend
) -> None:
    rows = [row(place(number)) for number in (1, 2, 3)]
    await keep(store, project, *rows)
    for kept in (rows[2], rows[0], rows[1]):
        await store.delete(project, name(kept))
        assert await store.high_water() == place(3)
    again = await backend.open()
    try:
        assert await again.high_water() == place(3)
    finally:
        await again.aclose()


async def test_high_water_counts_every_project(
    store: Store, project: Project, other: Project
) -> None:
    await keep(store, project, row(place(1)))
    await keep(store, other, row(place(2)))
    assert await store.high_water() == place(2)


async def test_high_water_is_this_nodes_own(store: Store, project: Project) -> None:
    mine = row(place(1, SECOND, store.node))
    strangers = [row(place(1, SECOND + 1, node)) for node in (store.node + 1, IMPORT_NODE)]
    await keep(store, project, mine, *strangers)
    assert await store.high_water() == mine.seq
    await store.delete(project, name(strangers[0]))
    assert await store.high_water() == mine.seq


async def test_the_data_are_there_after_opening_again(backend: Backend) -> None:
    store = await backend.open()
    project = (await store.add_key("ours", b"digest", "sk-o", frozenset({"read"}), 0)).project
    kept = row(place(1), {"run": "1"})
    await keep(store, project, kept)
    await store.aclose()
    again = await backend.open()
    found = await again.get(project, name(kept))
    assert found is not None
    assert (found.row, found.answer) == (kept, answer("hello"))
    assert await listed(again, project, Query(metadata={"run": "1"})) == [kept.seq]
    await again.aclose()
