"""Filters by what a completion is: model, status, finish reason, upstream, key."""

import asyncio
from random import Random
from typing import Any, get_args

import pytest
from support.backends import Backend
from support.listing import COLUMNS, expected_page, pairs_of
from support.samples import SECOND, import_one, keep, listed, name, place, row, said

from chatkeep.core.model.completion import STATUSES, KeyId, Order, Project, Query, Row
from chatkeep.core.ports.store import Store

VALUES: dict[str, list[Any]] = {
    "model": ["a", "b", ""],
    "status": list(STATUSES),
    "finish_reason": ["stop", "length", None, ""],
    "upstream": ["u", "U"],
    "key": [None, KeyId(0), KeyId(1), KeyId(1 << 40)],
}


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_filter_finds_what_is_equal_and_nothing_else(
    store: Store, project: Project, column: str
) -> None:
    values = VALUES[column]
    await keep(store, project, *(row(place(n), **{column: v}) for n, v in enumerate(values)))
    for number, value in enumerate(values):
        if value is not None:
            assert await listed(store, project, Query(**{column: value})) == [place(number)]


@pytest.mark.parametrize("column", COLUMNS)
async def test_another_projects_rows_are_not_found(
    store: Store, project: Project, other: Project, column: str
) -> None:
    value = VALUES[column][1]
    await keep(store, other, row(place(1), **{column: value}))
    await keep(store, project, row(place(2), **{column: VALUES[column][0]}))
    assert await listed(store, project, Query(**{column: value})) == []
    assert await listed(store, other, Query(**{column: value})) == [place(1)]


async def test_what_was_deleted_is_not_found(
    store: Store, project: Project, backend: Backend
) -> None:
    rows = [row(place(n), key=KeyId(7)) for n in range(3)]
    await keep(store, project, *rows)
    await store.delete(project, name(rows[1]))
    assert await listed(store, project, Query(key=KeyId(7))) == [place(2), place(0)]
    assert backend.faults() == []


async def test_rows_that_were_imported_are_found(store: Store, project: Project) -> None:
    placed = await import_one(store, project, "elsewhere-1", SECOND, row(upstream="old"), said())
    assert placed is not None
    assert await listed(store, project, Query(upstream="old")) == [placed.seq]


async def test_pages_of_many_rows_are_what_comparing_them_gives(
    store: Store, project: Project
) -> None:
    """Of few label sets and of more than are merged, and together with pairs and bounds."""
    luck = Random(9)
    rows = [_some_row(luck, number) for number in range(800)]
    await asyncio.gather(*(store.insert(project, one, said()) for one in rows))
    assert len({tuple(getattr(one, column) for column in COLUMNS) for one in rows}) > 100
    for _ in range(200):
        query = _some_query(luck, rows)
        page = await store.page(project, query)
        expected, more = expected_page(rows, query)
        assert ([item.row for item in page.items], page.has_more) == (expected, more), query


def _some_row(luck: Random, number: int) -> Row:
    fields = {column: luck.choice(values) for column, values in VALUES.items()}
    pairs = {"half": str(number % 2), "rare": str(luck.randrange(200))}
    return row(place(number % 40, SECOND + number // 40), pairs, **fields)


def _some_query(luck: Random, rows: list[Row]) -> Query:
    like = luck.choice(rows)
    columns = {name: getattr(like, name) for name in luck.sample(COLUMNS, luck.randint(1, 4))}
    pairs = sorted(pairs_of(like).items())
    return Query(
        **columns,
        metadata=dict(luck.sample(pairs, luck.choice([0, 0, 1, 2]))),
        created_after=luck.choice([None, SECOND + luck.randrange(15)]),
        created_before=luck.choice([None, SECOND + luck.randrange(20)]),
        after=luck.choice([None, luck.choice(rows).seq]),
        order=luck.choice(get_args(Order)),
        limit=luck.choice([1, 2, 20, 100]),
    )
