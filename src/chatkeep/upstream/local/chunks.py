"""What llama.cpp says about each choice, as the chunks of one completion of OpenAI's."""

import json
from typing import Any

from chatkeep.upstream.local.request import MODEL_ID, Function

_FINGERPRINT = "fp_smollm2_135m_q4_1"
_OPENING = {"role": "assistant", "content": "", "refusal": None}


class Chunks:
    """The completion's first chunk names it: all others get its id and time.

    With `call` what the model writes are the arguments of a call of that function.
    """

    def __init__(self, call: Function | None, *, include_usage: bool) -> None:
        self._call = call
        self._include_usage = include_usage
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}

    def shaped(self, index: int, chunk: dict[str, Any]) -> list[bytes]:
        """The chunks that one of llama.cpp's about the choice `index` becomes."""
        if "prompt_progress" in chunk:
            return []
        if not self._head:
            self._head = _head(chunk)
        self._add_usage(chunk.get("usage"))
        id = str(chunk["id"])
        return [self._chunk([self._choice(index, id, one)]) for one in chunk["choices"]]

    def last(self) -> list[bytes]:
        """What follows when all choices have ended."""
        return [self._chunk([], self._usage)] if self._include_usage else []

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk = {**self._head, "choices": choices}
        if self._include_usage:
            chunk["usage"] = usage
        return json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode()

    def _choice(self, index: int, id: str, choice: dict[str, Any]) -> dict[str, Any]:
        delta, reason, logprobs = choice["delta"], choice["finish_reason"], choice.get("logprobs")
        if "role" in delta:
            delta = _OPENING
        if self._call is not None:
            delta = _as_call(self._call, id, delta)
            reason = "tool_calls" if reason == "stop" else reason
            logprobs = None
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}

    def _add_usage(self, usage: dict[str, Any] | None) -> None:
        """All choices read the same prompt, so it counts once."""
        if usage is None:
            return
        written = usage["completion_tokens"] + self._usage.get("completion_tokens", 0)
        read = usage["prompt_tokens"]
        self._usage = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": usage.get("prompt_tokens_details", {"cached_tokens": 0}),
        }


def _head(chunk: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": chunk["id"],
        "object": "chat.completion.chunk",
        "created": chunk["created"],
        "model": MODEL_ID,
        "system_fingerprint": _FINGERPRINT,
    }


def _as_call(function: Function, id: str, delta: dict[str, Any]) -> dict[str, Any]:
    if "role" in delta:
        opening = {
            "index": 0,
            "id": "call_" + id.removeprefix("chatcmpl-")[:24],
            "type": "function",
            "function": {"name": function.name, "arguments": ""},
        }
        return {**delta, "content": None, "tool_calls": [opening]}
    if "content" in delta:
        return {"tool_calls": [{"index": 0, "function": {"arguments": delta["content"]}}]}
    return delta
