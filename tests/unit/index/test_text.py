"""The text of a completion that is searched: what users and models said."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.wire.answer import MAX_CHARACTERS
from chatkeep.store.index.text import searchable_texts

NOTHING = b'{"choices":[]}'


def of(*messages: Any) -> list[str]:
    return searchable_texts([json.dumps(message).encode() for message in messages], NOTHING)


def of_answer(*messages: Any) -> list[str]:
    choices = [{"index": n, "message": message} for n, message in enumerate(messages)]
    return searchable_texts([], json.dumps({"choices": choices}).encode())


def test_messages_come_in_their_order_and_then_the_answer() -> None:
    messages = [b'{"role":"user","content":"one"}', b'{"role":"assistant","content":"two"}']
    answer = b'{"choices":[{"message":{"content":"three"}},{"message":{"content":"four"}}]}'
    assert searchable_texts(messages, answer) == ["one", "two", "three", "four"]


@pytest.mark.parametrize("role", ["system", "developer", "tool", "function"])
def test_what_neither_users_nor_models_said_is_left_out(role: str) -> None:
    assert of({"role": role, "content": "instructions"}, {"role": "user", "content": "hi"}) == [
        "hi"
    ]


def test_text_parts_and_refusals_are_said_and_other_parts_are_not() -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_data": "JVBERi0=", "filename": "secret.pdf"}},
        {"type": "refusal", "refusal": "no"},
        {"type": "thinking", "thinking": "hm"},
    ]
    assert of({"role": "user", "content": parts}) == ["look", "no"]


def test_refusals_and_transcripts_are_said_and_reasoning_is_not() -> None:
    audio = {"id": "a", "data": "UklGRg==", "transcript": "spoken"}
    message = {"content": None, "refusal": "never", "audio": audio, "reasoning_content": "hm"}
    assert of_answer(message) == ["never", "spoken"]


def test_calls_of_tools_are_said_with_their_arguments() -> None:
    calls = [
        {"type": "function", "function": {"name": "get_order", "arguments": '{"id":"#W1"}'}},
        {"type": "custom", "custom": {"name": "shell", "input": "ls -l"}},
    ]
    message = {"tool_calls": calls, "function_call": {"name": "old", "arguments": "{}"}}
    assert of_answer(message) == ["old", "{}", "get_order", '{"id":"#W1"}', "shell", "ls -l"]


def test_escapes_in_arguments_part_words_or_are_letters() -> None:
    call = {"function": {"name": "f", "arguments": r'{"t":"one\ntwo caf\u00e9 \"q\" \\x'}}
    assert of_answer({"tool_calls": [call]}) == ["f", '{"t":"one two café  q   x']


def test_a_long_text_is_cut() -> None:
    found = of(*({"role": "user", "content": "word " * 30_000} for _ in range(3)))
    assert sum(map(len, found)) == MAX_CHARACTERS


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{",
        b"\xff",
        b"NaN",
        b"[" * 100_000,
        b'{"role":7,"content":{"a":1}}',
        b'{"role":["user"],"content":[1,null,"x",["y"],{"text":5}]}',
        b'{"tool_calls":{"a":1},"function_call":"f","audio":[1]}',
        b'{"tool_calls":[1,{"function":[]},{"function":{"name":1,"arguments":{}}}]}',
        b'{"choices":{},"role":"user"}',
        b'{"choices":[1,{"message":"x"},{"message":null},{}]}',
    ],
)
def test_odd_json_gives_no_text_and_no_error(odd: bytes) -> None:
    assert searchable_texts([odd], odd) == []


def test_a_lone_surrogate_takes_no_text_with_it() -> None:
    assert searchable_texts([b'{"role":"user","content":"a \\ud83d b"}'], NOTHING) == ["a \ud83d b"]


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "text", "refusal", "audio", "tool_calls", "function", "choices"]
            ),
            inner,
        )
    ),
)


@given(values, values)
def test_any_json_gives_texts(message: Any, answer: Any) -> None:
    assert all(isinstance(text, str) for text in of(message) + of_answer(answer))
    assert searchable_texts([], json.dumps(answer).encode()) is not None


@given(values)
def test_what_is_odd_beside_a_message_changes_nothing_in_it(message: Any) -> None:
    """It is read in another way then."""
    choices = [{"message": message}]
    beside = json.dumps({"choices": [*choices, 7]}).encode()
    assert searchable_texts([], beside) == searchable_texts(
        [], json.dumps({"choices": choices}).encode()
    )


@given(st.binary(), st.binary())
def test_any_bytes_give_texts(message: bytes, answer: bytes) -> None:
    assert searchable_texts([message], answer) == []
