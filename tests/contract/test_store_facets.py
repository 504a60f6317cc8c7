"""Looking at the completions a query wants without their bodies."""

import asyncio
from random import Random

import pytest
from support.listing import is_wanted
from support.samples import SECOND, keep, name, place, replacing, row, said

from chatkeep.core.model.completion import Facts, KeyId, Project, Query, Row
from chatkeep.core.ports.records import Counted
from chatkeep.core.ports.store import Store


def facts_of(row: Row) -> Facts:
    return Facts(row.model, row.status, row.finish_reason, row.upstream, row.key, row.metadata)


async def looked(store: Store, project: Project, query: Query | None = None) -> list[Facts]:
    return await store.facts(project, query or Query(), 1000)


async def test_an_empty_project_has_nothing_to_look_at(store: Store, project: Project) -> None:
    assert await looked(store, project) == []


@pytest.mark.also_encrypted
async def test_each_completion_is_there_the_newest_first(store: Store, project: Project) -> None:
    rows = [row(place(n), {"n": str(n)}, key=KeyId(n), finish_reason=None) for n in range(130)]
    await keep(store, project, *rows)
    assert await looked(store, project) == [facts_of(one) for one in rows[::-1]]


async def test_there_are_no_more_than_were_asked_for(store: Store, project: Project) -> None:
    await keep(store, project, *(row(place(n), model=str(n)) for n in range(5)))
    first = await store.facts(project, Query(), 2)
    assert [facts.model for facts in first] == ["4", "3"]
    assert await store.facts(project, Query(), 0) == []


async def test_another_projects_completions_are_not_there(
    store: Store, project: Project, other: Project
) -> None:
    await keep(store, other, row(place(1), {"a": "1"}))
    for query in (Query(), Query(metadata={"a": "1"}), Query(model="gpt-4o-mini")):
        assert await looked(store, project, query) == []
        assert await store.count(project, query, 1000) == Counted(0, complete=True)


async def test_what_was_changed_or_deleted_is_looked_at_as_it_is_now(
    store: Store, project: Project
) -> None:
    rows = [row(place(n), {"a": "1"}) for n in range(3)]
    await keep(store, project, *rows)
    await store.delete(project, name(rows[0]))
    await store.change_metadata(project, name(rows[1]), replacing({"a": "2"}))
    assert await looked(store, project, Query(metadata={"a": "1"})) == [facts_of(rows[2])]


async def test_any_query_looks_at_what_it_wants(store: Store, project: Project) -> None:
    luck = Random(5)
    rows = [
        row(
            place(n % 20, SECOND + n // 20),
            {"half": str(n % 2), "rare": str(luck.randrange(40))},
            model=luck.choice("ab"),
            key=luck.choice([None, KeyId(1)]),
        )
        for n in range(300)
    ]
    await asyncio.gather(*(store.insert(project, one, said()) for one in rows))
    for _ in range(40):
        query = Query(
            model=luck.choice([None, "a"]),
            key=luck.choice([None, KeyId(1)]),
            metadata=luck.choice([{}, {"half": "0"}, {"half": "0", "rare": "7"}]),
            created_after=luck.choice([None, SECOND + 3]),
            created_before=luck.choice([None, SECOND + 9]),
        )
        wanted = [facts_of(one) for one in reversed(rows) if is_wanted(one, query)]
        assert await looked(store, project, query) == wanted
