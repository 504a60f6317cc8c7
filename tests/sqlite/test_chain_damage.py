"""What is damaged, or stood where something else is to go, harms nothing but itself."""

from base64 import b64encode
from random import Random

import pytest
from support.backends import SqliteBackend
from support.conversations import SYSTEM, Talks, call, message
from support.database import direct
from support.samples import listed, name, place, replacing, row, said

from chatkeep.core.model.completion import Project, Query
from chatkeep.core.model.ids import MAX_SEQ, Seq
from chatkeep.core.ports.records import Expired
from chatkeep.core.ports.store import Store
from chatkeep.core.records import bulk
from chatkeep.errors import RecordCorrupt, StoreFailed
from chatkeep.store.encoding.body import Codec
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.sqlite import SqliteStore

SOUND = message("assistant", None, audio={"data": b64encode(Random(1).randbytes(9000)).decode()})


@pytest.fixture
def talks(store: Store, project: Project) -> Talks:
    return Talks(store, project)


async def test_the_place_of_a_deleted_completion_that_is_built_on_is_not_given_again(
    store: Store, project: Project, backend: SqliteBackend
) -> None:
    one, two = row(place(1)), row(place(2))
    await store.insert(project, one, said())
    await store.insert(project, two, said())
    await store.delete(project, name(one))
    with pytest.raises(StoreFailed):
        await store.insert(project, one, said())
    await store.delete(project, name(two))
    await store.insert(project, one, said())
    assert backend.faults() == []


def test_images_are_not_remembered() -> None:
    context = RecordContext(Codec())
    context.remember(1, b"tools")
    context.remember(2, bytes(1_000_000))
    assert (context.get(1), context.get(2)) == (b"tools", None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE record SET body = x'01'",
        "DELETE FROM shared WHERE length(data) > 4000",
    ],
)
async def test_a_damaged_predecessor_does_not_keep_the_next_turn_from_being_kept(
    talks: Talks, store: SqliteStore, backend: SqliteBackend, statement: str
) -> None:
    asked = [SYSTEM, message("user", "Sing")]
    damaged = await talks.keep(call(asked), SOUND)
    with direct(backend.path) as connection:
        connection.execute(statement)
    for _ in range(2):
        store.age()  # what was written may be shown without reading it
    with pytest.raises(RecordCorrupt):
        await talks.store.get(talks.project, name(damaged.row))
    next_one = await talks.keep(
        call([*asked, message("user", "Again")]), message("assistant", "La")
    )
    await talks.check(next_one)


async def test_a_turn_is_kept_again_when_one_before_it_is_damaged(
    talks: Talks, backend: SqliteBackend
) -> None:
    """What its search entry says is read from what the repeated turn builds on."""
    asked = [message("user", "Sing")]
    first = await talks.keep(call(asked), message("assistant", "La"))
    asked += [message("assistant", "La"), message("user", "Again")]
    await talks.keep(call(asked), message("assistant", "La la"))
    with direct(backend.path) as connection:
        connection.execute("UPDATE record SET body = x'01' WHERE seq = ?", (first.row.seq,))
    repeated = await talks.keep(call(asked), message("assistant", "La la la"))
    assert await talks.store.get(talks.project, name(repeated.row)) is not None


DAMAGES = [
    "UPDATE record SET body = x'01' WHERE seq = ?1",
    "UPDATE record SET body = substr(body, 1, 40) WHERE seq = ?1",
    "DELETE FROM shared WHERE ?1",
]


@pytest.mark.parametrize("statement", DAMAGES)
@pytest.mark.parametrize("depth", range(3))
async def test_a_damaged_completion_can_be_deleted(
    talks: Talks, backend: SqliteBackend, statement: str, depth: int
) -> None:
    """Whether it begins its conversation, stands in it or ends it; the others stay as they are."""
    asked = [message("user", f"Sing {'la ' * 2000}")]
    kept = []
    for _ in range(3):
        kept.append(await talks.keep(call(asked), SOUND, metadata={"set": "before"}))
        asked = [*asked, SOUND, message("user", "Again")]
    with direct(backend.path) as connection:
        connection.execute(statement, (kept[depth].row.seq,))
    assert await talks.store.delete(talks.project, name(kept[depth].row))
    assert await talks.store.get(talks.project, name(kept[depth].row)) is None
    for one in kept:
        assert await talks.store.delete(talks.project, name(one.row)) is (one is not kept[depth])
    assert await listed(talks.store, talks.project) == []
    assert await listed(talks.store, talks.project, Query(q="sing")) == []
    assert await listed(talks.store, talks.project, Query(metadata={"set": "before"})) == []


async def test_of_a_damaged_completion_that_was_deleted_stays_what_verify_names(
    talks: Talks, backend: SqliteBackend
) -> None:
    """What is known of it goes, and that is all where its metadata was changed."""
    for pairs in ({"set": "before"}, {"set": "since"}):
        said = await talks.keep(call([message("user", "Sing")]), SOUND, metadata={"set": "before"})
        if pairs != {"set": "before"}:
            await talks.store.change_metadata(talks.project, name(said.row), replacing(pairs))
        with direct(backend.path) as connection:
            connection.execute("UPDATE record SET body = x'01'")
        assert await talks.store.delete(talks.project, name(said.row))
        left = [fault for fault in backend.faults() if fault.startswith("posting ")]
        assert len(left) == 1, "the pair it was created with"


async def test_a_parent_of_what_is_damaged_can_be_deleted(
    talks: Talks, backend: SqliteBackend
) -> None:
    first = await talks.keep(call([message("user", "Sing")]), SOUND)
    asked = [message("user", "Sing"), SOUND, message("user", "Again")]
    second = await talks.keep(call(asked), SOUND)
    with direct(backend.path) as connection:
        connection.execute("UPDATE record SET body = x'01' WHERE seq = ?", (second.row.seq,))
    for one in (first, second):
        assert await talks.store.delete(talks.project, name(one.row))
    with direct(backend.path) as connection:
        assert connection.execute("SELECT count(*) FROM remnant").fetchall() == [(0,)]


async def test_a_damaged_body_is_let_go_of_in_its_turn(
    talks: Talks, backend: SqliteBackend
) -> None:
    first, second = [
        await talks.keep(call([message("user", text)]), SOUND) for text in ("Sing", "Dance")
    ]
    with direct(backend.path) as connection:
        connection.execute("UPDATE record SET body = x'01' WHERE seq = ?", (first.row.seq,))
    for one in (first, second):
        expired = await talks.store.expire_bodies(talks.project, Seq(MAX_SEQ), 1)
        assert expired == Expired(1, more=True)
        found = await talks.store.get(talks.project, name(one.row))
        assert found is not None
        assert not found.has_body
    assert await talks.store.expire_bodies(talks.project, Seq(MAX_SEQ), 1) == Expired(0, more=False)
    assert await listed(talks.store, talks.project, Query(q="sing")) == []


async def test_deleting_in_bulk_takes_damaged_ones_along(
    talks: Talks, backend: SqliteBackend
) -> None:
    for text in ("Sing", "Dance", "Act"):
        await talks.keep(call([message("user", text)]), SOUND)
    with direct(backend.path) as connection:
        connection.execute("UPDATE record SET body = x'01' WHERE seq % 3 = 0")
    assert (await bulk.count(talks.store, talks.project, Query())).matched == 3
    act = bulk.deleting(talks.store, talks.project)
    outcome = await bulk.run(talks.store, talks.project, Query(), act, lambda: False)
    assert (outcome.done, outcome.stopped_by) == (3, None)
    assert await listed(talks.store, talks.project) == []
