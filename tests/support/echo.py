"""What OpenAI would answer if its model said the last message back: bytes, for `Provider`.

Key order and spacing are OpenAI's (CONTRACT.md §5), so whoever decodes and encodes an answer again
is found out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

Json = Mapping[str, Any]

MODELS = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "echo-1": "echo-1"}  # name: what it resolves to
CREATED = 1_760_000_000
FINGERPRINT = "fp_0123456789"
DONE = b"data: [DONE]\n\n"


def completion(asked: Json, call: int) -> bytes:
    """The body of a plain answer to the request body `asked`."""
    whole = _identity(asked, call, "chat.completion") | {
        "choices": [_choice(index, text) for index, text in enumerate(_replies(asked))],
        "usage": _usage(asked),
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }
    return _pretty(whole)


def events(asked: Json, call: int) -> list[bytes]:
    """The events of a streamed answer, [DONE] included."""
    options = asked.get("stream_options") or {}
    base = _identity(asked, call, "chat.completion.chunk")
    base |= {"service_tier": "default", "system_fingerprint": FINGERPRINT}
    usage: dict[str, Any] = {"usage": None} if options.get("include_usage") else {}
    padding = {"obfuscation": "Ec0"} if options.get("include_obfuscation", True) else {}
    chunks = [base | {"choices": [choice]} | usage | padding for choice in _deltas(asked)]
    if usage:
        chunks.append(base | {"choices": [], "usage": _usage(asked)} | padding)
    return [*map(_event, chunks), DONE]


def models() -> bytes:
    rows = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "system"} for name in MODELS
    ]
    return _pretty({"object": "list", "data": rows})


def invalid_url(method: str, path: str) -> bytes:
    message = f"Invalid URL ({method} {path})"
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _pretty({"error": error})


def upstream_id(call: int) -> str:
    """The id of the answer to the `call`-th request, counted from 1."""
    return f"chatcmpl-Upstream{call:021d}"


def _identity(asked: Json, call: int, kind: str) -> dict[str, Any]:
    model = MODELS.get(asked["model"], asked["model"])
    return {"id": upstream_id(call), "object": kind, "created": CREATED + call, "model": model}


def _choice(index: int, text: str) -> Json:
    message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": "stop"}


def _deltas(asked: Json) -> Iterator[Json]:
    """The choices of each chunk; several replies take turns."""
    for turn in zip_longest(*map(_parts, _replies(asked))):
        for index, part in enumerate(turn):
            if part:
                delta, reason = part
                yield {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def _parts(text: str) -> list[tuple[Json, str | None]]:
    opening = {"role": "assistant", "content": "", "refusal": None}
    words: list[Json] = [{"content": word} for word in re.findall(r"\s*\S+|\s+$", text)]
    return [(opening, None), *((word, None) for word in words), ({}, "stop")]


def _replies(asked: Json) -> list[str]:
    said = f"You said: {_text(asked['messages'][-1])}"
    return [said, *(f"{said} #{index}" for index in range(1, asked.get("n") or 1))]


def _text(message: Json) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part.get("type") == "text")


def _usage(asked: Json) -> Json:
    """A token is a word."""
    prompt = sum(len(_text(message).split()) for message in asked["messages"])
    completion = sum(len(reply.split()) for reply in _replies(asked))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _event(chunk: Json) -> bytes:
    return b"data: " + _utf8(json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))) + b"\n\n"


def _pretty(value: Json) -> bytes:
    return _utf8(json.dumps(value, ensure_ascii=False, indent=2)) + b"\n"


def _utf8(text: str) -> bytes:
    # Half a surrogate pair goes out the only way it can have come in: escaped.
    return text.encode("utf-8", "backslashreplace")
