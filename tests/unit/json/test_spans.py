"""Where the parts of a JSON text lie, and what is cut from or put into it."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jsontexts import (
    LONE_SURROGATE,
    ArrayText,
    ObjectText,
    arrays,
    objects,
    pairs,
    standard,
    strings,
    values,
)

from chatkeep.core.json import spans
from chatkeep.core.json.spans import Edit
from chatkeep.errors import NestedTooDeep, NotJson

DEEP = 100_000

NOT_JSON = (
    b"",
    b" ",
    b"{",
    b"[",
    b"nul",
    b"truefalse",
    b"{} {}",
    b"{}x",
    b"[]]",
    b"{}\x00",
    b"\x0b{}",
    b"\xef\xbb\xbf{}",
    '{"a":1}'.encode("utf-16"),
    b"{'a':1}",
    b"{a:1}",
    b'{"a"}',
    b'{"a" 1}',
    b'{"a":}',
    b'{"a":1,}',
    b'{,"a":1}',
    b'{"a":1 "b":2}',
    b'{"a":1,,"b":2}',
    b'{"a":[1,]}',
    b"[1,]",
    b"[,1]",
    b"[1 2]",
    b'{"a":NaN}',
    b"[Infinity]",
    b"[-Infinity]",
    b"[01]",
    b"[-]",
    b"[1.]",
    b"[.5]",
    b"[+1]",
    b"[1e]",
    b"[0x1]",
    b'{"a":"\xff"}',
    b'{"\xff":1}',
    b'["\xed\xa0\xbd"]',
    b'["\xc0\x80"]',
    b'["\x01"]',
    b'["a\nb"]',
    b'["\\q"]',
    b'["\\u12g4"]',
    b'["\\u12"]',
    b'["abc]',
    b'{"a":"\\ud83d","b":01}',
    b'{"a":"\\ud83d",}',
    b'{"a":"\\ud83d"} {}',
    b'["\\ud83d",]',
    b'["\\ud83d" 1]',
    b'{"a":1,"a":NaN}',
)


@pytest.mark.parametrize("text", NOT_JSON)
def test_what_is_no_json_is_refused_by_every_reader(text: bytes) -> None:
    for read in (spans.members, spans.fields, spans.elements, spans.loads):
        with pytest.raises(NotJson):
            read(text)


@pytest.mark.parametrize("text", [b"[]", b"null", b'"{}"', b"12", b"[{}]", LONE_SURROGATE])
def test_what_is_no_object_has_no_members(text: bytes) -> None:
    for read in (spans.members, spans.fields):
        with pytest.raises(NotJson):
            read(text)


@pytest.mark.parametrize("text", [b"{}", b"null", b'"[]"', b"12", LONE_SURROGATE])
def test_what_is_no_array_has_no_elements(text: bytes) -> None:
    with pytest.raises(NotJson):
        spans.elements(text)


@pytest.mark.parametrize("opened", [b'{"a":', b'{"a":"\\ud83d","b":', b'{"a":1,"a":'])
@pytest.mark.parametrize(
    "deep",
    [b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"[" * DEEP],
    ids=["arrays", "objects", "never closed"],
)
def test_what_is_nested_too_deep_is_refused(opened: bytes, deep: bytes) -> None:
    for read in (spans.members, spans.fields, spans.loads):
        with pytest.raises(NestedTooDeep):
            read(opened + deep + b"}")


def test_an_array_nested_too_deep_is_refused() -> None:
    for text in (b"[" * DEEP + b"]" * DEEP, b'["\\ud83d",' + b"[" * DEEP + b"]" * DEEP + b"]"):
        with pytest.raises(NestedTooDeep):
            spans.elements(text)


@given(objects().map(lambda made: made.text) | arrays().map(lambda made: made.text), st.data())
def test_a_text_with_a_few_bytes_changed_is_accepted_when_the_standard_library_does(
    text: bytes, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 2)))
    odd = st.sampled_from(
        (b"", b",", b'"', b"\\", b"}", b"]", b"0", b"e", b"-", b"\xff", b"\xed\xa0\xbd")
    )
    changed = text[:start] + data.draw(odd) + text[end:]
    try:
        wanted = standard(changed)
    except ValueError:
        with pytest.raises(NotJson):
            spans.loads(changed)
    else:
        assert spans.loads(changed) == wanted


@given(objects(values=values))
def test_each_member_is_found_with_its_exact_bytes(given: ObjectText) -> None:
    found = spans.members(given.text)
    assert [member.key for member in found] == [part.key for part in given.parts]
    assert [given.text[member.start : member.end] for member in found] == [
        part.member for part in given.parts
    ]
    assert [given.text[member.value : member.end] for member in found] == [
        part.value for part in given.parts
    ]


@given(objects(st.sampled_from(('"a"', '"b"', '"\\u0061"', '"é"', '"\\ud83d"')), values))
def test_of_a_repeated_key_the_last_value_counts(given: ObjectText) -> None:
    assert spans.fields(given.text) == {part.key: part.value for part in given.parts}
    assert [member.key for member in spans.members(given.text)] == [
        part.key for part in given.parts
    ]


@given(arrays(values))
def test_each_element_is_found_with_its_exact_bytes(given: ArrayText) -> None:
    assert spans.elements(given.text) == given.items


@given(values)
def test_a_value_is_the_one_the_standard_library_reads(text: str) -> None:
    assert spans.loads(text.encode()) == standard(text.encode())


@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1" + b"0" * 400])
def test_a_number_of_any_length_is_read(number: bytes) -> None:
    assert isinstance(spans.loads(number), int | float)
    assert spans.elements(b"[%b,1]" % number) == [number, b"1"]
    assert spans.elements(b'[%b,"\\ud83d"]' % number) == [number, LONE_SURROGATE]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | strings.map(json.loads),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(strings.map(json.loads), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_a_value_means_the_same_when_written_and_read_again(value: Any) -> None:
    text = spans.dumps(value)
    assert standard(text) == value
    assert spans.loads(text) == value


def test_a_lone_surrogate_is_written_as_an_escape() -> None:
    assert spans.dumps({"\udc00": "a\ud83d"}) == b'{"\\udc00":"a\\ud83d"}'


few_keys = st.sampled_from(
    ('"store"', '"metadata"', '"model"', '"n"', '"st\\u006fre"', '"é"', '""')
)


@given(objects(few_keys, values), st.frozensets(st.sampled_from(("store", "metadata", "n", "é"))))
def test_cutting_any_keys_leaves_exactly_the_others_byte_for_byte(
    given: ObjectText, unwanted: frozenset[str]
) -> None:
    edits = spans.cut(spans.members(given.text), unwanted)
    cut = spans.edited(given.text, edits)
    kept = [part for part in given.parts if part.key not in unwanted]
    assert pairs(cut) == [
        (part.key, json.loads(part.value, object_pairs_hook=list)) for part in kept
    ]
    assert [cut[member.start : member.end] for member in spans.members(cut)] == [
        part.member for part in kept
    ]


@given(objects(few_keys, values))
def test_cutting_nothing_changes_nothing(given: ObjectText) -> None:
    edits = spans.cut(spans.members(given.text), frozenset({"absent"}))
    assert spans.edited(given.text, edits) == given.text


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (b'{"store":true,"n":1}', b'{"n":1}'),
        (b'{"n":1,"store":true}', b'{"n":1}'),
        (b'{ "n" : 1 , "store" : true }', b'{ "n" : 1 }'),
        (b'{ "store" : true , "n" : 1 }', b'{ "n" : 1 }'),
        (b'{"n":1,"store":1,"metadata":{},"k":2}', b'{"n":1,"k":2}'),
        (b'{"store":1,"n":1,"store":2,"k":2,"metadata":{},"store":3}', b'{"n":1,"k":2}'),
        (b'{"store":true}', b"{}"),
        (b'{ "store":true, "metadata":{} }', b"{  }"),
    ],
)
def test_a_member_is_cut_with_its_comma(text: bytes, cut: bytes) -> None:
    edits = spans.cut(spans.members(text), frozenset({"store", "metadata"}))
    assert spans.edited(text, edits) == cut


@given(st.binary(max_size=40), st.data())
def test_edits_replace_their_spans_and_nothing_else(text: bytes, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=8, unique=True).map(sorted))
    new = st.binary(max_size=3)
    edits: list[Edit] = [
        (start, end, data.draw(new)) for start, end in zip(places[::2], places[1::2], strict=False)
    ]
    wanted = bytearray(text)
    for start, end, replacement in reversed(edits):
        wanted[start:end] = replacement
    assert spans.edited(text, data.draw(st.permutations(edits))) == bytes(wanted)


def test_a_text_is_inserted_beside_a_cut() -> None:
    assert spans.edited(b"abcd", [(3, 3, b"+"), (1, 3, b"")]) == b"a+d"


# Large inputs of each kind that was once looked through again for every part of it.


def test_thousands_of_members_are_cut_at_once() -> None:
    body = b"{" + b'"store":true,' * 6_000 + b'"n":1}'
    found = spans.members(body)
    edits = spans.cut(found, frozenset({"store"}))
    assert spans.edited(body, edits) == b'{"n":1}'


def test_thousands_of_repeated_members_beside_an_accent_are_found_at_once() -> None:
    body = '{"é":1,'.encode() + b'"a":"0123456789",' * 9_998 + b'"n":1}'
    assert len(spans.members(body)) == spans.MAX_MEMBERS


def test_thousands_of_elements_beside_a_lone_surrogate_are_found_at_once() -> None:
    body = '["é","\\ud83d",'.encode() + b'"0123456789",' * 10_000 + b"1]"
    assert len(spans.elements(body)) == 10_003


def test_megabytes_of_white_space_beside_a_lone_surrogate_are_passed_at_once() -> None:
    body = b'{"a":"\\ud83d",' + b" " * 10_000_000 + b'"n":1}'
    assert len(spans.members(body)) == 2


@pytest.mark.parametrize("key", [b"k" * 500_000, b"\\n" * 250_000, b"\xc3\xa9" * 250_000])
def test_a_long_key_takes_no_more_memory_than_a_few_copies_of_it(key: bytes) -> None:
    body = b'{"%b" :1}' % key
    tracemalloc.start()
    try:
        (member,) = spans.members(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert body[member.value : member.end] == b"1"
    assert peak < 20 * len(body)
