"""What is decided about bodies: over what was read, and without a database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bodies import Bodies, at, hash_of

from chatkeep.core.model.ids import Seq
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding.body import ExpiredBody
from chatkeep.store.encoding.chain import MAX_AGE_S, STRIDE
from chatkeep.store.encoding.writes import (
    DeletePrefixHash,
    DeleteRemnant,
    InsertPrefixHash,
    PutBody,
    PutRemnant,
    ReleaseShared,
    Relink,
    UseShared,
)

ASK = b'{"role":"user","content":"Tell me about question number one"}'
SAID = b"A long answer that is worth to be quoted by whoever goes on"
ANSWER = b'{"id":"","choices":[{"message":{"role":"assistant","content":"%b"}}]}' % SAID
REPLY = b'{"role":"assistant","content":"%b"}' % SAID
MORE = b'{"role":"user","content":"And then?"}'
OTHER = b'{"role":"user","content":"Tell me something else"}'
TOOLS = b'"tools":[%b],' % (b'{"type":"function"},' * 20)[:-1]


@pytest.fixture
def bodies() -> Bodies:
    return Bodies()


def talk(bodies: Bodies, turns: int) -> list[list[bytes]]:
    """A conversation of so many turns, the turns a second apart; the messages of each."""
    messages = [ASK]
    every = []
    for number in range(turns):
        bodies.add(at(number), messages, ANSWER)
        every.append(messages)
        messages = [*messages, REPLY, b'{"role":"user","content":"%d"}' % number]
    return every


def test_a_first_record_has_no_base_and_is_found_by_its_messages(bodies: Bodies) -> None:
    added = bodies.add(at(0), [ASK], ANSWER)
    assert (added.base, added.parent, added.new) == (None, None, [ASK])
    assert added.writes == [InsertPrefixHash(hash_of([ASK]), at(0))]


def test_the_next_turn_is_encoded_against_the_one_before_and_quotes_it(bodies: Bodies) -> None:
    bodies.add(at(0), [ASK], ANSWER)
    added = bodies.add(at(1), [ASK, REPLY, MORE], ANSWER)
    assert (added.base, added.parent, added.new) == (at(0), None, [MORE])
    assert bodies.parent(at(1)) == at(0)
    assert bodies.graph.quotes(at(0)) not in (None, set())


def test_a_request_without_messages_is_found_by_nothing(bodies: Bodies) -> None:
    assert bodies.add(at(0), [], ANSWER).writes == []


def test_what_is_a_day_apart_is_not_built_on(bodies: Bodies) -> None:
    bodies.add(at(0), [ASK], ANSWER)
    assert bodies.add(at(MAX_AGE_S + 1), [ASK, MORE], ANSWER).base is None
    assert bodies.add(at(MAX_AGE_S), [ASK, OTHER], ANSWER).base == at(0)


def test_a_request_sent_again_is_encoded_against_itself_and_has_its_parent(
    bodies: Bodies,
) -> None:
    talk(bodies, 2)
    again = bodies.add(at(5), [ASK, REPLY, b'{"role":"user","content":"0"}'], ANSWER)
    assert (again.base, bodies.parent(at(5))) == (at(1), at(0))
    thrice = bodies.add(at(6), [ASK, REPLY, b'{"role":"user","content":"0"}'], ANSWER)
    assert (thrice.base, bodies.parent(at(6))) == (at(1), at(0))
    first = bodies.add(at(7), [ASK], ANSWER)
    assert (first.base, first.parent, bodies.parent(at(7))) == (at(0), Seq(0), Seq(0))
    assert list(again.new) == list(thrice.new) == [b'{"role":"user","content":"0"}']


def test_of_two_that_said_the_same_the_one_whose_answer_comes_next_is_the_base(
    bodies: Bodies,
) -> None:
    bodies.add(at(0), [ASK], ANSWER)
    bodies.add(at(1), [ASK], b'{"id":"","choices":[{"message":{"content":"Nothing of use"}}]}')
    assert bodies.add(at(2), [ASK, REPLY, MORE], ANSWER).base == at(0)


def test_every_16th_turn_is_encoded_against_the_one_16_before(bodies: Bodies) -> None:
    talk(bodies, 2 * STRIDE + 2)
    assert bodies.records[at(STRIDE)].base == at(0)
    assert bodies.parent(at(STRIDE)) == at(STRIDE - 1)
    assert bodies.records[at(STRIDE + 1)].base == at(STRIDE)
    assert bodies.records[at(2 * STRIDE)].base == at(STRIDE)


def test_a_damaged_record_is_not_built_on_and_keeps_nothing_from_being_kept(
    bodies: Bodies,
) -> None:
    bodies.add(at(0), [ASK], ANSWER)
    bodies.damage(at(0))
    added = bodies.add(at(1), [ASK, REPLY, MORE], ANSWER)
    assert (added.base, list(added.new)) == (None, [ASK, REPLY, MORE])
    assert bodies.request(at(1)).messages == [ASK, REPLY, MORE]


def test_a_circle_of_bases_is_damage_and_no_endless_loop(bodies: Bodies) -> None:
    bodies.add(at(0), [ASK], ANSWER)
    bodies.add(at(1), [ASK, REPLY, MORE], ANSWER)
    bodies.records[at(0)] = bodies.records[at(0)]._replace(base=at(1))
    with pytest.raises(RecordCorrupt, match="no beginning"):
        list(bodies.graph.path(at(1)))


def test_what_nobody_needs_goes_without_a_rest(bodies: Bodies) -> None:
    bodies.add(at(0), [ASK], ANSWER)
    gone = bodies.delete(at(0))
    assert gone == [
        DeletePrefixHash(hash_of([ASK]), at(0)),
        ReleaseShared(set()),
        Relink(at(0), None),
    ]
    assert bodies.is_empty()


def test_a_text_that_two_share_goes_with_the_second(bodies: Bodies) -> None:
    big = b'{"role":"system","content":"%b"}' % (b"Be brief. " * 50)
    added = bodies.add(at(0), [big, ASK], ANSWER)
    assert [type(write) for write in added.writes] == [UseShared, InsertPrefixHash]
    bodies.add(at(1), [big, OTHER], ANSWER)
    bodies.delete(at(0))
    assert len(bodies.texts) == 1
    assert bodies.request(at(1)).messages == [big, OTHER]
    bodies.delete(at(1))
    assert not bodies.texts


def test_of_a_deleted_turn_stays_what_the_next_one_says_again(bodies: Bodies) -> None:
    bodies.add(at(0), [ASK], ANSWER)
    bodies.add(at(1), [ASK, REPLY, MORE], ANSWER)
    gone = bodies.delete(at(0))
    assert [type(write) for write in gone] == [DeletePrefixHash, ReleaseShared, PutRemnant]
    assert list(bodies.remnant_body(at(0)).answer.values()) == [b'"%b"' % SAID]
    assert bodies.request(at(1)).messages == [ASK, REPLY, MORE]


def test_a_remnant_goes_with_the_last_that_needs_it_and_so_do_those_below(bodies: Bodies) -> None:
    talk(bodies, 4)
    for number in (0, 1, 2):
        bodies.delete(at(number))
    assert sorted(bodies.remnants) == [at(0), at(1), at(2)]
    gone = bodies.delete(at(3))
    assert [write.seq for write in gone if isinstance(write, DeleteRemnant)] == [
        at(2),
        at(1),
        at(0),
    ]
    assert bodies.is_empty()


def test_a_remnant_is_shortened_when_one_that_quoted_it_goes(bodies: Bodies) -> None:
    bodies.add(at(0), [ASK], ANSWER)
    bodies.add(at(1), [ASK, REPLY, MORE], ANSWER)
    bodies.add(at(2), [ASK, OTHER], ANSWER)
    bodies.delete(at(0))
    assert bodies.remnant_body(at(0)).answer
    bodies.delete(at(1))
    assert not bodies.remnant_body(at(0)).answer
    assert bodies.request(at(2)).messages == [ASK, OTHER]


def test_an_expired_record_stays_with_its_parent_and_others_keep_what_they_need(
    bodies: Bodies,
) -> None:
    every = talk(bodies, 3)
    writes = bodies.expire(at(1))
    assert isinstance(writes[0], PutBody)
    assert bodies.parent(at(1)) == at(0)
    assert isinstance(bodies.graph.opened(at(1), bodies.records[at(1)].body)[0], ExpiredBody)
    assert list(bodies.remnants) == [at(1)]
    assert bodies.request(at(2)).messages == every[2]
    bodies.delete(at(2))
    assert not bodies.remnants
    assert bodies.parent(at(1)) == at(0)


def test_an_expired_record_that_is_deleted_leaves_the_remnant_that_others_need(
    bodies: Bodies,
) -> None:
    every = talk(bodies, 3)
    bodies.expire(at(1))
    assert bodies.delete(at(1)) == []
    assert bodies.request(at(2)).messages == every[2]


def test_a_damaged_record_that_goes_takes_along_what_only_it_needed(bodies: Bodies) -> None:
    talk(bodies, 2)
    bodies.delete(at(0))
    assert list(bodies.remnants) == [at(0)]
    bodies.damage(at(1))
    gone = bodies.delete(at(1))
    assert gone[0] == Relink(at(1), None)
    assert not bodies.remnants


def test_a_damaged_record_that_expires_keeps_its_parent(bodies: Bodies) -> None:
    talk(bodies, 2)
    bodies.damage(at(1))
    bodies.expire(at(1), damaged=True)
    assert bodies.parent(at(1)) == at(0)


def test_a_create_asks_few_questions_however_long_the_conversation_is(bodies: Bodies) -> None:
    talk(bodies, 3)
    bodies.asked = 0
    talk_on = [ASK, REPLY, b'{"role":"user","content":"0"}', REPLY]
    bodies.add(at(10), [*talk_on, b'{"role":"user","content":"1"}', REPLY, MORE], ANSWER)
    assert bodies.asked <= 8


@given(st.lists(st.integers(0, 3), min_size=1, max_size=14), st.data())
def test_whatever_is_added_deleted_and_expired_the_rest_comes_back(
    branches: list[int], data: st.DataObject
) -> None:
    """A tree of turns: each goes on from an earlier one; then some go, in any order."""
    bodies = Bodies()
    sent: dict[Seq, list[bytes]] = {}
    for number, branch in enumerate(branches):
        before = list(sent.values())[-1 - branch % len(sent)] if sent else []
        reply = [REPLY] if before else []
        messages = [*before, *reply, b'{"role":"user","content":"%d"}' % number]
        bodies.add(at(number), messages, ANSWER, TOOLS)
        sent[at(number)] = messages
    for seq in data.draw(st.lists(st.sampled_from(sorted(sent)), unique=True)):
        if data.draw(st.booleans()):
            bodies.delete(seq)
        else:
            bodies.expire(seq)
        del sent[seq]
        for left, messages in sent.items():
            assert bodies.request(left).messages == messages
    for seq in sorted(bodies.records):
        bodies.delete(seq)
    assert bodies.is_empty()
