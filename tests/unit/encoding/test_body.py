"""The form a record is kept in: every field comes back, or an error; never another answer."""

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model.ids import LENGTH, compact, expanded
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding.body import Codec, Delta, Outline, Remnant
from chatkeep.store.encoding.parts import BASE64, COPY, SHARED, Text

CODEC = Codec()
OPENAI_ID = "chatcmpl-" + "AbcdefghijklmnopqrstuvwxyZ019"
NOISE = Random(7).randbytes(300)
MESSAGES_BEFORE = [b'{"role":"user","content":"the quick brown fox"}', NOISE]
LONG: list[Text] = [b"the quick brown fox " * 80, [b"x", [COPY, 3, 9], b"y"], NOISE]


def delta(
    answer: bytes = b'{"choices":[]}', upstream_id: bytes | None = None, prefix_hash: int = 77
) -> Delta:
    outline = Outline(b'{"messages":[]}', 13, b",", b'{"env":"prod"}')
    messages: list[Text] = [b'{"role":"user"}', [b"a", [SHARED, 5], [BASE64, 1 << 62], b""]]
    return Delta(3, 9, outline, messages, b'{"id":""' + answer, [(7, 0)], upstream_id, prefix_hash)


BODIES: dict[str, tuple[Delta | Remnant, bytes]] = {
    "small": (delta(), b""),
    "of OpenAI": (delta(upstream_id=compact(OPENAI_ID)), b""),
    "of others": (delta(NOISE, compact("é" * 40)), b""),
    "compressible": (delta(bytes(40_000)), b""),
    "in two frames": (
        Delta(
            1,
            2,
            1 << 60,
            None,
            [b"", [BASE64, 7]],
            [],
            None,
            1,
            [5, 6],
            [(3, 9)],
            [b", ", b","],
        ),
        CODEC.second(LONG, MESSAGES_BEFORE),
    ),
    "a remnant": (Remnant(3, 9, [b"x", [b"", [SHARED, 5], b""]], [], [(1, 2)], {5: NOISE}), b""),
    "a remnant in two": (Remnant(3, 9, None, [7], [], {}), CODEC.second(LONG, [])),
}


def body(name: str) -> bytes:
    return CODEC.body(*BODIES[name])


@pytest.mark.parametrize("name", BODIES)
def test_a_body_comes_back_as_it_was(name: str) -> None:
    assert CODEC.open(body(name)) == BODIES[name]


def test_what_was_written_once_can_still_be_read() -> None:
    """Else the dictionary is another one, or its tables are."""
    body = bytes.fromhex(
        "01c489ed68000000000000004d2071f5010044029c030994c40f7b5d7d0dc4012cc40e7d927d94c401619200"
        "059201cf4000c400c4167b5d08fc34978403939e581fc93f87e5499e934f3eb41891b923"
    )
    assert CODEC.open(body) == BODIES["small"]


def test_what_is_unlike_most_completions_is_compressed_with_more_care() -> None:
    luck = Random(9)
    numbers = delta(b" ".join(b"%.17f" % luck.random() for _ in range(60)))
    assert len(CODEC.body(numbers)) < 0.9 * len(Codec(level=3).body(numbers))
    usual = delta(b"The answer to your question is that there are no more of them. " * 3)
    assert CODEC.body(usual) == Codec(level=3).body(usual)


@pytest.mark.parametrize("before", [[], MESSAGES_BEFORE, [bytes(200_000), b"end"]])
def test_long_messages_come_back_behind_those_they_were_written_behind(before: list[bytes]) -> None:
    assert CODEC.messages(CODEC.second(LONG, before), before) == LONG


def test_what_stands_before_is_not_written_again() -> None:
    file: Text = Random(8).randbytes(3000).hex().encode()
    assert isinstance(file, bytes)
    assert len(CODEC.second([file], [b"read: " + file])) < 100 < len(CODEC.second([file], [b""]))


@pytest.mark.parametrize("name", BODIES)
def test_a_body_with_any_bit_flipped_is_refused(name: str) -> None:
    whole = body(name)
    for at, bit in itertools.product(range(len(whole)), range(8)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << bit
        with pytest.raises(RecordCorrupt):
            CODEC.open(bytes(flipped))


@pytest.mark.parametrize("name", BODIES)
def test_a_body_cut_short_anywhere_is_refused(name: str) -> None:
    whole = body(name)
    for length in range(len(whole)):
        with pytest.raises(RecordCorrupt):
            CODEC.open(whole[:length])


@given(st.sampled_from(sorted(BODIES)), st.integers(0), st.binary(min_size=1, max_size=12))
def test_a_body_with_bytes_overwritten_is_refused(name: str, at: int, other: bytes) -> None:
    whole = body(name)
    changed = bytearray(whole)
    at %= len(changed)
    changed[at : at + len(other)] = other
    if changed == whole:
        return
    with pytest.raises(RecordCorrupt):
        CODEC.open(bytes(changed))


@given(st.binary(max_size=60))
def test_what_is_no_body_is_refused(body: bytes) -> None:
    with pytest.raises(RecordCorrupt):
        CODEC.open(body)


@pytest.mark.parametrize("kind", [0x00, 0x04, 0x0F, 0x28])
def test_a_body_of_an_unknown_kind_is_refused_with_its_number(kind: int) -> None:
    with pytest.raises(RecordCorrupt, match=f"{kind:02x}"):
        CODEC.open(bytes([kind]) + body("small")[1:])


@pytest.mark.parametrize("kind", [0x02, 0x11, 0x21, 0x41, 0x81])
def test_a_body_is_not_taken_for_one_of_another_kind(kind: int) -> None:
    with pytest.raises(RecordCorrupt):
        CODEC.open(bytes([kind]) + body("small")[1:])


def test_an_empty_body_is_refused() -> None:
    with pytest.raises(RecordCorrupt, match="empty"):
        CODEC.open(b"")


@pytest.mark.parametrize("size", [1 << 46, 1 << 62, (1 << 64) - 1])
def test_a_text_that_claims_to_be_gigantic_is_refused(size: int) -> None:
    text = bytearray(CODEC.shared(Random(7).randbytes(70_000)))
    # zstd's frame header: one segment, its size in the next eight bytes.
    text[0] |= 0b1110_0000
    text[1:9] = size.to_bytes(8, "little")
    with pytest.raises(RecordCorrupt):
        CODEC.text(bytes(text))


def test_a_second_frame_that_is_damaged_or_stands_behind_other_messages_gives_no_others() -> None:
    second = CODEC.second(LONG, MESSAGES_BEFORE)
    for damaged, before in [(second[:-1], MESSAGES_BEFORE), (b"", MESSAGES_BEFORE)]:
        with pytest.raises(RecordCorrupt):
            CODEC.messages(damaged, before)


@given(st.binary(max_size=3000))
def test_any_shared_text_comes_back(text: bytes) -> None:
    assert CODEC.text(CODEC.shared(text)) == text


digits = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
openai_ids = digits.map(lambda text: "chatcmpl-" + text[:LENGTH].rjust(LENGTH, "0"))
other_ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.none() | openai_ids | other_ids | digits.map("chatcmpl-".__add__))
def test_any_id_of_the_upstream_comes_back(id: str | None) -> None:
    kept = None if id is None else compact(id)
    found, _ = CODEC.open(CODEC.body(delta(upstream_id=kept)))
    assert isinstance(found, Delta)
    assert (found.upstream_id is None) == (id is None)
    assert found.upstream_id is None or expanded(found.upstream_id) == id


@pytest.mark.parametrize(
    "id",
    [
        "chatcmpl-" + "0" * LENGTH,
        "chatcmpl-" + "z" * LENGTH,
        "chatcmpl-" + "0" * (LENGTH - 1),
        "chatcmpl-" + "0" * (LENGTH + 1),
        "chatcmpl-" + "0" * (LENGTH - 1) + "-",
        "chatcmpl-" + "0" * (LENGTH - 1) + "٣",
        "CHATCMPL-" + "0" * LENGTH,
        "chatcmpl-",
        "",
    ],
)
def test_ids_that_are_nearly_of_openais_form_come_back(id: str) -> None:
    found, _ = CODEC.open(CODEC.body(delta(upstream_id=compact(id))))
    assert isinstance(found, Delta)
    assert found.upstream_id is not None
    assert expanded(found.upstream_id) == id


def test_an_id_of_openais_form_costs_22_bytes() -> None:
    with_id, without = CODEC.body(delta(upstream_id=compact(OPENAI_ID))), CODEC.body(delta())
    assert len(with_id) - len(without) == 22


@given(st.integers(0, (1 << 63) - 1))
def test_any_head_comes_back(prefix_hash: int) -> None:
    found, _ = CODEC.open(CODEC.body(delta(prefix_hash=prefix_hash)))
    assert isinstance(found, Delta)
    assert found.prefix_hash == prefix_hash


def test_one_codec_writes_and_reads_many_bodies() -> None:
    many = [delta(bytes([n]) * n * 50, compact(str(n)), n) for n in range(50)]
    bodies = [CODEC.body(one) for one in many]
    assert [CODEC.open(body)[0] for body in bodies] == many


def test_a_body_is_smaller_than_what_it_holds() -> None:
    assert len(CODEC.body(delta(b"the quick brown fox " * 200))) < 400
