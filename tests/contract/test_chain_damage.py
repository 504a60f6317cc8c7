"""What is damaged, or stood where something else is to go, harms nothing but itself."""

from base64 import b64encode
from random import Random

import pytest
from support.backends import SqliteBackend
from support.conversations import SYSTEM, Talks, call, message
from support.database import direct
from support.samples import name, place, row, said

from chatkeep.core.model import Project
from chatkeep.core.packed import Codec
from chatkeep.core.ports import Store
from chatkeep.errors import RecordCorrupt, StoreFailed
from chatkeep.store.sqlite.bodies import Texts

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
    texts = Texts(Codec())
    texts.remember(1, b"tools")
    texts.remember(2, bytes(1_000_000))
    assert (texts.get(1), texts.get(2)) == (b"tools", None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE completion SET body = x'01'",
        "DELETE FROM shared WHERE length(data) > 4000",
    ],
)
async def test_a_damaged_predecessor_does_not_keep_the_next_turn_from_being_kept(
    talks: Talks, backend: SqliteBackend, statement: str
) -> None:
    asked = [SYSTEM, message("user", "Sing")]
    damaged = await talks.keep(call(asked), SOUND)
    with direct(backend.path) as connection:
        connection.execute(statement)
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
        connection.execute("UPDATE completion SET body = x'01' WHERE seq = ?", (first.row.seq,))
    repeated = await talks.keep(call(asked), message("assistant", "La la la"))
    assert await talks.store.get(talks.project, name(repeated.row)) is not None
