"""Record bodies: every byte comes back, or an error; never another byte."""

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jsontexts import ObjectText, objects, values

from chatkeep.core import answer
from chatkeep.core.record import Codec, Record, Text, split
from chatkeep.core.request import StoreHeaders, parsed
from chatkeep.errors import RecordCorrupt, Refusal

CODEC = Codec()

REQUEST = (
    b'{ "model": "m",\n "tools" : [{"type": "function"}] , "messages": [ {"role":"system",'
    b'"content":"1e3"}, {"role": "user", "content": "h\xc3\xa9\\ud83d"} ], "store": true }\n'
)
ANSWER = (
    b'{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"a"}},'
    b'{"index":1,"message": {"content" : null } }],"usage":null}'
)


def kept(request: bytes, answered: bytes, upstream_id: str | None = "chatcmpl-up") -> Record:
    """As a call keeps it: in the slices that its request and its answer name."""
    slices = parsed(request, StoreHeaders()).slices
    return Record(
        split(request, slices), split(answered, answer.read(answered).messages), upstream_id
    )


def plain(request: bytes, answered: bytes, upstream_id: str | None = None) -> Record:
    return Record(Text([request], []), Text([answered], []), upstream_id)


def damaged_is_refused(record: Record, body: bytes) -> None:
    """Fails unless the damaged body is refused, or says the same in spite of the damage."""
    try:
        found = CODEC.decode(body)
    except RecordCorrupt:
        return
    assert (found.request.whole(), found.answer.whole(), found.upstream_id) == (
        record.request.whole(),
        record.answer.whole(),
        record.upstream_id,
    )


# Compressible, incompressible, empty, not JSON, with a long and with no id of the upstream.
RECORDS = {
    "small": kept(REQUEST, ANSWER),
    "text": plain(b'{"messages":["' + b"the quick brown fox " * 200 + b'"]}', b'{"choices":[]}'),
    "noise": plain(random.Random(7).randbytes(300), random.Random(8).randbytes(40), "é" * 40),
    "empty": plain(b"", b""),
    "zeros": plain(bytes(40_000), b"", "x"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_body_with_any_bit_flipped_is_refused(name: str) -> None:
    body = CODEC.encode(RECORDS[name])
    for at, bit in itertools.product(range(len(body)), range(8)):
        flipped = bytearray(body)
        flipped[at] ^= 1 << bit
        damaged_is_refused(RECORDS[name], bytes(flipped))


@pytest.mark.parametrize("name", RECORDS)
def test_a_body_cut_short_anywhere_is_refused(name: str) -> None:
    body = CODEC.encode(RECORDS[name])
    for length in range(len(body)):
        with pytest.raises(RecordCorrupt):
            CODEC.decode(body[:length])


@given(st.sampled_from(sorted(RECORDS)), st.integers(0), st.binary(max_size=12))
def test_a_body_with_bytes_overwritten_is_refused(name: str, at: int, other: bytes) -> None:
    body = bytearray(CODEC.encode(RECORDS[name]))
    at %= len(body)
    body[at : at + len(other)] = other
    damaged_is_refused(RECORDS[name], bytes(body))


@given(st.binary(max_size=60))
def test_what_is_no_body_is_refused(body: bytes) -> None:
    with pytest.raises(RecordCorrupt):
        CODEC.decode(body)


@pytest.mark.parametrize("version", [0, 2, 0x28, 255])
def test_a_body_of_an_unknown_version_is_refused_with_its_number(version: int) -> None:
    body = CODEC.encode(RECORDS["small"])
    with pytest.raises(RecordCorrupt, match=f"{version:02x}"):
        CODEC.decode(bytes([version]) + body[1:])


def test_a_body_that_claims_to_be_gigantic_is_refused() -> None:
    body = bytearray(CODEC.encode(plain(random.Random(7).randbytes(70_000), b"")))
    # zstd's frame header: one segment, its size in the next eight bytes.
    body[17 + 4] |= 0b1110_0000
    body[17 + 5 : 17 + 13] = (1 << 46).to_bytes(8, "little")
    with pytest.raises(RecordCorrupt):
        CODEC.decode(bytes(body))


def test_an_empty_body_is_refused() -> None:
    with pytest.raises(RecordCorrupt, match="empty"):
        CODEC.decode(b"")


def test_the_halves_of_two_records_do_not_make_one() -> None:
    one, other = CODEC.encode(RECORDS["small"]), CODEC.encode(RECORDS["text"])
    with pytest.raises(RecordCorrupt):
        CODEC.decode(one[:17] + other[17:])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (plain(b"ab", b"cd"), plain(b"abc", b"d")),
        (plain(b"ab", b"cd"), plain(b"", b"abcd")),
        (plain(b"a", b"b", "c"), plain(b"a", b"bc")),
        (plain(b"a", b"b", "c"), plain(b"a", b"b\0c")),
        (plain(b"a", b"b", ""), plain(b"a", b"b", None)),
    ],
)
def test_a_body_is_not_taken_for_one_whose_parts_end_elsewhere(one: Record, other: Record) -> None:
    with pytest.raises(RecordCorrupt):
        CODEC.decode(CODEC.encode(one)[:17] + CODEC.encode(other)[17:])


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.binary(), st.binary(), st.none() | names)
def test_any_bytes_come_back_as_they_were(
    request: bytes, answered: bytes, upstream_id: str | None
) -> None:
    found = CODEC.decode(CODEC.encode(plain(request, answered, upstream_id)))
    assert (found.request.whole(), found.answer.whole()) == (request, answered)
    assert found.upstream_id == upstream_id


@pytest.mark.parametrize("odd", ["\ud83d", "a\ude00b", "\0", "\ude00\ud83d"])
def test_an_upstreams_id_that_no_database_takes_does_not_stop_the_record(odd: str) -> None:
    found = CODEC.decode(CODEC.encode(plain(b"r", b"a", odd)))
    assert (found.request.whole(), found.answer.whole()) == (b"r", b"a")
    assert found.upstream_id is not None
    assert len(found.upstream_id) == len(odd)


request_keys = st.sampled_from(
    ('"messages"', '"tools"', '"model"', '"x"', '"choices"', '"\\ud83d"')
)


@given(objects(request_keys, values), objects(request_keys, values))
def test_any_json_comes_back_as_it_was(request: ObjectText, answered: ObjectText) -> None:
    head = b'{"model":"m","messages":[{}],' + request.text.strip()[1:]
    for text in (head, request.text):
        try:
            record = kept(text, answered.text)
        except Refusal:
            record = plain(text, answered.text)
        found = CODEC.decode(CODEC.encode(record))
        assert found == record
        assert found.request.whole() == text
        assert found.answer.whole() == answered.text


def test_the_slices_of_a_request_are_its_messages_and_then_its_tools() -> None:
    request = b'{"messages": [ {"a": 1} ,{"b":2}], "model":"m", "tools": [ {"c" :3} ] }'
    record = CODEC.decode(CODEC.encode(kept(request, b"{}")))
    assert record.request.slices == [b'{"a": 1}', b'{"b":2}', b'[ {"c" :3} ]']
    assert record.request.gaps == [b'{"messages": [ ', b" ,", b'], "model":"m", "tools": ', b" }"]


def test_the_slices_of_an_answer_are_the_messages_of_its_choices() -> None:
    record = CODEC.decode(CODEC.encode(kept(REQUEST, ANSWER)))
    assert record.answer.slices == [
        b'{"role":"assistant","content":"a"}',
        b'{"content" : null }',
    ]


def test_tools_before_the_messages_are_no_slice_of_their_own_but_lost_neither() -> None:
    record = kept(REQUEST, ANSWER)
    assert [json.loads(part)["role"] for part in record.request.slices] == ["system", "user"]
    assert record.request.whole() == REQUEST


@pytest.mark.parametrize(
    "answered", [b"", b"<html>", b"[1]", b'{"choices":7}', b'{"choices":[[]]}']
)
def test_an_answer_that_is_no_completion_has_no_slices_and_comes_back(answered: bytes) -> None:
    record = CODEC.decode(CODEC.encode(kept(REQUEST, answered)))
    assert record.answer == Text([answered], [])


@st.composite
def texts_with_parts(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    pieces: list[Any] = draw(st.lists(st.tuples(st.binary(max_size=3), st.booleans()), max_size=8))
    return b"".join(piece for piece, _ in pieces), [piece for piece, named in pieces if named]


@given(texts_with_parts())
def test_parts_that_stand_in_the_text_in_this_order_are_all_its_slices(
    given: tuple[bytes, list[bytes]],
) -> None:
    text, parts = given
    found = split(text, parts)
    assert found.slices == parts
    assert len(found.gaps) == len(parts) + 1
    assert found.whole() == text


@given(st.binary(max_size=20), st.lists(st.binary(max_size=3), max_size=6))
def test_parts_that_may_not_stand_there_change_no_byte(text: bytes, parts: list[bytes]) -> None:
    found = split(text, parts)
    assert found.whole() == text
    assert len(found.gaps) == len(found.slices) + 1


def test_one_codec_writes_and_reads_many_records() -> None:
    records = [plain(bytes([i]) * i * 50, b"{}" * i, str(i)) for i in range(50)]
    bodies = [CODEC.encode(record) for record in records]
    assert [CODEC.decode(body) for body in bodies] == records


def test_a_body_is_smaller_than_what_it_holds() -> None:
    assert len(CODEC.encode(RECORDS["text"])) < len(RECORDS["text"].request.whole()) / 10
