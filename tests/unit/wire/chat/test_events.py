"""A stored completion as a stream: what is put together of it is what was stored."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.assembly import read

from chatkeep.core.stream.sse import EventSplitter, event_data
from chatkeep.core.wire.chat.events import events

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
calls = st.builds(
    lambda id, name, arguments: {
        "id": f"call_{id}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    },
    st.integers(0, 9),
    texts.filter(bool),
    texts,
)
messages = st.builds(
    lambda content, more: {"role": "assistant", "content": content, **more},
    texts.filter(bool) | st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "refusal": texts | st.none(),
            "reasoning_content": texts.filter(bool),
            "tool_calls": st.lists(calls, min_size=1, max_size=3),
            "annotations": st.just([{"type": "url_citation", "index": 0}]),
        },
    ),
)
tokens = st.builds(lambda token: {"token": token, "logprob": -0.25, "top_logprobs": []}, texts)
logprobs = st.none() | st.builds(lambda content: {"content": content}, st.lists(tokens, max_size=2))
reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
choices = st.lists(st.tuples(messages, logprobs, reasons), min_size=1, max_size=3).map(
    lambda several: [
        {"index": index, "message": message, "logprobs": probabilities, "finish_reason": reason}
        for index, (message, probabilities, reason) in enumerate(several)
    ]
)
answers = st.builds(
    lambda choices, more: {
        "id": "chatcmpl-x",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "m",
        "choices": choices,
        **more,
    },
    choices,
    st.fixed_dictionaries(
        {},
        optional={
            "usage": st.just(USAGE),
            "service_tier": st.just("default"),
            "system_fingerprint": texts,
            "provider": st.just({"name": "own", "list": [1]}),
        },
    ),
)


def chunks(stream: bytes) -> list[Any]:
    data = [event_data(event) for event in EventSplitter().feed(stream)]
    assert data.pop() == b"[DONE]"
    return [json.loads(each) for each in data if each is not None]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"choices":null}',
        b'{"choices":{}}',
        b'{"choices":[]}',
        b'{"error":{}}',
    ],
)
@pytest.mark.parametrize("include_usage", [False, True])
def test_what_is_no_completion_is_still_a_stream(answer: bytes, include_usage: bool) -> None:
    found = chunks(events(answer, include_usage=include_usage))
    assert [each["choices"] for each in found] == [[]] * include_usage


@pytest.mark.parametrize(
    "choice",
    [b"1", b"null", b"{}", b'{"message":null}', b'{"message":7,"index":3}', b'{"message":[]}'],
)
def test_a_choice_without_a_message_has_an_empty_delta(choice: bytes) -> None:
    (found,) = chunks(events(b'{"choices":[%b]}' % choice, include_usage=False))
    assert [each["delta"] for each in found["choices"]] == [{}]


@pytest.mark.parametrize("tool_calls", [b"null", b"{}", b'"x"', b"[]", b"[1]"])
def test_tool_calls_that_are_none_do_no_harm(tool_calls: bytes) -> None:
    message = b'{"content":"Hi","tool_calls":%b}' % tool_calls
    answer = b'{"choices":[{"message":%b}]}' % message
    (found,) = chunks(events(answer, include_usage=False))
    assert found["choices"][0]["delta"]["content"] == "Hi"


def test_values_are_repeated_in_the_bytes_that_were_stored() -> None:
    stored = (
        b'{"id" :"x","created":1.50,"choices":[{"index":0,"score": 1E400,\n"message":'
        b'{"content":"caf\\u00e9 \\ud83d","tool_calls":[{"id":"c","function" : {"x":-0.0}}]}}]}'
    )
    stream = events(stored, include_usage=False)
    for value in (b"1.50", b"1E400", b'"caf\\u00e9 \\ud83d"', b'{"x":-0.0}'):
        assert value in stream


def test_line_breaks_between_values_do_not_break_the_events() -> None:
    pretty = json.dumps({"choices": [{"message": {"x": [{"y": "a\nb"}]}}]}, indent=2).encode()
    for line_break in (b"\n", b"\r\n", b"\r", b"\n\n"):
        stream = events(pretty.replace(b"\n", line_break), include_usage=False)
        (found,) = chunks(stream)
        assert found["choices"][0]["delta"] == {"x": [{"y": "a\nb"}]}


@given(answers, st.booleans())
def test_the_stream_is_put_together_to_the_answer(
    answer: dict[str, Any], include_usage: bool
) -> None:
    stream = events(json.dumps(answer).encode(), include_usage=include_usage)
    assembly = read([stream], n=len(answer["choices"]))
    assert (assembly.complete, assembly.done) == (True, True)
    built = json.loads(assembly.completion())
    for choice in (*answer["choices"], *built["choices"]):
        for value in (choice, choice["message"]):
            for key in [key for key, inner in value.items() if inner is None]:
                del value[key]
    if not include_usage:
        answer.pop("usage", None)
    assert built == answer


@given(answers, st.booleans())
def test_each_choice_is_a_chunk_and_usage_is_one_when_asked_for(
    answer: dict[str, Any], include_usage: bool
) -> None:
    stream = events(json.dumps(answer).encode(), include_usage=include_usage)
    assert stream.endswith(DONE)
    found = chunks(stream)
    if include_usage:
        last = found.pop()
        assert (last["choices"], last["usage"]) == ([], answer.get("usage"))
    assert [[one["index"] for one in each["choices"]] for each in found] == [
        [one["index"]] for one in answer["choices"]
    ]
    for each in found:
        assert each["object"] == "chat.completion.chunk"
        assert (each["id"], each["model"]) == (answer["id"], answer["model"])
        assert each.get("usage", "absent") == (None if include_usage else "absent")
