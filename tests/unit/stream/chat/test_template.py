"""Chunks that are like the one before are read by their text alone: nothing else may differ."""

import json
from itertools import pairwise, product, starmap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.assembly import read
from support.jsontexts import strings
from support.streams import every, shown_by, stream_of

from chatkeep.core.model.ids import CompletionId
from chatkeep.core.stream.chat.assembly import Assembly
from chatkeep.core.stream.chat.chunks import Chunks
from chatkeep.core.stream.chat.template import Shape, shape_of
from chatkeep.core.stream.relay import StreamRelay

ID = CompletionId("chatcmpl-0abcdefghijklmnopqrstuvwxyzAB")
TEXT = "@text@"
ALIKE = {"a longer text": 150, "a tool call in fragments": 6, "a refusal": 6}  # chunks, at least

deltas: list[Any] = [
    {"content": TEXT},
    {"role": "assistant", "content": TEXT, "refusal": None, "tool_calls": []},
    {"content": None, "reasoning_content": TEXT},
    {"content": TEXT, "reasoning": "always"},
    {"content": TEXT, "x": {"content": TEXT}},
    {"content": [{"type": "text", "text": TEXT}]},
    {"name": TEXT},
    {"role": TEXT},
    {"a.b": TEXT},
    {'"': TEXT},
    {"function_call": {"arguments": TEXT}},
    {"function_call": {"name": "f", "arguments": TEXT}},
    {"tool_calls": [{"index": 0, "function": {"arguments": TEXT}}]},
    {"tool_calls": [{"index": 1, "type": "function", "function": {"arguments": TEXT}}]},
    {"tool_calls": [{"index": 0, "id": "b", "function": {"name": "g", "arguments": TEXT}}]},
    {"tool_calls": [{"index": 0, "id": TEXT, "function": {"arguments": "{"}}]},
    {"tool_calls": [{"function": {"arguments": TEXT}}]},
    {"tool_calls": [{"index": 0, "custom": {"input": "x"}, "function": {"arguments": TEXT}}]},
    {"tool_calls": [{"index": 0, "custom": {"input": TEXT}}]},
]
of_choice: list[Any] = [
    {},
    {"logprobs": None, "finish_reason": None},
    {"logprobs": {"content": [{"token": "t"}], "refusal": None}},
    {"finish_reason": "stop"},
    {"content_filter_results": {"hate": {"filtered": False}}},
    {"message": {"role": "tool", "tool_calls": [{"id": "x"}]}},
    {"obfuscation": "xY"},
    {"index": 1},
    {"index": "0"},
    {"stop_reason": TEXT},
]
of_chunk: list[Any] = [
    {},
    {"usage": None, "obfuscation": "aB3"},
    {"usage": {"total_tokens": 1}},
    {"created": 7},
    {"obfuscation": "-"},
    {"obfuscation": ""},
    {"x": {"obfuscation": "xY"}},
    {"error": TEXT},
    {"id": "other"},
    {"\u00e9": -0.0},
]


SEPARATORS = ((",", ":"), (", ", ": "))
FRAMES = ("data: %s\n\n", "data:%s\r\n\r\n", "id: 1\ndata: %s\n\n")
PLAIN = [
    '"a"',
    '"a"',
    '"b"',
    '"\\\\"',
    '"\\ud83d"',
    '"\\ude00"',
    '"\\ud83d\\ude00"',
    '""',
    '"}}]}"',
]


def form(delta: Any, choice: Any, top: Any) -> dict[str, Any]:
    return {"id": "up", "choices": [{"index": 0, "delta": delta, **choice}], **top}


FORMS = list(starmap(form, product(deltas, of_choice, of_chunk)))


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Events of a few forms, often several of one form after each other."""
    known = draw(st.lists(st.sampled_from(FORMS), min_size=1, max_size=3))
    separators, frame = draw(st.sampled_from(SEPARATORS)), draw(st.sampled_from(FRAMES))
    events = []
    for form in draw(st.lists(st.sampled_from(known), min_size=2, max_size=8)):
        data = json.dumps(form, separators=separators)
        text, disguise = draw(st.sampled_from(PLAIN) | strings), draw(st.sampled_from(["x", "aB3"]))
        event = frame % data.replace(f'"{TEXT}"', text).replace("aB3", disguise)
        events.append(event.encode())
    return events


def text_of(event: bytes, shape: Shape) -> str | None:
    """The text of an event of the shape, read alone and as a run of one."""
    text, run = shape.text(event), shape.run(event, shape.head)
    if text is None:
        assert run is None or run.rest
    else:
        assert run == ([text], event, b"")
    return text


def taken(events: list[bytes]) -> Assembly:
    chunks = Chunks(ID, 1, hide_usage=True)
    relay = StreamRelay(chunks, 1 << 24)
    for event in events:
        relay.take(event)
    return chunks.assembly


def sent(events: list[bytes]) -> bytes:
    relay = StreamRelay(Chunks(ID, 1, hide_usage=True), 1 << 24)
    return b"".join((*map(relay.take, events), relay.end()))


def test_every_form_is_kept_as_when_every_chunk_is_read_whole() -> None:
    different = []
    for number, one in enumerate(FORMS):
        other = FORMS[(7 * number + 3) % len(FORMS)]
        said = [(one, text) for text in PLAIN] + [(other, '"a"'), (one, '"a"'), (one, '"a"')]
        events = [
            f"data: {json.dumps(form)}\n\n".replace(f'"{TEXT}"', text).encode()
            for form, text in said
        ]
        if taken(events).completion() != read(events).completion():
            different.append(one)
    assert different == []


@given(streams(), st.data())
def test_what_is_kept_and_sent_is_the_same_as_when_every_chunk_is_read_whole(
    events: list[bytes], data: st.DataObject
) -> None:
    wanted, whole = read(events), b"".join(events)
    ends = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=4)))
    reads = [whole[start:end] for start, end in pairwise([0, *ends, len(whole)])]
    for pieces in (events, [whole], reads):
        got = taken(pieces)
        assert got.completion() == wanted.completion()
        assert got.complete == wanted.complete
        assert sent(pieces) == b"".join(sent([event]) for event in events)


RUN = b'data: {"a":1,"content":"%b","b":2}\n\n'


@pytest.mark.parametrize(
    ("inside", "texts"),
    [
        ([b"a", b"", b"c"], ["a", "", "c"]),
        ([b'\\"', b"\\n", b"\xc3\xa9"], ['"', "\n", "\u00e9"]),
        ([b"a", b'b","content":"c'], None),
        ([b"a\\", b'","b'], None),  # together they would be two strings
        ([b"a", b"b\\"], None),
        ([b"a", b"\xc3", b"\xa9"], None),
        ([b"a", b"\\ud83d", b"\\ude00"], None),
        ([b"a", b"\n"], None),
    ],
)
def test_events_of_one_shape_that_come_together_are_read_together(
    inside: list[bytes], texts: list[str] | None
) -> None:
    shape = shape_of(RUN % b"x", "content", obfuscated=False)
    assert shape is not None
    run = shape.run(b"".join(RUN % text for text in inside) + RUN[:9], b"other: ")
    if texts is None:
        assert run is None
    else:
        renamed = b"".join(b'other: %b","b":2}\n\n' % text for text in inside)
        assert run == (texts, renamed, RUN[:9])


@pytest.mark.parametrize("name", every(*ALIKE))
def test_most_chunks_of_whole_streams_are_like_the_one_before(name: str) -> None:
    events = [event + b"\n\n" for event in stream_of(name).split(b"\n\n")]
    assembly, alike = Assembly(), 0
    for event, after in pairwise(events):
        assembly.add(event.removeprefix(b"data: "))
        flow = assembly.flow
        shape = flow and shape_of(event, flow.key, obfuscated=assembly.obfuscated)
        alike += shape is not None and text_of(after, shape) is not None
    assert alike >= ALIKE[shown_by(name)]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (b'{"a":1,"content":"b"}\n\n', "b"),
        (b'{"a":1,"content":""}\n\n', ""),
        (b'{"a":1,"content":"\xc3\xa9\\ud83d\\ude00\\"}"}\n\n', '\u00e9\U0001f600"}'),
        (b'{"a":1,"content":"\\ud83d"}\n\n', None),
        (b'{"a":1,"content":"\xff"}\n\n', None),
        (b'{"a":1,"content":"b\\"}\n\n', None),
        (b'{"a":1,"content":"b\n"}\n\n', None),
        (b'{"a":1,"content":"b","content":"c"}\n\n', None),
        (b'{"a":1,"content":"b"}\n\n\n', None),
        (b'{"a":1,"content":"b"}\r\n\r\n', None),
        (b'{"a":1,"content":"b"}', None),
        (b'{"a":2,"content":"b"}\n\n', None),
        (b'{"a":1,"content":null}\n\n', None),
        (b'{"a":1,"content":"}\n\n', None),
    ],
)
def test_an_event_has_the_shape_when_only_its_text_differs(event: bytes, text: str | None) -> None:
    shape = shape_of(b'data: {"a":1,"content":"a"}\n\n', "content", obfuscated=False)
    assert shape is not None
    assert text_of(b"data: " + event, shape) == text


@pytest.mark.parametrize(
    ("disguise", "text"),
    [(b"x", "b"), (b"aB3", "b"), (b"", "b"), (b"-", None), (b'"', None), (b'a","x":"b', None)],
)
def test_only_letters_and_digits_pass_for_obfuscation(disguise: bytes, text: str | None) -> None:
    event = b'data: {"content":"%b","obfuscation":"%b"}\n\n'
    shape = shape_of(event % (b"a", b"xY"), "content", obfuscated=True)
    assert shape is not None
    assert text_of(event % (b"b", disguise), shape) == text


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"content":"a","x":{"content":"b"}}\n\n',
        b'data: {"content":"a","\\u0063ontent":"b"}\n\n',
        b'data: {"content":"a","x":"\\""}\n\n',
        b'data: {"content":null}\n\n',
        b'data: {"content":\ndata: "a"}\n\n',
        b'event: x\ndata: {"content":"a"}\n\n',
        b': {"content":"a"}\n\n',
        b'data: {"content":"a"}\n\r',
        b'data: {"content":"a"}',
    ],
)
def test_an_event_that_is_not_sure_has_no_shape(event: bytes) -> None:
    assert shape_of(event, "content", obfuscated=False) is None
