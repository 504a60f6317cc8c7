"""Texts in parts: whatever is put aside, the same bytes are put together again."""

from base64 import b64encode
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.store.encoding.parts import (
    BASE64,
    COPY,
    SHARED,
    Shelf,
    Text,
    copied_in,
    copying,
    joined,
    shared_in,
    strings,
)

SECRET, OTHER = b"s" * 32, b"t" * 32
IMAGE = Random(1).randbytes(6000)
TEXT = b64encode(IMAGE)
NOTHING: dict[int, bytes] = {}
ANSWER = b'{"id":"","choices":[{"message":{"content":"One answer, \\"quoted\\"","x":"short"}}]}'


def loaded(shelf: Shelf, text: Text) -> bytes:
    return joined(text, shelf.texts.__getitem__)


def test_an_image_is_put_aside_decoded() -> None:
    shelf = Shelf(SECRET)
    parts = shelf.decoded(b'{"url":"data:image/png;base64,%b"}' % TEXT)
    assert list(shelf.texts.values()) == [IMAGE]
    assert isinstance(parts, list)
    assert parts[1::2] == [[BASE64, next(iter(shelf.texts))]]
    assert loaded(shelf, parts) == b'{"url":"data:image/png;base64,%b"}' % TEXT


@pytest.mark.parametrize(
    "text",
    [
        TEXT[:-1],  # no base64: a length that none has
        TEXT[:-2] + b"==",
        b64encode(IMAGE + b"!").rstrip(b"="),  # unpadded
        b64encode(IMAGE + b"!")[:-3] + b"R==",  # bits that do not count are set
        b64encode(IMAGE + b"!") + b"=",
        TEXT[:4097] + b"\\/" + TEXT[4097:],  # as PHP writes it
        TEXT.replace(b"/", b"_").replace(b"+", b"-"),
        TEXT + b"=" * 5,
    ],
)
def test_what_only_looks_like_base64_comes_back_as_it_was(text: bytes) -> None:
    shelf = Shelf(SECRET)
    whole = b'{"data":"%b"}' % text
    assert loaded(shelf, shelf.decoded(whole)) == whole


runs = st.builds(
    lambda seed, size, end: b64encode(Random(seed).randbytes(size))[: -end or None],
    st.integers(0, 3),
    st.integers(3060, 3100),
    st.integers(0, 3),
)
texts = st.lists(st.binary(max_size=8) | runs | st.sampled_from([b"=", b"==", b"A" * 4096])).map(
    b"".join
)


@given(texts)
def test_any_text_comes_back_from_the_parts_it_was_cut_in(text: bytes) -> None:
    shelf = Shelf(SECRET)
    cut = shelf.cut(text)
    assert loaded(shelf, cut) == text
    assert loaded(shelf, shelf.decoded(text)) == text


@given(texts)
def test_the_keys_found_in_parts_are_those_put_aside(text: bytes) -> None:
    shelf = Shelf(SECRET)
    assert shared_in(shelf.decoded(text)) == set(shelf.texts)


def test_a_part_of_a_text_is_put_aside_where_it_stands() -> None:
    shelf = Shelf(SECRET)
    one, other = b"1" * 200, b"2" * 128
    text = b"all " + one + b" of " + other + b" it"
    assert shelf.without(text, [b"3" * 200]) == text
    parts = shelf.without(text, [other, one])
    assert shared_in(parts) == set(shelf.texts)
    assert len(shelf.texts) == 2
    assert [part for part in parts if isinstance(part, bytes)] == [b"all ", b" of ", b" it"]
    assert loaded(shelf, parts) == text


def test_what_is_too_short_to_be_worth_a_reference_stays() -> None:
    assert Shelf(SECRET).without(b"all of it" * 20, [b"of", b"all of it" * 14]) == b"all of it" * 20


def test_base64_is_found_between_what_is_put_aside() -> None:
    shelf = Shelf(SECRET)
    picture = b64encode(bytes(range(256)) * 20)
    text = b"x" * 200 + picture + b"y"
    parts = shelf.apart(text, [b"x" * 200])
    assert len(shelf.texts) == 2
    assert (shared_in(parts), loaded(shelf, parts)) == (set(shelf.texts), text)


@given(st.binary(max_size=40), st.lists(st.binary(max_size=40), max_size=4))
def test_whatever_is_put_aside_comes_back(text: bytes, stretches: list[bytes]) -> None:
    shelf = Shelf(SECRET)
    long = [stretch * 130 for stretch in stretches]
    whole = text.join([b"", *long, b""])
    assert loaded(shelf, shelf.apart(whole, long)) == whole


def test_a_small_text_stays_where_it_is_and_a_big_one_is_put_aside_whole() -> None:
    shelf = Shelf(SECRET)
    assert shelf.cut(b"word " * 800) == b"word " * 800
    assert shelf.cut(b"word " * 900) == [[SHARED, next(iter(shelf.texts))]]


def test_equal_texts_have_one_key_in_a_project_and_another_in_the_next() -> None:
    ours, theirs = Shelf(SECRET), Shelf(OTHER)
    assert ours.put(IMAGE) == ours.put(IMAGE)
    assert ours.put(IMAGE) != theirs.put(IMAGE)
    assert ours.put(IMAGE) != ours.put(IMAGE + b"!")


def test_what_a_client_says_again_of_an_answer_is_a_copy() -> None:
    message = b'{"content": "One answer, \\"quoted\\"", "role": "assistant"}'
    parts = copying(message, ANSWER, strings(ANSWER))
    ((start, end),) = copied_in(parts)
    assert ANSWER[start:end] == b'"One answer, \\"quoted\\""'
    assert parts == [b'{"content": ', [COPY, start, end], b', "role": "assistant"}']


def test_short_strings_are_not_worth_a_copy() -> None:
    assert copying(b'{"x":"short"}', ANSWER, strings(ANSWER)) == b'{"x":"short"}'


words = st.sampled_from([b'"', b"\\", b'"ten letters"', b'"eleven letters"', b"letters", b" "])
pieces = st.lists(words, max_size=12).map(b"".join)


@given(pieces, pieces)
def test_any_text_comes_back_whatever_it_copies_from_any_answer(text: bytes, answer: bytes) -> None:
    parts = copying(text, answer, strings(answer))
    assert joined(parts, NOTHING.__getitem__, lambda start, end: answer[start:end]) == text
    assert all(answer[start:end] in text for start, end in copied_in(parts))


def test_of_a_huge_answer_nothing_is_looked_for() -> None:
    assert strings(b'"eleven letters"' * 5000) == []
    assert len(strings(b'"eleven letters"' * 4000)) == 64


def test_what_is_nowhere_is_a_lookup_error() -> None:
    for missing in ([SHARED, 1], [BASE64, 1], [COPY, 0, 1]):
        with pytest.raises(LookupError):
            joined([missing], NOTHING.__getitem__)


@pytest.mark.parametrize("odd", [[], [9, 1], [SHARED], [COPY, 1], [COPY, 1, 2, 3]])
def test_what_is_no_part_is_a_value_error(odd: list[int]) -> None:
    with pytest.raises(ValueError, match="no part"):
        joined([odd], NOTHING.__getitem__)
