"""What lists and figures need of an answer: odd content gives less, never an error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchanges import LIVES, plain_answer
from support.jsontexts import objects, values

from chatkeep.core.model.completion import Usage
from chatkeep.core.wire.answer import Answer
from chatkeep.core.wire.chat.answer import opened

DEEP = 100_000


def said_by(text: bytes) -> Answer:
    return opened(text).read


def said(message: Any, **fields: Any) -> Answer:
    return said_by(json.dumps({"choices": [{"message": message}], **fields}).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>502</html>",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"model":"m"',
        b'{"model":"\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"choices":null}',
        b'{"choices":{}}',
        b'{"choices":[]}',
        b'{"choices":[null,7,"x",[]]}',
        b'{"choices":[{"message":null}]}',
        b'{"choices":[{"message":"x"}]}',
        b'{"model":7,"usage":[],"choices":[{"finish_reason":{}}]}',
        b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    ],
)
def test_an_answer_without_anything_to_read_reads_as_nothing(text: bytes) -> None:
    read = said_by(text)
    assert read == Answer(status=read.status)


@pytest.mark.parametrize("deep", [b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP])
@pytest.mark.parametrize("where", ["usage", "choices", "model"])
def test_an_answer_nested_too_deep_is_no_error(deep: bytes, where: str) -> None:
    said_by(b'{"%b":%b}' % (where.encode(), deep))
    said_by(b'{"choices":[{"message":{"content":%b}}],"s":"\\ud83d"}' % deep)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        [],
        {"prompt_tokens": "5", "completion_tokens": 1.5, "total_tokens": True},
        {"prompt_tokens": -1, "completion_tokens": 2**53, "total_tokens": 10**30},
        {"prompt_tokens": None, "completion_tokens": [], "total_tokens": {}},
    ],
)
def test_a_count_that_is_none_is_left_out(usage: Any) -> None:
    assert said({}, usage=usage).usage == Usage(None, None, None)


def test_one_odd_count_does_not_take_the_others_with_it() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": "4", "total_tokens": 2**53 - 1, "cost": 0.5}
    assert said({}, usage=usage).usage == Usage(3, None, 2**53 - 1)


@pytest.mark.parametrize("name", LIVES)
def test_a_whole_answer_is_read(name: str) -> None:
    plain = plain_answer(name)
    answer = json.loads(plain)
    used = answer["usage"]
    read = said_by(plain)
    assert read.model == answer["model"] == "gpt-4o-mini-2024-07-18"
    assert read.finish_reason == "stop"
    assert read.usage == Usage(
        used["prompt_tokens"], used["completion_tokens"], used["total_tokens"], 0, 0
    )


def test_a_lone_surrogate_hides_nothing_else() -> None:
    read = said_by(
        b'{"model":"m\\ud83d","choices":[{"message":{"content":"a\\ude00b"},"finish_reason":"s"}],'
        b'"usage":{"prompt_tokens":1}}'
    )
    assert (read.model, read.finish_reason) == ("m\ufffd", "s")
    assert read.usage == Usage(1, None, None)


def test_an_odd_choice_hides_no_other() -> None:
    read = said_by(
        b'{"model":"m","choices":[{"finish_reason":"stop","message":{"content":"a"}},7,{}],"n":1E400}'
    )
    assert (read.model, read.finish_reason) == ("m", "stop")


def test_the_first_choice_speaks_for_all() -> None:
    read = said_by(
        b'{"choices":[{"message": {"content" : "one"} ,"finish_reason":"length"},'
        b'{"message":{"content":"two"},"finish_reason":"stop"}]}'
    )
    assert read.finish_reason == "length"


def test_a_name_is_cut_where_no_name_is_longer() -> None:
    assert said({}, model="m" * 1000).model == "m" * 256


@given(st.binary(max_size=80) | objects(values=values).map(lambda made: made.text))
def test_nothing_an_upstream_sends_raises_an_error(text: bytes) -> None:
    said_by(text)


names = st.sampled_from(('"model"', '"choices"', '"usage"', '"x"'))
messages = values.map(lambda value: f'[{{"message":{value},"finish_reason":"stop"}}]')


@given(objects(names, values | messages | values.map(lambda value: f'{{"prompt_tokens":{value}}}')))
def test_what_is_read_is_what_the_standard_library_finds(given: Any) -> None:
    value = json.loads(given.text)
    read = said_by(given.text)
    model = value.get("model")
    assert (read.model is not None) == isinstance(model, str)
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    reason = first.get("finish_reason") if isinstance(first, dict) else None
    assert (read.finish_reason is not None) == isinstance(reason, str)


def test_a_message_with_a_lone_surrogate_for_a_key_is_read_all_the_same() -> None:
    text = b'{"choices":[{"message":{"\\ud83d":1,"content":"yes"},"finish_reason":"stop"}]}'
    assert said_by(text) == Answer(finish_reason="stop", texts=("yes",))
