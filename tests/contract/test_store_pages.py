"""Pages of completions: order, limits, places to go on from, and filters."""

import asyncio
from random import Random
from typing import get_args

import pytest
from support.listing import expected_page, pairs_of
from support.samples import SECOND, answer, keep, listed, name, place, row, said

from chatkeep.core.model.completion import Order, Project, Query, Row
from chatkeep.core.model.ids import Seq
from chatkeep.core.ports.store import Store


async def test_another_projects_completions_are_never_on_a_page(
    store: Store, project: Project, other: Project
) -> None:
    for number in range(10):
        owner = project if number % 3 == 0 else other
        await keep(store, owner, row(place(number), {"run": "1"}, model="m"))
    for query in (Query(), Query(metadata={"run": "1"}), Query(model="m")):
        page = await store.page(project, query)
        assert [item.row.seq for item in page.items] == [place(9), place(6), place(3), place(0)]
        assert not page.has_more


async def test_rows_only_another_project_has_are_not_promised_as_more(
    store: Store, project: Project, other: Project
) -> None:
    await keep(store, other, row(place(1)), row(place(5)))
    await keep(store, project, row(place(3)))
    for order in get_args(Order):
        page = await store.page(project, Query(order=order, limit=1))
        assert [item.row.seq for item in page.items] == [place(3)]
        assert not page.has_more


async def test_a_limit_of_nothing_is_an_empty_page_without_more(
    store: Store, project: Project
) -> None:
    await keep(store, project, row(place(1)))
    page = await store.page(project, Query(limit=0))
    assert (page.items, page.has_more) == ([], False)


async def test_an_empty_project_has_an_empty_page(store: Store, project: Project) -> None:
    page = await store.page(project, Query(limit=100))
    assert (page.items, page.has_more) == ([], False)


async def test_a_page_has_rows_with_their_bodies(store: Store, project: Project) -> None:
    rows = [row(place(number), {"n": str(number)}) for number in range(3)]
    for kept in rows:
        await store.insert(project, kept, said(f"text {kept.seq}"))
    page = await store.page(project, Query(order="asc"))
    assert [item.row for item in page.items] == rows
    assert [item.answer for item in page.items] == [answer(f"text {kept.seq}") for kept in rows]


async def test_the_newest_come_first_or_the_oldest(store: Store, project: Project) -> None:
    kept = [place(2, SECOND - 1), place(1), place(2), place(0, SECOND + 1)]
    for seq in (kept[2], kept[0], kept[3], kept[1]):  # in whatever order they were inserted
        await keep(store, project, row(seq))
    assert await listed(store, project, Query()) == kept[::-1]
    assert await listed(store, project, Query(order="asc")) == kept


@pytest.mark.parametrize("filters", [{}, {"model": "m"}, {"metadata": {"a": "1"}}])
async def test_more_is_said_exactly_when_there_is_more(
    store: Store, project: Project, filters: dict[str, object]
) -> None:
    await keep(store, project, *(row(place(n), {"a": "1"}, model="m") for n in range(101)))
    for limit in (1, 2, 50, 99, 100):
        for left in (limit - 1, limit, limit + 1):
            for order in get_args(Order):
                after = place(left) if order == "desc" else place(100 - left)
                query = Query(order=order, limit=limit, after=after, **filters)  # type: ignore[arg-type]
                page = await store.page(project, query)
                assert len(page.items) == min(left, limit)
                assert page.has_more == (left > limit), (limit, left, order)


async def test_rows_that_do_not_match_are_not_promised_as_more(
    store: Store, project: Project
) -> None:
    await keep(store, project, *(row(place(n), {"a": str(n % 2)}) for n in range(6)))
    page = await store.page(project, Query(metadata={"a": "1"}, limit=3))
    assert [item.row.seq for item in page.items] == [place(5), place(3), place(1)]
    assert not page.has_more


async def test_a_page_goes_on_after_any_place(store: Store, project: Project) -> None:
    """Given away, deleted, never used, another project's: a place is a place."""
    kept = [row(place(number), {"a": "1"}) for number in range(1, 10, 2)]
    await keep(store, project, *kept)
    await store.delete(project, name(kept[2]))
    left = [one.seq for one in kept if one is not kept[2]]
    afters = [Seq(0), *(place(number) for number in range(11)), Seq((1 << 63) - 1)]
    for filters in (Query(), Query(metadata={"a": "1"}), Query(metadata={"a": "2"})):
        found = left if filters.metadata != {"a": "2"} else []
        for after in afters:
            older = Query(metadata=filters.metadata, after=after)
            assert await listed(store, project, older) == [s for s in found[::-1] if s < after]
            newer = Query(metadata=filters.metadata, after=after, order="asc")
            assert await listed(store, project, newer) == [s for s in found if s > after]


@pytest.mark.parametrize("filters", [Query(), Query(metadata={"a": "1"})])
async def test_both_ends_of_a_time_range_are_in_it(
    store: Store, project: Project, filters: Query
) -> None:
    highest = (1 << 21) - 1
    for second in range(5):
        for counter in (0, highest):
            await keep(store, project, row(place(counter, SECOND + second), {"a": "1"}))

    async def seconds(after: int | None, before: int | None) -> list[int]:
        query = Query(
            metadata=filters.metadata, created_after=after, created_before=before, order="asc"
        )
        return [(seq >> 31) - SECOND for seq in await listed(store, project, query)]

    assert await seconds(SECOND + 1, SECOND + 3) == [1, 1, 2, 2, 3, 3]
    assert await seconds(SECOND + 2, SECOND + 2) == [2, 2]
    assert await seconds(SECOND + 3, None) == [3, 3, 4, 4]
    assert await seconds(None, SECOND) == [0, 0]
    assert await seconds(SECOND + 3, SECOND + 1) == []


@pytest.mark.parametrize("far", [1 << 31, 1 << 32, 1 << 62, 10**18 - 1])
async def test_times_no_completion_can_have_are_an_empty_range_or_all(
    store: Store, project: Project, far: int
) -> None:
    await keep(store, project, row(place(1)))
    assert await listed(store, project, Query(created_after=-far, created_before=far)) == [place(1)]
    assert await listed(store, project, Query(created_after=far)) == []
    assert await listed(store, project, Query(created_before=-far)) == []


async def test_the_models_name_must_be_exactly_it(store: Store, project: Project) -> None:
    for number, model in enumerate(["gpt-4o", "gpt-4o-mini", "GPT-4o", "gpt-4o", ""]):
        await keep(store, project, row(place(number), model=model))
    assert await listed(store, project, Query(model="gpt-4o")) == [place(3), place(0)]
    assert await listed(store, project, Query(model="")) == [place(4)]
    assert await listed(store, project, Query(model="gpt")) == []


async def test_a_metadata_filter_needs_every_pair(store: Store, project: Project) -> None:
    maps = [{"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "2"}, {"a": "1"}, {"a": "2", "b": "1"}]
    for number, pairs in enumerate(maps):
        await keep(store, project, row(place(number), pairs, model=f"m{number % 2}"))

    async def found(pairs: dict[str, str], model: str | None = None) -> list[int]:
        query = Query(metadata=pairs, model=model, order="asc")
        return [seq - place(0) for seq in await listed(store, project, query)]

    assert await found({"a": "1"}) == [0, 1, 2]
    assert await found({"a": "1", "b": "2"}) == [0, 1]
    assert await found(maps[0]) == [0]
    assert await found({**maps[0], "d": "4"}) == []
    assert await found({"a": "1", "b": "1"}) == []
    assert await found({"1": "a"}) == []
    assert await found({"a": "1"}, "m0") == [0, 2]
    assert await found({"a": "1", "b": "2"}, "m1") == [1]
    assert await found({"a": "1"}, "m2") == []


async def test_hostile_keys_and_values_are_only_text(store: Store, project: Project) -> None:
    texts = ['"', "'", "a.b", "$[0]", "%", "_", "\\", "", " ", "é", "e\u0301", "\U0001f600", "ab"]
    maps = [{key: value} for key in texts for value in texts]
    await asyncio.gather(
        *(store.insert(project, row(place(n), pairs), said()) for n, pairs in enumerate(maps))
    )
    for number, pairs in enumerate(maps):
        assert await listed(store, project, Query(metadata=pairs)) == [place(number)]


async def test_pages_of_many_rows_are_what_sorting_and_comparing_them_gives(
    store: Store, project: Project
) -> None:
    """Common pairs, rare ones, and pairs that hardly meet, so that the merge steps and jumps."""
    luck = Random(4)
    rows = [_some_row(luck, number) for number in range(1200)]
    await asyncio.gather(*(store.insert(project, one, said()) for one in rows))
    for _ in range(200):
        query = _some_query(luck, rows)
        page = await store.page(project, query)
        expected, more = expected_page(rows, query)
        assert ([item.row for item in page.items], page.has_more) == (expected, more), query


def _some_row(luck: Random, number: int) -> Row:
    pairs = {
        "half": str(number % 2),
        "block": str(number // 100),
        "rare": str(luck.randrange(300)),
        "often": "no" if luck.random() < 0.05 else "yes",
    }
    return row(place(number % 40, SECOND + number // 40), pairs, model=luck.choice(["a", "b"]))


def _some_query(luck: Random, rows: list[Row]) -> Query:
    metadata = dict(luck.sample(sorted(pairs_of(luck.choice(rows)).items()), luck.randrange(4)))
    if "half" in metadata and luck.random() < 0.3:
        metadata["half"] = luck.choice("01")
    return Query(
        model=luck.choice([None, None, "a", "b"]),
        metadata=metadata,
        created_after=luck.choice([None, SECOND + luck.randrange(30)]),
        created_before=luck.choice([None, SECOND + luck.randrange(30)]),
        after=luck.choice([None, luck.choice(rows).seq]),
        order=luck.choice(get_args(Order)),
        limit=luck.choice([1, 2, 20, 100]),
    )
