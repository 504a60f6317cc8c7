"""Encoding a record and decoding it again is identity, whatever it builds on."""

from base64 import b64encode
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import expanded
from chatkeep.core.model.record import Record, Request
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding import deltas
from chatkeep.store.encoding.body import Codec, Delta, Remnant
from chatkeep.store.encoding.chain import prefix_hashes
from chatkeep.store.encoding.deltas import Base, Decoded, Encoded, Outside

CODEC = Codec()
CHAT: FormName = "chat.completion"
SECRET = b"s" * 32
ID = "chatcmpl-Ours"
IMAGE = b64encode(Random(1).randbytes(5000))
METADATA = b'{"env":"prod"}'
TOOLS = b'[{"type":"function","function":{"name":"%b"}}]' % (b"look_up_" * 20)
SYSTEM = b'{"role":"system","content":"%b"}' % (b"Be brief. " * 20)
ANSWERED = (
    b'{"id":"chatcmpl-Ours","choices":[{"message":{"role":"assistant","content":"A long answer"}}]}'
)


def record(messages: Sequence[bytes], **given: bytes) -> Record:
    said = {"before": b'{"messages":[', "after": b"]}", "tools": b"", "answer": ANSWERED} | given
    request = Request(said["before"], messages, b",", said["after"], (said["tools"],))
    return Record(request, said["answer"], ID, "chatcmpl-Upstream")


class Kept:
    """Records as they are kept, one building on the other."""

    def __init__(self) -> None:
        self.texts: dict[int, bytes] = {}
        self.before = deltas.NOTHING
        self.delta: Delta | None = None

    def encode(self, record: Record, metadata: bytes = METADATA) -> Encoded:
        base = None
        if self.delta is not None:
            answer = deltas.quotable(self.delta, self.load)
            base = Base(self.delta.count, answer, self.delta.outline)
        prefix_hash = (
            prefix_hashes(SECRET, CHAT, record.request.messages)[0][1]
            if record.request.messages
            else 0
        )
        encoded = deltas.encode(CODEC, SECRET, record, metadata, prefix_hash, base, 1)
        self.texts |= encoded.shared
        return encoded

    def load(self, key: int) -> bytes:
        return self.texts[key]

    def decode(self, body: bytes, id: str = ID) -> tuple[Outside, Request]:
        found, second = CODEC.open(body)
        assert isinstance(found, Delta)
        decoded = deltas.decode(CODEC, found, second, self.load, self.before)
        request = deltas.request_of(found, SECRET, CHAT, self.load, decoded.messages)
        said = deltas.outside(found, self.load, id)
        self.delta, self.before = found, decoded
        return said, request

    def there_and_back(self, record: Record, metadata: bytes = METADATA) -> Encoded:
        encoded = self.encode(record, metadata)
        said, request = self.decode(encoded.body)
        assert request.whole() == record.request.whole()
        assert list(request.messages) == list(record.request.messages)
        assert (said.answer, said.metadata) == (record.answer, metadata)
        assert said.request == record.request.before + record.request.after
        assert (said.upstream_id and expanded(said.upstream_id)) == record.upstream_id
        shared = set(encoded.shared)
        assert self.delta is not None
        assert deltas.shared_of(self.delta, self.load) == shared
        return encoded


def test_a_first_request_comes_back() -> None:
    Kept().there_and_back(record([SYSTEM, b'{"role":"user"}']))


def test_a_request_without_messages_comes_back() -> None:
    whole = Request(b'{"messages":[]}', (), b"", b"", (TOOLS,))
    Kept().there_and_back(Record(whole, ANSWERED, ID, None))


def test_of_the_next_turn_only_what_is_new_is_kept() -> None:
    kept = Kept()
    one = [SYSTEM, b'{"role":"user","content":"%b"}' % Random(2).randbytes(400).hex().encode()]
    kept.there_and_back(record(one))
    quoted = b'{"role":"assistant","content":"A long answer"}'
    encoded = kept.there_and_back(record([*one, quoted, b'{"role":"user","content":"Go on"}']))
    assert len(encoded.body) < 200
    found, _ = CODEC.open(encoded.body)
    assert isinstance(found, Delta)
    assert deltas.copied_by(found) != set()


@pytest.mark.parametrize("where", ["before", "after"])
def test_tools_are_put_aside_wherever_they_stand(where: str) -> None:
    around = {"before": b'{"messages":[', "after": b"]}"}
    around[where] += b' "tools":%b ' % TOOLS
    kept = Kept()
    encoded = kept.there_and_back(record([b"{}"], tools=TOOLS, **around))
    assert TOOLS in encoded.shared.values()


def test_what_an_answer_repeats_of_its_request_is_put_aside() -> None:
    kept = Kept()
    asked = {"before": b'{"tools":%b,"messages":[' % TOOLS}
    answer = b'{"id":"%b","tools":%b,"choices":[]}' % (ID.encode(), TOOLS)
    encoded = kept.there_and_back(record([b"{}"], tools=TOOLS, answer=answer, **asked))
    assert list(encoded.shared.values()).count(TOOLS) == 1
    assert len(encoded.body) < 150


def test_an_answer_with_a_hole_for_an_unknown_id_is_refused() -> None:
    with pytest.raises(RecordCorrupt, match="unknown id"):
        deltas.filled(b'{"id":""}', [(7, 99)], ID)


def test_every_hole_for_our_id_is_filled_in_its_place() -> None:
    assert deltas.filled(b"<><>", [(1, 0), (3, 0)], "id") == b"<id><id>"


def test_an_outline_is_put_aside_from_the_second_time_on() -> None:
    kept = Kept()
    around = {"before": b'{"model":"%b","messages":[' % Random(3).randbytes(200)}
    sizes = [
        len(kept.there_and_back(record([b'{"n":%d}' % n for n in range(depth)], **around)).shared)
        for depth in range(1, 5)
    ]
    assert sizes == [0, 1, 1, 1]


def test_images_in_messages_and_answers_are_put_aside_once() -> None:
    kept = Kept()
    message = b'{"url":"data:image/png;base64,%b"}' % IMAGE
    encoded = kept.there_and_back(
        record([message, b"{}"], answer=b'{"id":"chatcmpl-Ours","data":"%b"}' % IMAGE)
    )
    assert len(encoded.shared) == 1
    assert len(encoded.body) < 300


def test_our_id_is_not_kept_but_put_in() -> None:
    kept = Kept()
    encoded = kept.encode(record([b"{}"]))
    said, _ = kept.decode(encoded.body, "chatcmpl-Another")
    assert said.answer == ANSWERED.replace(b"Ours", b"Another")


def test_messages_that_are_not_the_ones_that_were_sent_are_refused() -> None:
    kept = Kept()
    kept.there_and_back(record([b'{"n":1}']))
    encoded = kept.encode(record([b'{"n":1}', b'{"n":2}']))
    for others in ((b'{"n":3}',), (), (b'{"n":1}', b"{}")):
        kept.before = Decoded(others, b"")
        with pytest.raises(RecordCorrupt):
            kept.decode(encoded.body)


def test_a_shared_text_that_is_gone_or_no_outline_is_refused() -> None:
    kept = Kept()
    encoded = kept.encode(record([SYSTEM, b"{}"]))
    kept.texts.clear()
    with pytest.raises(RecordCorrupt):
        kept.decode(encoded.body)


def test_a_remnant_gives_what_was_quoted_and_no_more() -> None:
    kept = Kept()
    one = [b'{"role":"user","content":"What?"}']
    kept.there_and_back(record(one))
    assert kept.delta is not None
    quoting = [*one, b'{"role":"assistant","content":"A long answer"}']
    encoded = kept.encode(record(quoting))
    child, second = CODEC.open(encoded.body)
    assert isinstance(child, Delta)
    answer = deltas.quoted(kept.delta, kept.load, deltas.copied_by(child))
    assert list(answer.values()) == [b'"A long answer"']
    remnant, _ = CODEC.open(CODEC.body(deltas.remnant_of(kept.delta, answer)))
    assert isinstance(remnant, Remnant)
    before = deltas.decode(CODEC, remnant, b"", kept.load, deltas.NOTHING)
    assert list(deltas.decode(CODEC, child, second, kept.load, before).messages) == quoting
    assert deltas.quoted(remnant, kept.load, deltas.copied_by(child)) == answer
    with pytest.raises(LookupError):
        before.copy(0, 5)


pieces = st.sampled_from(
    [b'"A long answer"', b'"a text nobody said"', b"x" * 1500, IMAGE, b'"system"', b"\0\xff", b""]
)
texts = st.lists(pieces | st.binary(max_size=5), max_size=4).map(b"".join)
answers = texts | texts.map(lambda text: b'{"id":"chatcmpl-Ours","x":' + text)


@given(
    st.lists(st.tuples(st.lists(texts, max_size=3), answers, texts, texts), min_size=1, max_size=4),
    st.booleans(),
)
def test_any_conversation_comes_back(
    turns: list[tuple[list[bytes], bytes, bytes, bytes]], uniform: bool
) -> None:
    kept = Kept()
    said: list[bytes] = []
    for more, answer, around, metadata in turns:
        said = [*said, *more]
        gaps = [b"," * (n % 3) for n in range(len(said) - 1)]
        request = Request(around, tuple(said), b"," if uniform else gaps, around, (around[:200],))
        kept.there_and_back(Record(request, answer, ID, None), metadata)
