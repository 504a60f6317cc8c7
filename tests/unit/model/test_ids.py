"""Places and names of completions: always rising, never twice, whatever clocks and restarts do."""

import json
import re
import string
from itertools import islice, pairwise
from operator import lt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import contract

from chatkeep.core.model import ids
from chatkeep.core.model.ids import Seq, Sequencer, named

NOW = 1_790_000_000
HOUR = 3600
COUNTERS = 2**21
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase

seconds = st.integers(0, 2**32 - 1)
tags = st.binary(min_size=13, max_size=13)
seqs = st.integers(0, 2**63 - 1).map(Seq)


def zero(below: int) -> int:
    return 0


def sequencer(node: int = 0, high_water: Seq | None = None) -> Sequencer:
    return Sequencer(node, high_water, zero)


OURS = ids.encode(Seq(NOW << 31), bytes(13))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chatcmpl-",
        "chatcmpl-123",
        "chatcmpl-abc123",
        OURS[:-1],
        OURS + "0",
        " " + OURS,
        OURS + "\n",
        OURS + "-0",
        OURS.upper(),
        OURS.removeprefix("chatcmpl-"),
        "Chatcmpl-" + OURS.removeprefix("chatcmpl-"),
        OURS[:-1] + "-",
        OURS[:-1] + "_",
        OURS[:-1] + "é",
        OURS[:-1] + "٣",
        OURS[:-1] + "\0",
        OURS[:-1] + "\ud800",
        "chatcmpl-" + "z" * 29,
        "chatcmpl-" + "2" + "0" * 28,
        "chatcmpl-1b9fa0be-4359-4cc3-9f0d-436759c",
        "comp-of-nobody",
    ],
)
def test_any_other_form_names_nothing(text: str) -> None:
    assert ids.decode(text) is None


def test_ids_that_are_numbers_too_large_for_ours_are_not_taken_for_ours() -> None:
    """OpenAI's are such ones: they begin with letters."""
    others = [f"chatcmpl-{first}{rest * 28}" for first in ALPHABET[2:] for rest in ALPHABET]
    assert [id for id in others if ids.decode(id) is not None] == []


@pytest.mark.recordings
def test_openais_recorded_ids_are_not_taken_for_ours() -> None:
    recorded = set(re.findall(r"chatcmpl-\w{29}", json.dumps(contract.recordings())))
    assert len(recorded) > 10
    assert [id for id in recorded if ids.decode(id) is not None] == []


def test_a_number_beyond_the_last_seq_is_not_taken_for_a_smaller_one() -> None:
    last = ids.encode(Seq(2**63 - 1), b"\xff" * 13)
    first = ids.encode(Seq(0), bytes(13))
    assert ids.decode(last) == named(Seq(2**63 - 1), b"\xff" * 13)
    assert ids.decode(first) == named(Seq(0), bytes(13))
    assert ids.decode(ids.encode(Seq(2**63), bytes(13))) is None


@given(seqs, tags)
def test_an_id_has_29_characters_and_says_its_seq_and_tag(seq: Seq, tag: bytes) -> None:
    id = ids.encode(seq, tag)
    assert re.fullmatch(r"chatcmpl-[0-9A-Za-z]{29}", id)
    assert ids.decode(id) == named(seq, tag)
    assert named(seq, tag).id == id


@given(seqs, tags)
def test_an_id_is_seq_and_tag_in_base_62(seq: Seq, tag: bytes) -> None:
    number = 0
    for digit in ids.encode(seq, tag).removeprefix("chatcmpl-"):
        number = number * 62 + ALPHABET.index(digit)
    assert number == int.from_bytes(seq.to_bytes(8) + tag)


@given(st.text(ALPHABET, min_size=28, max_size=28), st.sampled_from("01"))
def test_no_two_ids_mean_the_same(digits: str, first: str) -> None:
    text = f"chatcmpl-{first}{digits}"
    name = ids.decode(text)
    assert name is None or name.id == text


@given(st.lists(st.tuples(seqs, tags), unique_by=lambda name: name[0]))
def test_ids_sort_as_strings_in_the_order_of_arrival(names: list[tuple[Seq, bytes]]) -> None:
    by_seq = [ids.encode(seq, tag) for seq, tag in sorted(names)]
    assert sorted(by_seq) == by_seq


@given(seconds, st.integers(0, 1023), st.integers(0, COUNTERS - 1))
def test_a_seq_says_second_node_and_counter(second: int, node: int, counter: int) -> None:
    seq = ids.compose(second, node, counter)
    assert seq == second * 2**31 + node * 2**21 + counter
    assert 0 <= seq < 2**63
    assert (ids.second_of(seq), ids.node_of(seq), ids.counter_of(seq)) == (second, node, counter)


@given(seconds, st.integers(0, 1023), st.integers(0, COUNTERS - 1))
def test_the_first_of_a_second_divides_it_from_the_seconds_before(
    second: int, node: int, counter: int
) -> None:
    assert ids.first_of(second) <= ids.compose(second, node, counter)
    if second:
        assert ids.compose(second - 1, node, counter) < ids.first_of(second)


@given(seconds, st.integers(0, 1023), st.integers(0, COUNTERS - 1))
def test_the_last_of_a_second_divides_it_from_the_seconds_after(
    second: int, node: int, counter: int
) -> None:
    assert ids.compose(second, node, counter) <= ids.last_of(second)
    if second < 2**32 - 1:
        assert ids.last_of(second) < ids.compose(second + 1, node, counter)


@given(st.integers(), seqs)
def test_every_seq_is_before_or_after_any_second_in_or_out_of_range(second: int, seq: Seq) -> None:
    assert (seq >= ids.first_of(second)) == (ids.second_of(seq) >= second)
    assert (seq <= ids.last_of(second)) == (ids.second_of(seq) <= second)


def test_a_clock_set_back_an_hour_does_not_set_the_order_back() -> None:
    sequence = sequencer()
    given = [sequence.next(now) for now in (NOW, NOW - HOUR, NOW - HOUR + 1, NOW, NOW + 1)]
    assert given == sorted(set(given))
    assert [ids.second_of(seq) for seq in given] == [NOW, NOW, NOW, NOW, NOW + 1]


def test_a_clock_set_back_over_a_restart_does_not_set_the_order_back() -> None:
    before = sequencer().next(NOW)
    after = sequencer(high_water=before).next(NOW - HOUR)
    assert after > before


def test_two_restarts_in_one_second_give_no_place_twice() -> None:
    given: list[Seq] = []
    high_water = None
    for _ in range(3):
        started = sequencer(high_water=high_water)
        given += [started.next(NOW) for _ in range(3)]
        high_water = given[-1]
    assert given == sorted(set(given))
    assert {ids.second_of(seq) for seq in given} == {NOW}


def test_a_full_counter_borrows_the_next_second() -> None:
    full = ids.compose(NOW, 5, COUNTERS - 1)
    sequence = sequencer(5, full)
    borrowed = [sequence.next(NOW), sequence.next(NOW), sequence.next(NOW + 1)]
    assert [ids.second_of(seq) for seq in borrowed] == [NOW + 1] * 3
    assert [full, *borrowed] == sorted({full, *borrowed})


def test_borrowing_goes_on_for_as_many_seconds_as_it_takes() -> None:
    sequence = Sequencer(0, None, lambda below: below - 1)
    given = [sequence.next(NOW) for _ in range(COUNTERS + 100)]
    assert all(map(lt, given, islice(given, 1, None)))
    assert ids.second_of(given[-1]) == NOW + 2  # each holds half the range and one


def test_each_second_starts_at_a_random_place_with_half_of_it_free() -> None:
    starts = iter((0, 7, COUNTERS // 2 - 1))
    asked: list[int] = []

    def randbelow(below: int) -> int:
        asked.append(below)
        return next(starts)

    sequence = Sequencer(0, None, randbelow)
    given = [sequence.next(now) for now in (NOW, NOW, NOW + 1, NOW + 1, NOW + 9)]
    assert [ids.counter_of(seq) for seq in given] == [0, 1, 7, 8, COUNTERS // 2 - 1]
    assert asked == [COUNTERS // 2] * 3


def test_the_start_of_a_process_is_random_too() -> None:
    assert ids.counter_of(Sequencer(0, None, lambda below: 12_345).next(NOW)) == 12_345


@pytest.mark.parametrize("node", [0, 1, 512, 1022])
def test_every_seq_says_its_node(node: int) -> None:
    sequence = sequencer(node)
    assert {ids.node_of(sequence.next(now)) for now in (NOW, NOW, NOW - 1, NOW + 1)} == {node}


@given(
    st.lists(st.tuples(st.integers(NOW - 5, NOW + 5), st.booleans()), min_size=2, max_size=40),
    st.lists(
        st.integers(0, COUNTERS // 2 - 1) | st.just(COUNTERS // 2 - 1), min_size=40, max_size=40
    ),
)
def test_places_rise_whatever_the_clock_and_restarts_do(
    calls: list[tuple[int, bool]], random: list[int]
) -> None:
    def restarted(high_water: Seq | None) -> Sequencer:
        return Sequencer(3, high_water, lambda below: random.pop() % below)

    given: list[Seq] = []
    sequence = restarted(None)
    for now, restart in calls:
        if restart:
            sequence = restarted(given[-1] if given else None)
        given.append(sequence.next(now))
        assert ids.second_of(given[-1]) >= now
    assert all(one < other for one, other in pairwise(given))


class Imported:
    """The highest place used of each second, as a store would look it up."""

    def __init__(self) -> None:
        self.used: dict[int, Seq] = {}

    def highest(self, low: Seq, high: Seq) -> Seq | None:
        return self.used.get(low >> 31)

    def add(self, created: int) -> Seq:
        seq = ids.next_import(created, self.highest)
        self.used[seq >> 31] = seq
        return seq


def test_three_million_imports_of_one_second_all_get_a_place() -> None:
    imported = Imported()
    given = [imported.add(NOW) for _ in range(3_000_000)]
    assert all(map(lt, given, islice(given, 1, None)))  # rising, so no place is given twice
    assert ids.node_of(given[-1]) == ids.IMPORT_NODE == 1023
    # The second is full; the rest went to the one after it.
    assert ids.second_of(given[-1]) == NOW + 1
    assert ids.counter_of(given[-1]) == 3_000_000 - COUNTERS - 1


def test_an_import_does_not_meet_what_arrived_in_its_second() -> None:
    arrived = {sequencer(node).next(NOW) for node in range(1023)}
    assert Imported().add(NOW) not in arrived


def test_imports_of_different_seconds_keep_their_order() -> None:
    imported = Imported()
    given = {created: imported.add(created) for created in (NOW, NOW - HOUR, 0, NOW + 1)}
    assert [created for created, _ in sorted(given.items(), key=lambda one: one[1])] == [
        0,
        NOW - HOUR,
        NOW,
        NOW + 1,
    ]
    assert [ids.second_of(given[created]) for created in given] == list(given)


def test_an_import_goes_on_after_the_highest_place_of_its_second() -> None:
    imported = Imported()
    imported.used[NOW] = ids.compose(NOW, ids.IMPORT_NODE, 41)
    assert ids.counter_of(imported.add(NOW)) == 42


@pytest.mark.parametrize(
    "created", [-1, -NOW, 2**32 - 1, 2**32, NOW * 1000, 10**18], ids=lambda created: f"{created}"
)
def test_an_import_created_at_no_real_time_still_gets_a_place(created: int) -> None:
    seq = Imported().add(created)
    assert 0 <= seq < 2**63
    assert ids.decode(ids.encode(seq, bytes(13))) == named(seq, bytes(13))


@pytest.mark.parametrize(
    ("id", "most"),
    [
        ("chatcmpl-" + "0f" * 16, 27),  # vLLM's
        ("resp_" + "0123456789abcdef" * 3 + "ab", 32),
        ("0f" * 16, 18),
        ("chatcmpl-" + "F" * 32, 43),
        ("chatcmpl-" + "f" * 31, 41),
        ("é" + "0f" * 16, 35),
        ("", 1),
    ],
)
def test_an_id_of_hex_takes_half_of_its_digits(id: str, most: int) -> None:
    assert len(ids.compact(id)) <= most
    assert ids.expanded(ids.compact(id)) == id


@given(st.text(max_size=80) | st.from_regex(r"\A[a-z_-]{0,12}([0-9a-f]{2}){14,34}\Z"))
def test_any_id_comes_back(id: str) -> None:
    text = id.encode("utf-8", "replace").decode()
    assert ids.expanded(ids.compact(text)) == text
