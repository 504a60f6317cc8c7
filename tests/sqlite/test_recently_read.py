"""What a store remembers of completions it has read: never more than what the file says now."""

import gc

import pytest
from msgspec import structs
from support.backends import Backend, SqliteBackend
from support.database import direct
from support.samples import SECOND, as_json, import_one, keep, name, place, row, said

from chatkeep.core.model.completion import Project, Query, Row, Stored
from chatkeep.core.model.ids import Seq
from chatkeep.core.model.record import Record
from chatkeep.core.ports.store import Store
from chatkeep.core.wire.chat import stored
from chatkeep.errors import RecordCorrupt, StoreFailed
from chatkeep.store.encoding.recent import Found, Recent
from chatkeep.store.sqlite import SqliteStore


async def shown(store: Store, project: Project, one: Row) -> bytes | None:
    """As lists and retrieves show it."""
    found = await store.get(project, name(one))
    listed = (await store.page(project, Query())).items
    whole = [stored.completion(item) for item in listed if item.row.seq == one.seq]
    assert whole == ([] if found is None else [stored.completion(found)])
    return whole[0] if whole else None


async def test_metadata_that_another_process_sets_is_shown(
    store: Store, project: Project, backend: Backend
) -> None:
    one = row(place(1), {"run": "1"})
    await keep(store, project, one)
    before = await shown(store, project, one)
    assert before is not None
    elsewhere = await backend.open()
    await elsewhere.change_metadata(project, name(one), lambda _: as_json({"run": "2"}))
    await elsewhere.aclose()
    assert await shown(store, project, one) == before.replace(b'"run":"1"', b'"run":"2"')


async def test_what_another_process_deletes_is_gone(
    store: Store, project: Project, backend: Backend
) -> None:
    one = row(place(1))
    await keep(store, project, one)
    assert await shown(store, project, one) is not None
    elsewhere = await backend.open()
    await elsewhere.delete(project, name(one))
    await elsewhere.aclose()
    assert await shown(store, project, one) is None


@pytest.mark.parametrize(
    ("changed", "text"),
    [({}, "another"), ({"duration_ms": 77}, "hello"), ({"model": "another"}, "hello")],
    ids=["body", "duration", "model"],
)
async def test_what_comes_back_under_its_id_is_shown_as_it_is_now(
    store: Store, project: Project, backend: Backend, changed: dict[str, object], text: str
) -> None:
    one = row(place(1))
    await keep(store, project, one)
    assert await shown(store, project, one) is not None
    elsewhere = await backend.open()
    await elsewhere.delete(project, name(one))
    again = structs.replace(one, **changed)
    kept = await import_one(elsewhere, project, one.id, SECOND, again, said(text))
    assert kept is not None
    assert kept == structs.replace(again, request_id=kept.request_id)
    fresh = await elsewhere.get(project, name(one))
    await elsewhere.aclose()
    assert await store.get(project, name(one)) == fresh
    assert await shown(store, project, one) == stored.completion(fresh) if fresh else None


async def test_damage_is_noticed_after_a_read_too(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    one = row(place(1))
    await keep(store, project, one)
    assert await shown(store, project, one) is not None
    with direct(backend.path) as connection:
        connection.execute("UPDATE record SET body = substr(body, 1, length(body) - 1)")
    with pytest.raises(RecordCorrupt):
        await store.get(project, name(one))


def called(one: Row, text: str = "hello") -> Record:
    """What a call keeps under this row's id."""
    record = said(text)
    answer = record.answer.replace(b"{", b'{"id":"%b",' % one.id.encode(), 1)
    return structs.replace(record, answer=answer, id=one.id)


async def test_what_was_written_is_not_read_to_be_shown(store: Store, project: Project) -> None:
    one = row(place(1), {"run": "1"})
    record = called(one)
    await store.insert(project, one, record)
    found = await store.get(project, name(one))
    assert found is not None
    assert found.answer is record.answer


async def test_what_was_written_is_shown_as_it_is_when_it_is_read(
    store: SqliteStore, project: Project
) -> None:
    imported = row(place(3), alias="chatcmpl-theirs")
    for one in (row(place(1), {"run": "1"}), row(place(2), upstream="another"), imported):
        await store.insert(project, one, called(one))
        as_shown = await shown(store, project, one)
        written = await store.get(project, name(one))
        forget_all(store)
        assert await shown(store, project, one) == as_shown
        assert await store.get(project, name(one)) == written


async def test_what_was_written_under_another_id_is_shown_under_its_own(
    store: Store, project: Project
) -> None:
    one, other = row(place(1)), row(place(2))
    await store.insert(project, one, called(other))
    found = await store.get(project, name(one))
    assert found is not None
    assert one.id.encode() in found.answer
    assert other.id.encode() not in found.answer


async def test_what_could_not_be_committed_is_not_shown(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    one = row(place(1))
    with direct(backend.path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DROP TABLE usage_hour")
        connection.execute("COMMIT")
    with pytest.raises(StoreFailed):
        await store.insert(project, one, called(one))
    assert await store.get(project, name(one)) is None


async def test_a_delete_leaves_nothing_in_memory(store: Store, project: Project) -> None:
    one = row(place(8_001))
    await keep(store, project, one)
    await shown(store, project, one)
    assert in_memory(one.seq) == 1
    await store.delete(project, name(one))
    assert in_memory(one.seq) == 0


async def test_a_body_let_go_of_leaves_nothing_in_memory(store: Store, project: Project) -> None:
    one = row(place(8_004))
    await keep(store, project, one)
    await shown(store, project, one)
    await store.expire_bodies(project, Seq(one.seq + 1), 1)
    assert in_memory(one.seq) == 0


async def test_what_is_not_read_again_leaves_memory(store: SqliteStore, project: Project) -> None:
    kept, let_go = row(place(8_002)), row(place(8_003))
    await keep(store, project, kept, let_go)
    for one in (kept, let_go):
        await store.get(project, name(one))
    store.age()
    await store.get(project, name(kept))
    store.age()
    assert (in_memory(kept.seq), in_memory(let_go.seq)) == (1, 0)


def test_the_newest_are_remembered_within_a_bound() -> None:
    recent, ours = Recent(), b"of this test"
    for seq in range(1_000):
        recent.put(read(seq, bytes(100_000)), remembered(Seq(seq), ours))
    assert all(recent.get(read(seq, bytes(100_000))) for seq in range(920, 1_000))
    assert sum(isinstance(one, Stored) and one.answer is ours for one in gc.get_objects()) < 170


def test_long_ones_are_not_remembered() -> None:
    recent, long = Recent(), read(1, bytes(1_000_000))
    recent.put(long, remembered(Seq(1), b"{}"))
    assert recent.get(long) is None


def forget_all(store: SqliteStore) -> None:
    for _ in range(2):
        store.age()


def in_memory(seq: int) -> int:
    return sum(isinstance(one, Stored) and one.row.seq == seq for one in gc.get_objects())


def remembered(seq: Seq, answer: bytes) -> Stored:
    one = row(seq)
    return Stored(one.id, one, b"{}", answer)


def read(seq: int, body: bytes) -> Found:
    columns: list[object] = [None] * len(Found._fields)
    columns[0], columns[-1] = seq, body
    return Found._make(columns)
