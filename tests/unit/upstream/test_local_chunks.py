"""llama.cpp's chunks as OpenAI's."""

import json
from typing import Any

from chatkeep.upstream.local.chunks import Chunks
from chatkeep.upstream.local.request import Function

OPENING = {"role": "assistant", "content": None}


def said(delta: dict[str, Any], reason: str | None = None, id: str = "a", **extra: Any) -> Any:
    choice = {"finish_reason": reason, "index": 0, "delta": delta, **extra}
    return {"choices": [choice], "created": 5, "id": f"chatcmpl-{id}", "model": "/x.gguf"}


def counted(read: int, written: int, id: str = "a") -> dict[str, Any]:
    usage = {
        "completion_tokens": written,
        "prompt_tokens": read,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 1},
    }
    return {"choices": [], "created": 9, "id": f"chatcmpl-{id}", "usage": usage, "timings": {}}


def shaped(chunks: Chunks, *given: Any, index: int = 0) -> list[dict[str, Any]]:
    return [json.loads(data) for chunk in given for data in chunks.shaped(index, chunk)]


def choice(chunk: dict[str, Any]) -> dict[str, Any]:
    (only,) = chunk["choices"]
    assert isinstance(only, dict)
    return only


def test_a_chunk_is_what_openai_sends() -> None:
    chunks = Chunks(None, include_usage=False)
    assert chunks.shaped(0, said(OPENING)) == [
        b'{"id":"chatcmpl-a","object":"chat.completion.chunk","created":5,"model":"smollm2-135m",'
        b'"system_fingerprint":"fp_smollm2_135m_q4_1","choices":[{"index":0,'
        b'"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,'
        b'"finish_reason":null}]}'
    ]


def test_words_and_the_reason_to_end_pass() -> None:
    chunks = Chunks(None, include_usage=False)
    logprobs = {"content": [{"token": "Hé"}]}
    words, end = shaped(chunks, said({"content": "Hé"}, logprobs=logprobs), said({}, "length"))
    assert choice(words)["delta"] == {"content": "Hé"}
    assert choice(words)["logprobs"] == logprobs
    assert choice(end)["delta"] == {}
    assert choice(end)["finish_reason"] == "length"


def test_the_progress_of_the_prompt_is_not_told() -> None:
    chunks = Chunks(None, include_usage=False)
    assert chunks.shaped(0, said(OPENING) | {"prompt_progress": {"total": 32}}) == []


def test_all_choices_are_of_one_completion() -> None:
    chunks = Chunks(None, include_usage=False)
    (first,) = shaped(chunks, said(OPENING, id="a"), index=1)
    (second,) = shaped(chunks, said(OPENING, id="b") | {"created": 6}, index=0)
    assert [choice(first)["index"], choice(second)["index"]] == [1, 0]
    assert (first["id"], first["created"]) == (second["id"], second["created"])


def test_usage_comes_last_and_counts_the_prompt_once() -> None:
    chunks = Chunks(None, include_usage=True)
    (opening,) = shaped(chunks, said(OPENING))
    assert opening["usage"] is None
    assert shaped(chunks, counted(10, 3)) == []
    assert shaped(chunks, counted(10, 4, id="b"), index=1) == []
    (last,) = map(json.loads, chunks.last())
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 1},
    }


def test_usage_stays_out_of_a_stream_that_did_not_ask() -> None:
    chunks = Chunks(None, include_usage=False)
    (opening,) = shaped(chunks, said(OPENING), counted(10, 3))
    assert "usage" not in opening
    assert chunks.last() == []


def test_a_call_opens_with_its_name_and_goes_on_with_pieces_of_arguments() -> None:
    chunks = Chunks(Function("weather", {}), include_usage=False)
    long_id = "X" * 32
    opening, piece, end = shaped(
        chunks,
        said(OPENING, id=long_id),
        said({"content": '{"ci'}, logprobs={"content": []}),
        said({}, "stop"),
    )
    function = {"name": "weather", "arguments": ""}
    call = {"index": 0, "id": "call_" + "X" * 24, "type": "function", "function": function}
    assert choice(opening)["delta"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [call],
    }
    pieces = [{"index": 0, "function": {"arguments": '{"ci'}}]
    assert choice(piece)["delta"] == {"tool_calls": pieces}
    assert choice(piece)["logprobs"] is None
    assert choice(end)["delta"] == {}
    assert choice(end)["finish_reason"] == "tool_calls"


def test_a_call_that_was_cut_says_so() -> None:
    chunks = Chunks(Function("weather", {}), include_usage=False)
    (end,) = shaped(chunks, said({}, "length"))
    assert choice(end)["finish_reason"] == "length"
