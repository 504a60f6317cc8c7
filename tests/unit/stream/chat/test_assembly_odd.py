"""What a server sends that makes no sense is left out, and never raises an error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.assembly import HEAD, assembled, choice, chunk, fed


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"a":"\xff"}', b"[" * 10**6, b"\x00"]
)
def test_data_that_is_no_json_object_is_counted_and_left_out(data: bytes) -> None:
    good = chunk(choice({"content": "a"}))
    assembly = fed(good, data, good)
    assert assembly.unparsed == 1
    assert json.loads(assembly.completion())["choices"][0]["message"]["content"] == "aa"


@pytest.mark.parametrize("choices", [None, 1, "x", {}, {"index": 0}, [1, None, "x", []]])
def test_absurd_choices_are_left_out(choices: Any) -> None:
    data = json.dumps({**HEAD, "choices": choices}).encode()
    assert assembled(data)["choices"] == []


@pytest.mark.parametrize("index", ["0", -1, 10**30, 1 << 31, True, 1.5, [], {}])
def test_a_choice_with_an_absurd_index_is_left_out(index: Any) -> None:
    assert assembled(chunk(choice({"content": "a"}, index)))["choices"] == []


@pytest.mark.parametrize("delta", [None, 1, "x", [], True])
def test_an_absurd_delta_is_left_out(delta: Any) -> None:
    data = [chunk(choice({"content": "a"})), chunk(choice(delta, finish_reason="stop"))]
    assert assembled(*data)["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a"},
            "finish_reason": "stop",
        }
    ]


@pytest.mark.parametrize("reason", [1, "", [], {}, False, None])
def test_an_absurd_finish_reason_is_none(reason: Any) -> None:
    assembly = fed(chunk(choice({}, finish_reason=reason)))
    assert assembly.finish_reason is None
    assert not assembly.complete


@pytest.mark.parametrize("logprobs", [None, 1, "x", True, []])
def test_absurd_logprobs_are_left_out(logprobs: Any) -> None:
    parts = [{"content": [1]}, logprobs, {"content": [2]}]
    data = [chunk(choice({}, logprobs=part)) for part in parts]
    assert assembled(*data)["choices"][0]["logprobs"] == {"content": [1, 2]}


def test_absurd_top_level_values_are_left_out() -> None:
    sensible = chunk(usage={"total_tokens": 3})
    assembly = fed(sensible, chunk(id=5, model=["m"], created=None, usage="much"))
    assert (assembly.upstream_id, assembly.model) == ("c1", "m")
    assert assembly.usage == {"total_tokens": 3}
    assert json.loads(assembly.completion())["created"] == 7


def test_nothing_at_all_still_gives_a_completion() -> None:
    assembly = fed()
    assert (assembly.done, assembly.complete, assembly.has_content) == (False, False, False)
    assert (assembly.upstream_id, assembly.model, assembly.usage) == (None, None, None)
    assert (assembly.error, assembly.finish_reason) == (None, None)
    assert json.loads(assembly.completion()) == {
        "id": "",
        "object": "chat.completion",
        "created": 0,
        "model": "",
        "choices": [],
    }


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_no_bytes_raise_an_error(data: list[bytes]) -> None:
    json.loads(fed(*data).completion())


words = st.sampled_from(
    [
        "choices",
        "index",
        "delta",
        "message",
        "role",
        "content",
        "refusal",
        "tool_calls",
        "function",
        "function_call",
        "name",
        "arguments",
        "audio",
        "data",
        "id",
        "type",
        "logprobs",
        "usage",
        "finish_reason",
        "reasoning_details",
        "thinking",
        "text",
        "custom",
        "created",
        "error",
        "model",
    ]
)
scalars = (
    st.none() | st.booleans() | st.sampled_from([0, 1, -1, 10**30, 0.5, "", "a", "=", "\ud83d"])
)
anything = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
odd_choices = st.fixed_dictionaries(
    {}, optional={"index": anything, "delta": anything, "message": anything, "logprobs": anything}
)
odd_deltas = st.fixed_dictionaries({"delta": st.dictionaries(words, anything, max_size=4)})
odd_chunks = st.fixed_dictionaries(
    {"choices": st.lists(odd_choices | odd_deltas, max_size=3) | anything},
    optional={"id": anything, "usage": anything, "error": anything, "created": anything},
)


@given(st.lists(odd_chunks, max_size=5))
def test_no_chunk_however_odd_raises_an_error(chunks: list[Any]) -> None:
    assembly = fed(*(json.dumps(odd).encode() for odd in chunks))
    for attribute in ("upstream_id", "model", "usage", "error", "finish_reason", "complete"):
        getattr(assembly, attribute)
    assert assembly.has_content in (True, False)
    assert assembly.completion() == assembly.completion()
    assert json.loads(assembly.completion())["object"] == "chat.completion"
    assert assembly.unparsed == 0
