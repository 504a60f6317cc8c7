"""Index entries that no row asked for, as hashes make that mean two things: they show nothing."""

from support.backends import SqliteBackend
from support.samples import keep, place, row

from chatkeep.core.model.completion import Project, Query
from chatkeep.core.ports.store import Store
from chatkeep.store.index import postings


async def test_a_hash_that_means_two_things_finds_only_what_was_asked_for(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    """Index entries are hashes; rows found by one are compared with the filter."""
    await keep(store, project, *(row(place(number), {"a": str(number % 2)}) for number in range(6)))
    same_hash = postings.of_pair(project.secret, "a", "1")
    for number in (0, 2, 4):
        backend.add_posting(project, same_hash, place(number))
    for limit in (1, 2, 3):
        page = await store.page(project, Query(metadata={"a": "1"}, limit=limit))
        assert [item.row.seq for item in page.items] == [place(5), place(3), place(1)][:limit]
        assert page.has_more == (limit < 3)


async def test_an_index_entry_without_a_row_shows_nothing(
    store: Store, project: Project, other: Project, backend: SqliteBackend
) -> None:
    wanted = postings.of_pair(project.secret, "a", "1")
    await keep(store, other, row(place(1), {"a": "1"}))
    for seq in (place(1), place(2)):
        backend.add_posting(project, wanted, seq)
    page = await store.page(project, Query(metadata={"a": "1"}))
    assert (page.items, page.has_more) == ([], False)


async def test_another_projects_completions_are_not_looked_at(
    store: Store, project: Project, other: Project, backend: SqliteBackend
) -> None:
    await keep(store, other, row(place(1), {"a": "1"}))
    backend.add_posting(project, postings.of_pair(project.secret, "a", "1"), place(1))
    assert await store.facts(project, Query(), 100) == []
    assert await store.facts(project, Query(metadata={"a": "1"}), 100) == []


async def test_a_hash_that_means_two_things_is_looked_at_as_what_it_is(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    await keep(store, project, *(row(place(n), {"a": str(n % 2)}) for n in range(4)))
    same_hash = postings.of_pair(project.secret, "a", "1")
    for number in (0, 2):
        backend.add_posting(project, same_hash, place(number))
    assert len(await store.facts(project, Query(metadata={"a": "1"}), 100)) == 2
