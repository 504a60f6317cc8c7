"""Sums of usage: what is counted with which commit, and what is added up."""

import asyncio
from random import Random
from typing import Any

import pytest
from msgspec.structs import asdict
from support.backends import Backend
from support.samples import SECOND, import_one, keep, name, place, row, said, sums_of

from chatkeep.core.model.completion import KeyId, Project, ProjectId, Usage
from chatkeep.core.model.usage import (
    FIGURES,
    GROUPS,
    Account,
    Group,
    StatsQuery,
    Sums,
)
from chatkeep.core.ports.store import Store
from chatkeep.errors import StoreFailed

HOUR = SECOND // 3600
ALL = StatsQuery(0, 1 << 40)


async def figures(store: Store, project: Project, query: StatsQuery = ALL) -> list[dict[str, int]]:
    """The figures of each sum, those of 0 left out."""
    return [_named(found.figures) for found in await store.usage(project, query, 100)]


def _named(figures: Sums) -> dict[str, int]:
    return {name: value for name, value in asdict(figures).items() if value}


def by(*group: Group, **fields: Any) -> StatsQuery:
    return StatsQuery(**{"first_hour": 0, "last_hour": 1 << 40, "group": group, **fields})


async def test_nothing_has_been_counted_at_first(store: Store, project: Project) -> None:
    assert await store.usage(project, ALL, 100) == []


async def test_a_completion_is_counted_with_its_commit(store: Store, project: Project) -> None:
    kept = row(place(1), usage=Usage(10, 5, 15, 4, 2), cost_micro=7, duration_ms=250)
    await store.insert(project, kept, said())
    assert await figures(store, project) == [
        {
            "calls": 1,
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "cached_tokens": 4,
            "reasoning_tokens": 2,
            "priced": 1,
            "cost_micro": 7,
            "duration_ms": 250,
            "up_to_300": 1,
        }
    ]


async def test_a_completion_that_was_not_committed_is_not_counted(
    store: Store, project: Project
) -> None:
    await keep(store, project, row(place(1)))
    with pytest.raises(StoreFailed):
        await keep(store, project, row(place(1)))
    assert (await figures(store, project))[0]["calls"] == 1


async def test_of_many_commits_at_once_each_is_counted(store: Store, project: Project) -> None:
    again = [row(place(n // 2)) for n in range(200)]  # every second one is refused
    done = await asyncio.gather(
        *(store.insert(project, one, said()) for one in again), return_exceptions=True
    )
    assert sum(isinstance(one, StoreFailed) for one in done) == 100
    assert (await figures(store, project))[0]["calls"] == 100


async def test_what_was_deleted_stays_counted(store: Store, project: Project) -> None:
    kept = row(place(1))
    await keep(store, project, kept)
    await store.delete(project, name(kept))
    assert (await figures(store, project))[0]["calls"] == 1


async def test_what_is_imported_counts_for_the_hour_it_comes_from(
    store: Store, project: Project
) -> None:
    await import_one(store, project, "elsewhere", SECOND - 7200, row(), said())
    (found,) = await store.usage(project, by("hour", "key", "outcome"), 100)
    assert found[:-1] == (HOUR - 2, None, None, None, "stored")


async def test_cost_and_token_details_are_kept_with_the_row(store: Store, project: Project) -> None:
    kept = row(place(1), usage=Usage(1, 2, 3, 4, 5), cost_micro=0)
    await keep(store, project, kept)
    found = await store.get(project, name(kept))
    assert found is not None
    assert found.row == kept


async def test_sums_outlive_the_process(backend: Backend) -> None:
    store = await backend.open()
    project = (await store.add_key("p", b"d", "sk", frozenset(), 0)).project
    await store.add_usage([(_account(project), sums_of(Usage(1)))])
    await store.aclose()
    store = await backend.open()
    assert (await figures(store, project))[0]["prompt_tokens"] == 1
    await store.aclose()


async def test_another_projects_sums_are_not_seen(
    store: Store, project: Project, other: Project
) -> None:
    await store.add_usage([(_account(other), sums_of(Usage()))])
    for group in GROUPS:
        assert await store.usage(project, by(group), 100) == []
    assert len(await store.usage(other, ALL, 100)) == 1


async def test_both_hours_of_a_range_are_in_it(store: Store, project: Project) -> None:
    for hour in range(5):
        account = _account(project)._replace(hour=HOUR + hour)
        await store.add_usage([(account, sums_of(Usage()))])
    query = by("hour", first_hour=HOUR + 1, last_hour=HOUR + 3)
    found = [one.period for one in await store.usage(project, query, 100)]
    assert found == [HOUR + 3, HOUR + 2, HOUR + 1]
    assert [one.period for one in await store.usage(project, query, 2)] == found[:2]


async def test_days_begin_at_midnight(store: Store, project: Project) -> None:
    midnight = SECOND // 86400 * 24
    for hour in (-1, 0, 23, 24):
        account = _account(project)._replace(hour=midnight + hour)
        await store.add_usage([(account, sums_of(Usage()))])
    found = await store.usage(project, by("day"), 100)
    assert [(one.period, one.figures.calls) for one in found] == [
        (midnight + 24, 1),
        (midnight, 2),
        (midnight - 24, 1),
    ]


async def test_sums_are_what_adding_up_gives(store: Store, project: Project) -> None:
    luck = Random(3)
    calls = [_some_call(luck, project.id) for _ in range(400)]
    await store.add_usage(calls[:200])
    await asyncio.gather(*(store.add_usage([one]) for one in calls[200:]))
    for _ in range(60):
        query = _some_query(luck)
        found = await store.usage(project, query, 10_000)
        assert {tuple(one[:-1]): one.figures for one in found} == _added_up(calls, query)
        assert len(found) == len({tuple(one[:-1]) for one in found})
        periods = [one.period for one in found]
        assert periods == sorted(periods, key=lambda period: -(period or 0))


def _account(project: Project) -> Account:
    return Account(project.id, HOUR, "chat.completion", "m", "u", KeyId(1), "passed")


def _some_call(luck: Random, project: ProjectId) -> tuple[Account, Sums]:
    account = Account(
        project,
        HOUR + luck.randrange(50),
        luck.choice(["chat.completion", "embeddings"]),
        luck.choice("ab"),
        luck.choice("uv"),
        luck.choice([None, KeyId(0), KeyId(1)]),
        luck.choice(["stored", "passed", "failed"]),
    )
    return account, Sums(*(luck.randrange(5) for _ in FIGURES))


def _some_query(luck: Random) -> StatsQuery:
    group = [one for one in GROUPS if luck.random() < 0.4]
    if "hour" in group and "day" in group:
        group.remove("day")
    return StatsQuery(
        first_hour=HOUR + luck.choice([-100, 0, 10]),
        last_hour=HOUR + luck.choice([5, 30, 100]),
        group=tuple(group),
        model=luck.choice([None, None, "a", "c"]),
        upstream=luck.choice([None, None, "u"]),
        key=luck.choice([None, None, KeyId(0)]),
        outcome=luck.choice([None, None, "passed"]),
    )


def _added_up(calls: list[tuple[Account, Sums]], query: StatsQuery) -> dict[Any, Sums]:
    sums: dict[Any, Sums] = {}
    for account, figures in calls:
        if not query.first_hour <= account.hour <= query.last_hour:
            continue
        columns = ("model", "upstream", "key", "outcome")
        if any(getattr(query, c) not in (None, getattr(account, c)) for c in columns):
            continue
        size = query.period_hours
        period = account.hour // size * size if size else None
        group = (period, *(getattr(account, c) if c in query.group else None for c in columns))
        sums.setdefault(group, Sums()).add(figures)
    return sums
