"""What stays of a completion without its body: figures, and nothing of what was said."""

import json
from typing import Any

import pytest
from hypothesis import given
from support.jsontexts import ObjectText, objects
from support.samples import SECOND, place, row

from chatkeep.core.model.completion import Stored
from chatkeep.core.wire.chat import stored
from chatkeep.store.encoding.expired import expired_body

ANSWER = {
    "id": "chatcmpl-Ours",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": n,
            "message": {"role": "assistant", "content": "said", "refusal": "said"},
            "logprobs": {"content": [{"token": "said"}]},
            "finish_reason": reason,
        }
        for n, reason in enumerate(("stop", "length"))
    ],
    "usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}},
    "service_tier": "default",
    "system_fingerprint": "fp_1",
    "citations": ["said"],
}
REQUEST = {
    "model": "gpt-4o-mini",
    "messages": [],
    "tools": [{"function": {"name": "said"}}],
    "tool_choice": {"function": {"name": "said"}},
    "response_format": {"json_schema": "said"},
    "user": "said",
    "seed": 3,
    "top_p": 0.5,
    "temperature": "said",
}
GONE = {"tools": None, "tool_choice": None, "response_format": None, "input_user": None}


def item(request: bytes, answer: bytes) -> Stored:
    one = row(place(0), {"k": "v"})
    return Stored(one.id, one, request, answer)


def shown(one: Stored) -> dict[str, Any]:
    """The stored object without the body."""
    left = expired_body(one)
    rest = Stored(one.id, one.row, left.request, left.answer, has_body=False)
    found: dict[str, Any] = json.loads(stored.completion(rest))
    return found


def test_figures_stay_and_nothing_that_was_said() -> None:
    one = item(json.dumps(REQUEST).encode(), json.dumps(ANSWER).encode())
    before = json.loads(stored.completion(one))
    found = shown(one)
    assert "said" not in str(found)
    choices = [(choice["index"], choice["finish_reason"]) for choice in found["choices"]]
    assert choices == [(0, "stop"), (1, "length")]
    kept = {key: value for key, value in before.items() if key not in ("citations", "choices")}
    assert {**found, "choices": None} == {**kept, **GONE, "temperature": 1.0, "choices": None}


@pytest.mark.parametrize(
    "answer", [b"", b"no JSON: said", b"[]", b'{"choices":"said"}', b'{"choices":["said",{}]}']
)
def test_of_an_odd_answer_stays_what_its_row_says(answer: bytes) -> None:
    found = shown(item(b"{}", answer))
    assert (found["model"], found["created"], found["choices"]) == ("gpt-4o-mini", SECOND, [])


@given(objects(), objects())
def test_any_request_and_answer_leave_a_stored_object(
    request: ObjectText, answer: ObjectText
) -> None:
    assert len(shown(item(request.text, answer.text))) == 19
