"""Prefix hashes find the conversation a request goes on from; which turn is the base of one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model.form import FormName
from chatkeep.store.encoding.chain import REACH, STRIDE, base_depth, prefix_hashes

CHAT: FormName = "chat.completion"
SECRET, OTHER = b"s" * 32, b"t" * 32
messages = st.lists(st.binary(max_size=6), max_size=REACH + 8)


@given(messages, messages)
def test_the_last_prefix_hash_of_a_beginning_is_among_the_prefix_hashes_of_what_goes_on_from_it(
    said: list[bytes], more: list[bytes]
) -> None:
    known = prefix_hashes(SECRET, CHAT, said)
    assert [count for count, _ in known] == list(range(len(said), 0, -1))[:REACH]
    if said:
        assert (known[0] in prefix_hashes(SECRET, CHAT, said + more)) == (len(more) < REACH)


@given(messages, messages)
def test_other_messages_have_another_head(one: list[bytes], other: list[bytes]) -> None:
    assert (prefix_hashes(SECRET, CHAT, one) == prefix_hashes(SECRET, CHAT, other)) == (
        one == other
    )


@pytest.mark.parametrize("other", [[b"ab", b"c"], [b"abc"], [b"a", b"bc", b""], [b"", b"a", b"bc"]])
def test_a_prefix_hash_says_where_its_messages_end(other: list[bytes]) -> None:
    assert prefix_hashes(SECRET, CHAT, [b"a", b"bc"])[0] != prefix_hashes(SECRET, CHAT, other)[0]


def test_equal_messages_of_two_projects_have_nothing_in_common() -> None:
    said = [b"%d" % n for n in range(40)]
    assert not {*prefix_hashes(SECRET, CHAT, said)} & {*prefix_hashes(OTHER, CHAT, said)}


def test_a_prefix_hash_is_a_number_that_a_database_takes() -> None:
    found = [
        prefix_hash
        for n in range(50)
        for _, prefix_hash in prefix_hashes(SECRET, CHAT, [b"%d" % n])
    ]
    assert all(0 <= prefix_hash < 1 << 63 for prefix_hash in found)
    assert max(found) >= 1 << 62


def path(depth: int) -> list[int]:
    turns = [depth]
    while turns[-1]:
        turns.append(base_depth(turns[-1]))
    return turns


@pytest.mark.parametrize(
    ("depth", "base"),
    [(1, 0), (2, 1), (15, 14), (16, 0), (17, 16), (32, 16), (255, 254), (256, 0), (272, 256)],
)
def test_the_depth_of_a_turns_base(depth: int, base: int) -> None:
    assert base_depth(depth) == base


@given(st.integers(1, STRIDE**6))
def test_every_turn_reaches_the_first_in_few_steps(depth: int) -> None:
    digits = 1
    while STRIDE**digits <= depth:
        digits += 1
    steps = len(path(depth)) - 1
    assert steps <= (STRIDE - 1) * digits
    assert path(depth) == sorted(set(path(depth)), reverse=True)


def test_turn_1000_is_put_together_from_26_records() -> None:
    assert len(path(1000)) == 26


@given(st.integers(1, STRIDE**4))
def test_what_a_turn_builds_on_is_on_the_path_of_the_turn_before(depth: int) -> None:
    assert base_depth(depth) in path(depth - 1)
