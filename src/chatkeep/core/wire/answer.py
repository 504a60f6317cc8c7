"""What lists and figures need of an upstream's answer.

All of it is derived: odd content gives less, never an error (DESIGN.md §4).
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from chatkeep.core.json import spans
from chatkeep.core.model.completion import Usage
from chatkeep.errors import Refusal

_NAME = 256
_MAX_TOKENS = 1 << 53
_MAX_COST = 1_000_000  # dollars a call: whatever says more is broken
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_NONE = Raw()


class Spent(Struct, frozen=True):
    """What a call took, as its upstream says."""

    usage: Usage = Usage()
    cost_micro: int | None = None


class Answer(Struct, frozen=True):
    """`model` is None when none is named; `finish_reason` is that of the first choice."""

    model: str | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    cost_micro: int | None = None


class Opened(Struct, frozen=True):
    """A JSON text as far as it is an answer, or a chunk of one; `id` is its bytes."""

    is_completion: bool
    id: bytes
    read: Answer


_Count = Annotated[int, Meta(ge=0, lt=_MAX_TOKENS)] | None


class _Details(Struct):
    cached_tokens: _Count = None
    reasoning_tokens: _Count = None


class _Usage(Struct):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    cost: Any = None


class _Choice(Struct):
    finish_reason: str | None = None


class _Body(Struct):
    """An answer as nearly all are. What is odd in any way is no such answer."""

    id: Raw = _NONE
    object: Raw = _NONE
    model: str | None = None
    usage: _Usage | None = None
    choices: list[_Choice] | UnsetType | None = UNSET


class _Spending(Struct):
    usage: _Usage | None = None


_BODY = msgspec.json.Decoder(_Body)
_SPENDING = msgspec.json.Decoder(_Spending)
_NO_SPENDING = Spent()
_NOTHING = Opened(is_completion=False, id=b"", read=Answer())


def read(text: bytes) -> Answer:
    return opened(text).read


def opened(text: bytes) -> Opened:
    try:
        spans.check_utf8(text)
        body = _BODY.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _tolerant(text)
    except Refusal:
        return _NOTHING
    choices = body.choices
    reason = choices[0].finish_reason if choices else None
    spent = _NO_SPENDING if body.usage is None else _spent(body.usage)
    answer = Answer(_name(body.model), _name(reason), spent.usage, spent.cost_micro)
    is_completion = choices is not UNSET or _is_completion(bytes(body.object))
    return Opened(is_completion, bytes(body.id), answer)


def spent_by(answer: bytes) -> Spent | None:
    """What an answer's `usage` says; None when there is none, or it is odd in any way."""
    try:
        usage = _SPENDING.decode(answer).usage
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return None if usage is None else _spent(usage)


def scrubbed(text: str) -> str:
    """The text with what a database refuses (NUL, lone surrogates) replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _is_completion(object: bytes) -> bool:
    # Audio streams have chunks without choices (CONTRACT.md D8).
    return object.startswith(b'"chat.completion')


def _tolerant(text: bytes) -> Opened:
    """The same of what msgspec refuses: lone surrogates, odd types, numbers out of range."""
    fields = _fields(text)
    choices = _elements(fields.get("choices", b"[]"))
    first = _fields(choices[0]) if choices else {}
    spent = spent_of(_value(fields.get("usage")))
    answer = Answer(
        _name(_value(fields.get("model"))),
        _name(_value(first.get("finish_reason"))),
        spent.usage,
        spent.cost_micro,
    )
    return Opened(
        "choices" in fields or _is_completion(fields.get("object", b"")),
        fields.get("id", b""),
        answer,
    )


def _fields(text: bytes) -> dict[str, bytes]:
    try:
        return spans.fields(text)
    except Refusal:
        return {}


def _elements(text: bytes) -> list[bytes]:
    try:
        return spans.elements(text)
    except Refusal:
        return []


def _value(raw: bytes | None) -> Any:
    try:
        return None if raw is None else spans.loads(raw)
    except Refusal:
        return None


def _name(value: Any) -> str | None:
    return scrubbed(value)[:_NAME] if isinstance(value, str) else None


def spent_of(usage: Any) -> Spent:
    """What a `usage` says, whatever it is."""
    given = _object(usage)
    prompt = _object(given.get("prompt_tokens_details"))
    completion = _object(given.get("completion_tokens_details"))
    counts = Usage(
        prompt_tokens=_count(given.get("prompt_tokens")),
        completion_tokens=_count(given.get("completion_tokens")),
        total_tokens=_count(given.get("total_tokens")),
        cached_tokens=_count(prompt.get("cached_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
    )
    return Spent(counts, _micro(given.get("cost")))


def _spent(usage: _Usage) -> Spent:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    counts = Usage(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        None if prompt is None else prompt.cached_tokens,
        None if completion is None else completion.reasoning_tokens,
    )
    return Spent(counts, None if usage.cost is None else _micro(usage.cost))


def _micro(cost: Any) -> int | None:
    """The cost some upstreams give in `usage`, in US dollars, as millionths of one."""
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0 <= cost <= _MAX_COST:
        return None
    return round(cost * 1_000_000)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _MAX_TOKENS else None
