"""Completions whose body has expired: what stays of them, and what does not."""

from random import Random

import pytest
from support.backends import Backend
from support.conversations import Said, Talks, call, message
from support.samples import SECOND, import_one, listed, name, place, replacing, row, said, spoken

from chatkeep.core.model.completion import Conversation, Project, Query, Stored, Usage
from chatkeep.core.model.ids import MAX_SEQ, Seq
from chatkeep.core.ports.records import Expired
from chatkeep.core.ports.store import Store
from chatkeep.errors import BodyExpired

ALL = Seq(MAX_SEQ)


@pytest.fixture
def talks(store: Store, project: Project) -> Talks:
    return Talks(store, project)


async def expire(store: Store, project: Project, below: Seq = ALL) -> int:
    """How many bodies went."""
    gone = 0
    more = True
    while more:
        done, more = await store.expire_bodies(project, below, 7)
        gone += done
    return gone


async def got(store: Store, project: Project, seq: Seq) -> Stored:
    found = await store.get(project, name(row(seq)))
    assert found is not None
    return found


async def chain(talks: Talks, turns: int) -> list[Said]:
    """A conversation, each of whose turns goes on from the one before."""
    kept: list[Said] = []
    history: list[bytes] = []
    for turn in range(turns):
        history = [*history, message("user", f"question {turn}")]
        answer = message("assistant", f"answer {turn}")
        kept.append(await talks.keep(call(history), answer, metadata={"turn": str(turn)}))
        history = [*history, answer]
    return kept


async def conversation(talks: Talks, said: Said) -> list[tuple[Seq, str | None]]:
    found = await talks.store.conversation(talks.project, name(said.row), None, "asc", 100)
    assert isinstance(found, Conversation)
    return [(turn.item.row.seq, turn.parent) for turn in found.turns]


async def test_there_is_nothing_to_let_go_of_in_an_empty_store(
    store: Store, project: Project
) -> None:
    assert await store.expire_bodies(project, ALL, 5) == Expired(0, more=False)


async def test_bodies_go_one_by_one_from_the_oldest_on(store: Store, project: Project) -> None:
    for n in (2, 0, 1):
        await store.insert(project, row(place(n)), said())
    for gone in range(3):
        assert await store.expire_bodies(project, place(2), 1) == Expired(gone < 2, more=gone < 2)
        has_body = [(await got(store, project, place(n))).has_body for n in range(3)]
        assert has_body == [n > min(gone, 1) for n in range(3)]


async def test_of_another_project_no_body_goes(
    store: Store, project: Project, other: Project
) -> None:
    await store.insert(project, row(place(0)), said())
    assert await expire(store, other) == 0
    assert (await got(store, project, place(0))).has_body


async def test_the_row_stays_as_it_was(store: Store, project: Project, backend: Backend) -> None:
    kept = row(place(0), {"k": "v"}, usage=Usage(1, 2, 3, 4, 5), cost_micro=6, first_token_ms=7)
    await store.insert(project, kept, said("a secret"))
    assert await expire(store, project) == 1
    found = await got(store, project, place(0))
    assert found.row == kept
    assert b"secret" not in found.request + found.answer
    assert backend.faults() == []


async def test_there_is_no_request_any_more(store: Store, project: Project) -> None:
    kept = row(place(0))
    await store.insert(project, kept, said())
    await expire(store, project)
    with pytest.raises(BodyExpired, match=kept.id):
        await store.request(project, name(kept))


async def test_filters_still_find_it_and_search_does_not(store: Store, project: Project) -> None:
    for n in range(3):
        await store.insert(project, row(place(n), {"k": "v"}, model="m"), spoken("a word"))
    await expire(store, project, place(2))
    every = [place(2), place(1), place(0)]
    for query in (Query(), Query(metadata={"k": "v"}), Query(model="m", finish_reason="stop")):
        assert await listed(store, project, query) == every
    assert await listed(store, project, Query(q="word")) == [place(2)]


async def test_its_metadata_can_be_changed_and_filtered_by(store: Store, project: Project) -> None:
    kept = row(place(0), {"old": "1"})
    await store.insert(project, kept, said())
    await expire(store, project)
    changed = await store.change_metadata(project, name(kept), replacing({"new": "2"}))
    assert changed is not None
    assert changed.row.metadata == b'{"new":"2"}'
    assert (await got(store, project, place(0))).row == changed.row
    assert await listed(store, project, Query(metadata={"old": "1"})) == []
    assert await listed(store, project, Query(metadata={"new": "2"})) == [place(0)]


async def test_metadata_that_was_changed_before_stays_changed(
    store: Store, project: Project
) -> None:
    kept = row(place(0), {"old": "1"})
    await store.insert(project, kept, said())
    await store.change_metadata(project, name(kept), replacing({"new": "2"}))
    await expire(store, project)
    assert (await got(store, project, place(0))).row.metadata == b'{"new":"2"}'


async def test_it_can_be_deleted(store: Store, project: Project, backend: Backend) -> None:
    kept = row(place(0), {"k": "v"})
    await store.insert(project, kept, spoken("a word"))
    await expire(store, project)
    assert await store.delete(project, name(kept))
    assert await listed(store, project) == []
    assert backend.size() == 0
    assert backend.faults() == []


async def test_an_import_behind_those_without_bodies_has_its_own_until_its_turn_comes(
    store: Store, project: Project, backend: Backend
) -> None:
    for n in range(300):
        await store.insert(project, row(place(n)), said())
    assert await expire(store, project) == 300
    late = await import_one(store, project, "late", SECOND - 1, row(), said())
    assert late is not None
    assert await store.get(project, name(late))
    assert await expire(store, project) == 1
    found = await store.get(project, name(late))
    assert found is not None
    assert (found.row, found.has_body) == (late, False)
    assert await expire(store, project) == 0
    assert backend.faults() == []


@pytest.mark.also_encrypted
async def test_what_later_turns_say_again_stays_theirs(talks: Talks, backend: Backend) -> None:
    kept = await chain(talks, 40)
    for one in kept:
        await talks.expire(one)
        assert backend.faults() == []
        await talks.check()


async def test_what_goes_on_from_a_turn_without_body_builds_on_what_it_repeats(
    talks: Talks, backend: Backend
) -> None:
    first, second = await chain(talks, 2)
    await talks.expire(first)
    history = [message("user", "question 0"), message("assistant", "answer 0")]
    branch = await talks.keep(call([*history, message("user", "another")]), *history[1:])
    await talks.check(second, branch)
    assert backend.faults() == []


async def test_a_conversation_shows_its_turns_without_bodies_in_their_places(
    talks: Talks, backend: Backend
) -> None:
    kept = await chain(talks, 35)
    wanted = await conversation(talks, kept[0])
    assert [parent for _, parent in wanted] == [None, *(one.row.id for one in kept[:-1])]
    for expired in (10, 34):
        await talks.expire(kept[expired])
        for one in (kept[0], kept[20], kept[34]):
            assert await conversation(talks, one) == wanted
    assert backend.faults() == []


@pytest.mark.also_encrypted
@pytest.mark.parametrize("seed", range(6))
async def test_a_conversation_holds_together_whatever_goes(
    talks: Talks, backend: Backend, seed: int
) -> None:
    """Bodies go from the oldest on, completions anywhere: what is left is one conversation."""
    luck = Random(seed)
    left = await chain(talks, 20)
    bodies = iter(left.copy())
    while left:
        if luck.random() < 0.5:
            await talks.expire(next(bodies, left[-1]))
        else:
            one = left.pop(luck.randrange(len(left)))
            assert await talks.store.delete(talks.project, name(one.row))
            talks.said.pop(one.row.seq, None)
        assert backend.faults() == []
        await talks.check()
        if left:
            shown = await conversation(talks, luck.choice(left))
            assert [seq for seq, _ in shown] == [one.row.seq for one in left]
    assert backend.size() == 0
