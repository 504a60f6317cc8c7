"""What lists and figures need of an upstream's answer.

All of it is derived: odd content gives less, never an error (DESIGN.md §4).
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

from chatkeep.core import jsonspan
from chatkeep.core.model import Usage
from chatkeep.errors import Refusal

_NAME = 256
_MAX_TOKENS = 1 << 53
_MAX_COST = 1_000_000  # dollars a call: whatever says more is broken
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Answer(Struct, frozen=True):
    """`model` is None when none is named; `finish_reason` is that of the first choice."""

    model: str | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    cost_micro: int | None = None


class _Choice(Struct):
    finish_reason: Any = None


class _Body(Struct):
    model: Any = None
    usage: Any = None
    choices: list[_Choice] = []


_BODY = msgspec.json.Decoder(_Body)


def read(text: bytes) -> Answer:
    body = _read(text)
    first = body.choices[0] if body.choices else _Choice()
    usage = _object(body.usage)
    return Answer(
        model=_name(body.model),
        finish_reason=_name(first.finish_reason),
        usage=usage_of(usage),
        cost_micro=cost_micro_of(usage),
    )


def scrubbed(text: str) -> str:
    """The text with what a database refuses (NUL, lone surrogates) replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _read(text: bytes) -> _Body:
    try:
        jsonspan.check_utf8(text)
        return _BODY.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _tolerant(text)
    except Refusal:
        return _Body()


def _tolerant(text: bytes) -> _Body:
    """The same of what msgspec refuses: lone surrogates, odd types, numbers out of range."""
    fields = _fields(text)
    return _Body(
        model=_value(fields.get("model")),
        usage=_value(fields.get("usage")),
        choices=[_choice(_fields(raw)) for raw in _elements(fields.get("choices", b"[]"))],
    )


def _choice(fields: dict[str, bytes]) -> _Choice:
    return _Choice(_value(fields.get("finish_reason")))


def _fields(text: bytes) -> dict[str, bytes]:
    try:
        return jsonspan.fields(text)
    except Refusal:
        return {}


def _elements(text: bytes) -> list[bytes]:
    try:
        return jsonspan.elements(text)
    except Refusal:
        return []


def _value(raw: bytes | None) -> Any:
    try:
        return None if raw is None else jsonspan.loads(raw)
    except Refusal:
        return None


def _name(value: Any) -> str | None:
    return scrubbed(value)[:_NAME] if isinstance(value, str) else None


def usage_of(usage: dict[str, Any]) -> Usage:
    """The counts in an answer's `usage`."""
    prompt = _object(usage.get("prompt_tokens_details"))
    completion = _object(usage.get("completion_tokens_details"))
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        total_tokens=_count(usage.get("total_tokens")),
        cached_tokens=_count(prompt.get("cached_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
    )


def cost_micro_of(usage: dict[str, Any]) -> int | None:
    """The cost some upstreams give in `usage`, in US dollars, as millionths of one."""
    cost = usage.get("cost")
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0 <= cost <= _MAX_COST:
        return None
    return round(cost * 1_000_000)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _MAX_TOKENS else None
