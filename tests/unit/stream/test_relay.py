"""A stream that is kept: forwarded under our id, held back at `[DONE]`, assembled on the side."""

import json
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.assembly import read
from support.streams import ALL, stream_of

from chatkeep.core.model.ids import CompletionId
from chatkeep.core.stream.chat.chunks import Chunks
from chatkeep.core.stream.relay import StreamRelay

ID = CompletionId("chatcmpl-0abcdefghijklmnopqrstuvwxyzAB")
PLENTY = 1 << 24
DONE = b"data: [DONE]\n\n"
CHUNK = b'data: {"id":%b,"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"id":%b,"choices":[],"usage":{"total_tokens":3}}\n\n'
OURS, THEIRS = f'"{ID}"'.encode(), b'"chatcmpl-up"'


class Outcome(NamedTuple):
    sent: bytes  # before the commit
    held: bytes  # after it
    late: bytes
    relay: StreamRelay
    chunks: Chunks

    @property
    def all(self) -> bytes:
        return self.sent + self.held + self.late


def run(reads: list[bytes], *, hide_usage: bool = False, max_bytes: int = PLENTY) -> Outcome:
    """As a call runs it: what is held goes out as soon as the stream is done."""
    chunks = Chunks(ID, 1, hide_usage=hide_usage)
    relay = StreamRelay(chunks, max_bytes)
    sent, late = b"", b""
    for one in reads:
        done = chunks.done
        out = relay.take(one)
        sent, late = (sent, late + out) if done else (sent + out, late)
    late += relay.end()
    return Outcome(sent, relay.held, late, relay, chunks)


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"no","type":"server_error","param":null,"code":null}}\n\n',
        b'event: error\ndata: {"error":{"message":"no"},"id":"chatcmpl-up"}\n\n',
        b'data: {"type":"error","error":"overloaded"}\n\n',
        b": ping\n\n",
        b"event: ping\n\n",
        b"data: not json\n\n",
        b'data: {"id":"x","choices":[\n\n',
        b"data: []\n\n",
        b"data:\n\n",
        b"\n\n",
        b'data: {"id":"\xff","choices":[]}\n\n',
        b'data: {"id":"x","choices":' + b"[" * 100_000 + b"\n\n",
        b"retry: 10\r\n\r\n",
    ],
)
def test_an_event_that_is_no_chunk_passes_untouched(event: bytes) -> None:
    stream = [CHUNK % THEIRS, event, CHUNK % THEIRS]
    assert run(stream, hide_usage=True).all == CHUNK % OURS + event + CHUNK % OURS
    assert run([event]).all == event


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"id":%b,"choices":[],"usage":{"a":"\xff"}}\n\n' % THEIRS,
        b'data: {"id":{"a":1,\ndata: "b":2},"choices":[]}\n\n',
        b'data: {"id":[1,\ndata: 2],"choices":[],"usage":{"x":1}}\n\n',
        b'data: {"id":"\\ud83d","choices":[],"usage":{"x":"\\ud83d"}}\n\n',
        b'data: {"choices":[],"usage":1E400}\n\n',
        b'data: {"choices":[],"usage":' + b"[" * 100_000 + b"\n\n",
    ],
)
def test_nothing_an_upstream_sends_raises_an_error(event: bytes) -> None:
    out = run([CHUNK % THEIRS, event, CHUNK % THEIRS], hide_usage=True).all
    assert out.startswith(CHUNK % OURS)
    assert out.endswith(CHUNK % OURS)


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        (CHUNK % THEIRS, CHUNK % OURS),
        (CHUNK % b'""', CHUNK % OURS),
        (CHUNK % b"null", CHUNK % OURS),
        (CHUNK % b"7", CHUNK % OURS),
        (b'data:{"id":"x","choices":[]}\n\n', b'data:{"id":%b,"choices":[]}\n\n' % OURS),
        (b'data: {"choices":[]}\n\n', b'data: {"id":%b,"choices":[]}\n\n' % OURS),
        (b'data: {"choices":[],"id":"x"}\r\n\r\n', b'data: {"choices":[],"id":%b}\r\n\r\n' % OURS),
        (
            b'event: x\ndata: {"id":"x","choices":[]}\nid: 7\n\n',
            b'event: x\ndata: {"id":%b,"choices":[]}\nid: 7\n\n' % OURS,
        ),
        (
            b'data: {\ndata:  "id" : "x",\ndata: "choices":[]}\n\n',
            b'data: {\ndata:  "id" : %b,\ndata: "choices":[]}\n\n' % OURS,
        ),
        (
            b'data: {"choices":[],\ndata:"id":"x"\ndata: }\n\n',
            b'data: {"choices":[],\ndata:"id":%b\ndata: }\n\n' % OURS,
        ),
        (
            b'data: {"id":"x","object":"chat.completion.chunk"}\n\n',
            b'data: {"id":%b,"object":"chat.completion.chunk"}\n\n' % OURS,
        ),
        (
            b'data: {"id":"x","choices":[{"delta":{"content":"\\"x\\"","audio":{"id":"x"}}}]}\n\n',
            b'data: {"id":%b,"choices":[{"delta":{"content":"\\"x\\"","audio":{"id":"x"}}}]}\n\n'
            % OURS,
        ),
    ],
)
def test_each_chunk_gets_our_id_and_is_changed_nowhere_else(event: bytes, wanted: bytes) -> None:
    assert run([event]).all == wanted
    assert run([event] * 3).all == wanted * 3
    assert run([CHUNK % THEIRS, event, CHUNK % THEIRS]).all == CHUNK % OURS + wanted + CHUNK % OURS


@pytest.mark.parametrize(
    ("one", "other"),
    [(b'"a"', b'"b"'), (b'"a"', b'"ab"'), (b"1", b"12"), (b'""', b'"a"'), (b"null", b'"a"')],
)
def test_an_id_that_changes_from_chunk_to_chunk_is_replaced_in_each(
    one: bytes, other: bytes
) -> None:
    stream = [CHUNK % one, CHUNK % other, CHUNK % one]
    assert run(stream).all == CHUNK % OURS * 3


def test_an_id_behind_the_text_is_replaced_in_each() -> None:
    events = [
        b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}],"id":"up"}\n\n' % text
        for text in (b"a", b"a", b"b", b"c")
    ]
    chunks = Chunks(ID, 1, hide_usage=False)
    relay = StreamRelay(chunks, 1 << 20)
    sent = b"".join(map(relay.take, events))
    assert sent == b"".join(events).replace(b'"up"', b'"%b"' % ID.encode())
    assert b'"content":"aabc"' in chunks.assembly.completion()


def test_done_and_what_follows_is_held_back_until_the_commit() -> None:
    outcome = run([CHUNK % THEIRS + DONE + b": bye\n\nrest"])
    assert (outcome.sent, outcome.held) == (CHUNK % OURS, DONE + b": bye\n\nrest")
    outcome = run([CHUNK % THEIRS, DONE, b": bye\n\n", b"rest"])
    assert (outcome.sent, outcome.held, outcome.late) == (CHUNK % OURS, DONE, b": bye\n\nrest")


def test_without_done_nothing_is_held_and_the_last_bytes_are_the_rest() -> None:
    outcome = run([CHUNK % THEIRS, b'data: {"id":"chatcm'])
    assert (outcome.sent, outcome.held, outcome.late) == (CHUNK % OURS, b"", b'data: {"id":"chatcm')
    assert not outcome.chunks.assembly.done


USAGE_ONLY = [
    USAGE % THEIRS,
    b'data: {"id":"x","object":"x","choices": [],"usage":{"a":1},"x":"z"}\n\n',
    b'data:{"usage":{"a":1},"choices":[]}\r\n\r\n',
    b'data: {"choices":[],\ndata: "usage":{"a":1}}\n\n',
    b'data: {"choices":[ ],"usage":{"a":1}}\n\n',
    b'data: {"choices" : [],"usage":{"a":1}}\n\n',
    b'data: { "choices"\t:\t[\t],"usage":{"a":1}}\n\n',
    b'data: {"choices":[],"usage":{"a":"\\ud83d"}}\n\n',
]
NOT_USAGE_ONLY = [
    CHUNK % THEIRS,
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"a":1}}\n\n',
    b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}],"usage":null}\n\n',
    b'data: {"choices":[],"prompt_filter_results":[]}\n\n',
    b'data: {"choices":[]}\n\n',
    b'data: {"usage":{"a":1}}\n\n',
    b'data: {"choices":[{"delta":{"content":"\\"choices\\":[]"}}],"usage":{"a":1}}\n\n',
]


@pytest.mark.parametrize("event", USAGE_ONLY)
def test_the_usage_we_asked_for_is_hidden_and_counted(event: bytes) -> None:
    stream = [CHUNK % THEIRS, event, DONE]
    hidden = run(stream, hide_usage=True)
    assert hidden.all == CHUNK % OURS + DONE
    assert hidden.chunks.assembly.usage is not None


@pytest.mark.parametrize("event", USAGE_ONLY)
def test_usage_the_client_asked_for_is_not_hidden(event: bytes) -> None:
    shown = run([CHUNK % THEIRS, event, DONE])
    assert json.loads(data_of(shown.sent)[1])["usage"]


@pytest.mark.parametrize("event", NOT_USAGE_ONLY)
def test_a_chunk_that_says_more_than_usage_is_never_hidden(event: bytes) -> None:
    stream = [event, DONE]
    assert run(stream, hide_usage=True).all == run(stream).all
    assert len(data_of(run(stream, hide_usage=True).all)) == 2


def data_of(stream: bytes) -> list[bytes]:
    lines = stream.replace(b"\r\n", b"\n").replace(b"\ndata:", b"\n").split(b"\n\n")
    return [line.removeprefix(b"data:").strip() for line in lines if line.strip()]


def test_beyond_the_limit_chunks_pass_under_the_same_id_and_are_not_kept() -> None:
    stream = [CHUNK % THEIRS] * 4 + [DONE, b"rest"]
    size = len(CHUNK % THEIRS)
    outcome = run(stream, max_bytes=3 * size - 1)
    assert outcome.relay.overflow
    assert outcome.all == CHUNK % OURS * 4 + DONE + b"rest"
    assert not run(stream[:3], max_bytes=3 * size).relay.overflow


@pytest.mark.parametrize("first", [b"", CHUNK % THEIRS])
def test_an_event_longer_than_the_limit_passes_byte_for_byte(first: bytes) -> None:
    reads = [first, b"data: " + b"x" * 100, b"y" * 100, b"\n\n", DONE]
    outcome = run(reads, max_bytes=180)
    assert outcome.relay.overflow
    assert outcome.all == first.replace(THEIRS, OURS) + b"".join(reads[1:])


@given(st.data(), st.integers(0, 400))
def test_beyond_the_limit_no_byte_is_lost_however_the_stream_is_cut(
    data: st.DataObject, limit: int
) -> None:
    stream = CHUNK % THEIRS * 3 + DONE + b"rest"
    outcome = run(cut(data, stream), max_bytes=limit)
    assert outcome.all.replace(OURS, THEIRS) == stream


def cut(data: st.DataObject, stream: bytes) -> list[bytes]:
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    return [stream[start:end] for start, end in pairwise([0, *places, len(stream)])]


events = st.sampled_from([*USAGE_ONLY, *NOT_USAGE_ONLY, DONE, b": ping\n\n", b"data: x\n\n", b"\n"])


@given(
    st.lists(events, max_size=6).map(b"".join),
    st.sampled_from((b"", b"data: {", b"\r")),
    st.booleans(),
    st.data(),
)
def test_any_split_of_the_bytes_gives_the_same_bytes_and_the_same_completion(
    stream: bytes, rest: bytes, hide_usage: bool, data: st.DataObject
) -> None:
    whole = run([stream + rest], hide_usage=hide_usage)
    parts = run(cut(data, stream + rest), hide_usage=hide_usage)
    assert parts.all == whole.all
    if whole.chunks.assembly.done:
        assert parts.sent == whole.sent
    assert parts.chunks.assembly.completion() == whole.chunks.assembly.completion()


@pytest.mark.parametrize("hide_usage", [False, True])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_a_cut_at_any_place_changes_nothing(line_end: bytes, hide_usage: bool) -> None:
    stream = b"".join([CHUNK % THEIRS, *USAGE_ONLY, b": ping\n\n", *NOT_USAGE_ONLY, DONE, b"rest"])
    stream = stream.replace(b"\r\n", b"\n").replace(b"\n", line_end)
    whole = run([stream], hide_usage=hide_usage)
    different = [
        place
        for place in range(len(stream))
        if run([stream[:place], stream[place:]], hide_usage=hide_usage).all != whole.all
    ]
    assert different == []


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_a_whole_stream_differs_in_its_id_alone_however_it_is_cut(
    name: str, data: st.DataObject
) -> None:
    stream = stream_of(name)
    body, done, after = stream.partition(DONE)
    theirs: Any = json.loads(data_of(body)[0])["id"]
    outcome = run(cut(data, stream))
    assert outcome.sent == body.replace(theirs.encode(), ID.encode())
    assert outcome.held + outcome.late == done + after
    assert outcome.chunks.assembly.upstream_id == theirs
    assert outcome.chunks.assembly.completion() == read([stream]).completion()
