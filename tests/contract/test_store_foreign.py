"""Imported completions: ids of other systems, and our own ids coming back."""

import asyncio

import pytest
from support.backends import Backend
from support.samples import (
    SECOND,
    answer,
    as_json,
    import_one,
    keep,
    listed,
    name,
    other_tag,
    place,
    replacing,
    row,
    said,
)

from chatkeep.core.model.completion import Project, Query, Row
from chatkeep.core.model.ids import IMPORT_NODE, Seq, decode, named, second_of
from chatkeep.core.ports.store import Store
from chatkeep.errors import Refusal

pytestmark = pytest.mark.also_encrypted

FOREIGN = "chatcmpl-AyPNinnUqUDYo9SAdA52NobMflmj2"  # OpenAI's own ids are not of our form


def imported_place(counter: int, second: int = SECOND) -> Seq:
    return place(counter, second, IMPORT_NODE)


async def bring(
    store: Store, project: Project, id: str, created: int = SECOND, text: str = "hello"
) -> Row | None:
    return await import_one(
        store, project, id, created, row(0, {"run": "1"}, b"random tag..."), said(text)
    )


async def test_an_unknown_id_has_no_alias(store: Store, project: Project) -> None:
    assert await store.alias(project, FOREIGN) is None


async def test_another_projects_import_has_no_alias(
    store: Store, project: Project, other: Project
) -> None:
    await bring(store, other, FOREIGN)
    assert await store.alias(project, FOREIGN) is None


async def test_a_foreign_id_gets_a_place_in_the_second_it_was_created(
    store: Store, project: Project, backend: Backend
) -> None:
    kept = await bring(store, project, FOREIGN)
    assert kept is not None
    assert kept.id == FOREIGN
    assert kept.seq == imported_place(0)
    found = await store.alias(project, FOREIGN)
    assert found == name(kept)
    stored = await store.get(project, found)
    assert stored is not None
    assert (stored.row, stored.answer) == (kept, answer("hello"))
    assert backend.faults() == []


async def test_imports_of_one_second_stand_in_the_order_they_came(
    store: Store, project: Project, other: Project
) -> None:
    await bring(store, other, "theirs")
    for number in range(1, 5):
        await bring(store, project, f"id {number}")
    assert await listed(store, project, Query(order="asc")) == [
        imported_place(number) for number in range(1, 5)
    ]


async def test_imports_are_on_pages_by_filter_and_time(store: Store, project: Project) -> None:
    await keep(store, project, row(place(1)), row(place(1, SECOND + 2)))
    kept = await bring(store, project, FOREIGN, SECOND + 1)
    assert kept is not None
    assert await listed(store, project) == [place(1, SECOND + 2), kept.seq, place(1)]
    for query in (
        Query(metadata={"run": "1"}),
        Query(created_after=SECOND + 1, created_before=SECOND + 1),
    ):
        page = await store.page(project, query)
        assert [item.row for item in page.items] == [kept]


async def test_an_import_can_be_changed_and_deleted(
    store: Store, project: Project, backend: Backend
) -> None:
    kept = await bring(store, project, FOREIGN)
    assert kept is not None
    changed = await store.change_metadata(project, name(kept), replacing({"run": "2"}))
    assert changed is not None
    assert changed.row.id == FOREIGN
    assert changed.row.metadata == as_json({"run": "2"})
    assert await store.delete(project, name(kept))
    assert await store.get(project, name(kept)) is None
    assert backend.faults() == []


@pytest.mark.parametrize("id", [FOREIGN, row(place(1)).id, "", "日本", "'; --", "x" * 500])
async def test_importing_twice_keeps_the_first(
    store: Store, project: Project, id: str, backend: Backend
) -> None:
    kept = await bring(store, project, id)
    assert kept is not None
    assert kept.id == id
    assert await bring(store, project, id, SECOND + 1, "another text") is None
    assert await listed(store, project) == [kept.seq]
    found = await store.get(project, name(kept))
    assert found is not None
    assert found.answer == answer("hello")
    assert backend.faults() == []


@pytest.mark.parametrize("id", [FOREIGN, row(place(1)).id])
async def test_of_many_imports_of_one_id_at_once_one_is_kept(
    store: Store, project: Project, id: str, backend: Backend
) -> None:
    answers = await asyncio.gather(*(bring(store, project, id) for _ in range(20)))
    kept = [answer for answer in answers if answer is not None]
    assert len(kept) == 1
    assert await listed(store, project) == [kept[0].seq]
    assert backend.faults() == []


async def test_many_imports_of_one_second_at_once_get_places_of_their_own(
    store: Store, project: Project, backend: Backend
) -> None:
    answers = await asyncio.gather(*(bring(store, project, str(n)) for n in range(200)))
    seqs = [answer.seq for answer in answers if answer is not None]
    assert sorted(seqs) == [imported_place(n) for n in range(200)]
    assert backend.faults() == []


async def test_a_full_second_goes_on_in_the_next(store: Store, project: Project) -> None:
    await keep(store, project, row(imported_place((1 << 21) - 1)))
    kept = await bring(store, project, FOREIGN)
    assert kept is not None
    assert kept.seq == imported_place(0, SECOND + 1)


async def test_the_same_foreign_id_may_stand_in_two_projects(
    store: Store, project: Project, other: Project
) -> None:
    mine = await bring(store, project, FOREIGN)
    theirs = await bring(store, other, FOREIGN)
    assert mine is not None
    assert theirs is not None
    assert mine.seq != theirs.seq
    assert await store.alias(project, FOREIGN) == name(mine)
    assert await store.alias(other, FOREIGN) == name(theirs)


async def test_an_id_of_our_form_keeps_its_place_and_tag(
    store: Store, project: Project, backend: Backend
) -> None:
    own = row(place(7, SECOND - 50, 3))
    kept = await bring(store, project, own.id)
    assert kept is not None
    assert (name(kept), kept.alias) == (name(own), None)
    assert await store.alias(project, own.id) is None
    assert await listed(store, project) == [own.seq]
    assert backend.faults() == []


@pytest.mark.parametrize("years", [-20, 20])
async def test_an_id_that_only_looks_like_ours_stands_where_it_was_created(
    store: Store, project: Project, years: int, backend: Backend
) -> None:
    """About one in fifty of OpenAI's does; one of this node's would set its clock."""
    id = row(place(7, SECOND + years * 365 * 86_400, store.node)).id
    kept = await bring(store, project, id)
    assert kept is not None
    assert (kept.id, kept.seq) == (id, imported_place(0))
    assert await store.alias(project, id) == name(kept)
    assert await store.high_water() is None
    assert await bring(store, project, id) is None
    assert backend.faults() == []


async def test_what_is_here_is_there_already_whatever_its_answer_says_of_its_time(
    store: Store, project: Project
) -> None:
    own = row(place(7))
    await keep(store, project, own)
    assert await bring(store, project, own.id, created=0) is None


async def test_a_deleted_completion_of_ours_can_be_imported_again(
    store: Store, project: Project
) -> None:
    own = row(place(7))
    await keep(store, project, own)
    await store.delete(project, name(own))
    kept = await bring(store, project, own.id)
    assert kept is not None
    assert name(kept) == name(own)


@pytest.mark.parametrize("same_project", [True, False])
async def test_an_id_of_our_form_whose_place_is_taken_gets_another_and_an_alias(
    store: Store, project: Project, other: Project, same_project: bool, backend: Backend
) -> None:
    taker = row(place(7), {"run": "taker"})
    taker_project = project if same_project else other
    await keep(store, taker_project, taker)
    id = other_tag(name(taker)).id
    kept = await bring(store, project, id)
    assert kept is not None
    assert kept.id == id
    assert kept.seq == imported_place(0)
    assert await store.alias(project, id) == name(kept)
    found = await store.get(taker_project, name(taker))
    assert found is not None
    assert found.row == taker
    assert backend.faults() == []


async def test_another_projects_very_id_gets_another_place_here(
    store: Store, project: Project, other: Project
) -> None:
    """Answering "already there" would tell that somebody else has it."""
    theirs = row(place(7))
    await keep(store, other, theirs)
    kept = await bring(store, project, theirs.id)
    assert kept is not None
    assert kept.id == theirs.id
    assert await store.get(project, name(theirs)) is None
    assert await bring(store, project, theirs.id) is None


async def test_an_import_with_an_alias_stays_the_only_one_when_its_place_becomes_free(
    store: Store, project: Project, other: Project
) -> None:
    theirs = row(place(7))
    await keep(store, other, theirs)
    await bring(store, project, theirs.id)
    await store.delete(other, name(theirs))
    assert await bring(store, project, theirs.id) is None
    assert await listed(store, project) == [imported_place(0)]


async def test_an_import_that_returns_to_its_own_place_is_named_there_alone(
    store: Store, project: Project, other: Project
) -> None:
    """A page goes on from where its alias says the completion stands."""
    theirs = row(place(7))
    await keep(store, other, theirs)
    first = await bring(store, project, theirs.id)
    assert first is not None
    await store.delete(project, name(first))
    await store.delete(other, name(theirs))
    again = await bring(store, project, theirs.id)
    assert again is not None
    assert again.id == theirs.id
    stands = await store.alias(project, theirs.id) or decode(theirs.id)
    assert stands == name(again)


async def test_the_alias_of_a_deleted_import_stays_a_place_to_go_on_from(
    store: Store, project: Project
) -> None:
    for number in range(3):
        await bring(store, project, str(number))
    middle = await store.alias(project, "1")
    assert middle is not None
    await store.delete(project, middle)
    assert await store.alias(project, "1") == middle
    assert await store.get(project, middle) is None
    assert await listed(store, project, Query(after=middle.seq)) == [imported_place(0)]
    assert await listed(store, project, Query(after=middle.seq, order="asc")) == [imported_place(2)]


async def test_a_deleted_import_can_be_imported_again(
    store: Store, project: Project, backend: Backend
) -> None:
    first = await bring(store, project, FOREIGN)
    assert first is not None
    await store.delete(project, name(first))
    again = await bring(store, project, FOREIGN)
    assert again is not None, "the project has it no more"
    found = await store.alias(project, FOREIGN)
    assert found == name(again)
    assert await store.get(project, found) is not None
    assert backend.faults() == []


async def test_the_place_of_a_deleted_import_is_not_given_out_again(
    store: Store, project: Project
) -> None:
    early = await bring(store, project, "early", SECOND)
    late = await bring(store, project, "late", SECOND + 10)
    assert early is not None
    assert late is not None
    for gone in (late, early):
        await store.delete(project, name(gone))
    for created in (SECOND, SECOND + 10):
        kept = await bring(store, project, f"new of {created}", created)
        assert kept is not None
        assert kept.seq not in (early.seq, late.seq)


@pytest.mark.parametrize("created", [-1, 1 << 32, 1 << 80])
async def test_a_created_time_no_place_has_is_refused_or_moved_but_nothing_is_lost(
    store: Store, project: Project, created: int
) -> None:
    try:
        kept = await bring(store, project, FOREIGN, created)
    except Refusal:
        kept = None
    expected = [] if kept is None else [kept.seq]
    assert await listed(store, project) == expected
    await keep(store, project, row(place(1)))  # and nobody else is hurt


@pytest.mark.parametrize("created", [0, 1, (1 << 32) - 1])
async def test_the_first_and_the_last_second_take_imports(
    store: Store, project: Project, created: int
) -> None:
    kept = await bring(store, project, FOREIGN, created)
    assert kept is not None
    assert second_of(kept.seq) == created
    query = Query(created_after=created, created_before=created)
    assert await listed(store, project, query) == [kept.seq]


async def test_imports_do_not_move_this_nodes_high_water(store: Store, project: Project) -> None:
    await keep(store, project, row(place(5)))
    await bring(store, project, FOREIGN, SECOND + 100)
    assert await store.high_water() == place(5)


async def test_an_import_with_an_id_of_this_node_moves_high_water(
    store: Store, project: Project
) -> None:
    later = named(place(5, SECOND + 100, store.node), b"random tag...")
    await bring(store, project, later.id)
    assert await store.high_water() == later.seq
