"""What the provider's model says, so that every client has text, streams and tools to deal with.

It uses the tools it is offered once, then says the last message back: an agent's loop ends.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from support import echo
from support.provider import Answer, Plain, Received, Stream

ID = "chatcmpl-899"  # always the same, as from some servers: whoever goes by it mixes answers up
MODEL = "gpt-4o-mini-2024-07-18"
PLACES = [{"city": "Zürich", "days": 3}, {"city": "東京 🌦", "days": 10}]
USAGE = {"prompt_tokens": 21, "completion_tokens": 13, "total_tokens": 34}


@dataclass(frozen=True)
class Reply:
    """`calls` are names and arguments of tools."""

    text: str | None
    calls: tuple[tuple[str, str], ...] = ()

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.calls else "stop"


def answer(request: Received) -> Answer:
    """To a create; what else chatkeep asks for are the models."""
    if request.method == "GET":
        return Plain(echo.models())
    asked = request.json()
    if asked.get("stream"):
        return Stream([*map(_event, _chunks(asked, reply(asked))), echo.DONE])
    return Plain(_bytes(_completion(reply(asked))))


def reply(asked: Any) -> Reply:
    last = asked["messages"][-1]
    if asked.get("tools") and last["role"] != "tool":
        return Reply(None, tuple(_calls(asked)))
    if (asked.get("response_format") or {}).get("type") == "json_schema":
        return Reply(_json(PLACES[0]))
    return Reply(f"You said: {_text(last['content'])}")


def _calls(asked: Any) -> Iterator[tuple[str, str]]:
    """The first tool for two places at once; for one, when a call is demanded and not offered."""
    name = asked["tools"][0]["function"]["name"]
    demanded = asked.get("tool_choice") not in (None, "auto")
    for place in PLACES[:1] if demanded else PLACES:
        yield name, _json(place)


def _completion(said: Reply) -> Any:
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    if said.calls:
        message["tool_calls"] = [_tool_call(number, *call) for number, call in _numbered(said)]
    choice = {"index": 0, "message": message, "finish_reason": said.finish_reason, "logprobs": None}
    return _identity("chat.completion") | {"choices": [choice], "usage": USAGE}


def _chunks(asked: Any, said: Reply) -> Iterator[Any]:
    counted = (asked.get("stream_options") or {}).get("include_usage")
    base = _identity("chat.completion.chunk") | ({"usage": None} if counted else {})
    for delta, reason in [*((delta, None) for delta in _deltas(said)), ({}, said.finish_reason)]:
        yield base | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    if counted:
        yield base | {"choices": [], "usage": USAGE}


def _deltas(said: Reply) -> Iterator[Any]:
    yield {"role": "assistant", "content": None if said.calls else "", "refusal": None}
    for word in re.findall(r"\s*\S+|\s+$", said.text or ""):
        yield {"content": word}
    for number, (name, arguments) in _numbered(said):
        yield {"tool_calls": [{"index": number} | _tool_call(number, name, "")]}
        for piece in re.findall(r".{1,5}", arguments):
            yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}


def _tool_call(number: int, name: str, arguments: str) -> Any:
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{number:024d}", "type": "function", "function": function}


def _numbered(said: Reply) -> Iterator[tuple[int, tuple[str, str]]]:
    return enumerate(said.calls)


def _identity(kind: str) -> dict[str, Any]:
    return {"id": ID, "object": kind, "created": echo.CREATED, "model": MODEL}


def _text(content: Any) -> str:
    return content if isinstance(content, str) else " ".join(part["text"] for part in content)


def _event(chunk: Any) -> bytes:
    return b"data: " + _bytes(chunk) + b"\n\n"


def _bytes(value: Any) -> bytes:
    return _json(value).encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
