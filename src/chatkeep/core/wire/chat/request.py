"""A create request: what we read of it, and the bytes that go up in its place (DESIGN.md §2, §5).

Only what chatkeep acts on is checked; the rest is the upstream's business.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from chatkeep.core.json import spans
from chatkeep.core.json.tolerant import typed
from chatkeep.core.json.types import expect, type_word
from chatkeep.core.wire import metadata
from chatkeep.core.wire.request import CreateRequest, StoreHeaders
from chatkeep.errors import (
    ArrayTooLong,
    EmptyArray,
    IntegerBelowMin,
    InvalidType,
    MissingModel,
    MissingParameter,
)

_UNSAID = Raw()
_OWN = frozenset({"store", "metadata"})  # fields that are for us and not for the upstream
_OPENING = ord("{")


class _Body(Struct):
    model: Any = None
    messages: list[Raw] | Raw | None = None
    tools: Raw = _UNSAID
    n: Any = None
    store: Raw = _UNSAID
    metadata: Raw = _UNSAID
    stream: Any = None
    stream_options: Any = None


_BODY = msgspec.json.Decoder(_Body)


def read_request(body: bytes, extra: StoreHeaders) -> CreateRequest:
    """Checks in OpenAI's order (CONTRACT.md §3): model, messages, then the other fields."""
    given = typed(_BODY, body, _tolerant)
    model = _model(given.model)
    messages = _messages(given.messages)
    tools = bytes(given.tools)
    n = 1 if given.n is None else _n(given.n)
    stream = _boolean("stream", given.stream) is True
    include_usage = given.stream_options is not None and _include_usage(given.stream_options)
    store = _boolean("store", _value(given.store))
    pairs = metadata.checked(_value(given.metadata))
    return CreateRequest(
        body=body,
        messages=messages,
        aside=(tools,) if tools[:1] == b"[" else (),
        model=model,
        stream=stream,
        include_usage=include_usage,
        n=n,
        store=extra.store if store is None else store,
        metadata=metadata.checked({**extra.metadata, **pairs}) if extra.metadata else pairs,
        has_own=given.store is not _UNSAID or given.metadata is not _UNSAID,
    )


def _tolerant(body: bytes) -> _Body:
    """What msgspec refuses may still be JSON, and if not, this says why."""
    fields = spans.fields(body)
    raw = {key: Raw(fields[key]) for key in ("messages", "tools", *_OWN) if key in fields}
    values = {key: spans.loads(fields[key]) for key in _VALUES if key in fields}
    return _Body(**raw, **values)


def _value(raw: Raw) -> Any:
    return None if raw is _UNSAID else spans.loads(bytes(raw))


_MAX_MESSAGES = 100_000
_VALUES = ("model", "n", "stream", "stream_options")


def upstream_body(
    request: CreateRequest, *, keep_store: bool, add_usage: bool, model: str | None
) -> bytes:
    add_usage = add_usage and request.stream and not request.include_usage
    has_own = request.has_own and not keep_store
    if not has_own and not add_usage and model is None:
        return request.body
    members = spans.members(request.body)
    edits: list[spans.Edit] = []
    if has_own:
        edits += spans.cut(members, _OWN)
    if model is not None:
        name = spans.dumps(model)
        edits += [(m.value, m.end, name) for m in members if m.key == "model"]
    if add_usage:
        edits += _usage_edits(request.body, members)
    return spans.edited(request.body, edits)


def _usage_edits(body: bytes, members: list[spans.Member]) -> list[spans.Edit]:
    options = [member for member in members if member.key == "stream_options"]
    if not options:
        model = next(member for member in members if member.key == "model")
        return [(model.start, model.start, b'"stream_options":{"include_usage":true},')]
    last = options[-1]
    text = body[last.value : last.end]
    if text[:1] != b"{":  # null
        return [(last.value, last.end, b'{"include_usage":true}')]
    inside = spans.members(text)
    asked = [member for member in inside if member.key == "include_usage"]
    if asked:
        return [(last.value + m.value, last.value + m.end, b"true") for m in asked]
    comma = b"," if inside else b""
    return [(last.value + 1, last.value + 1, b'"include_usage":true' + comma)]


def _model(model: Any) -> str:
    if model is None or model == "":
        raise MissingModel
    return expect("model", model, str, "a string")


def _messages(given: list[Raw] | Raw | None) -> list[bytes]:
    if given is None:
        raise MissingParameter("messages")
    messages = _elements(bytes(given)) if isinstance(given, Raw) else [bytes(raw) for raw in given]
    if not messages:
        raise EmptyArray("messages")
    if len(messages) > _MAX_MESSAGES:
        raise ArrayTooLong("messages", bound=_MAX_MESSAGES, got=len(messages))
    for index, message in enumerate(messages):
        if message[0] != _OPENING:
            got = type_word(spans.loads(message))
            raise InvalidType(f"messages[{index}]", expected="an object", got=got)
    return messages


def _elements(raw: bytes) -> list[bytes]:
    if raw == b"null":
        raise MissingParameter("messages")
    if raw[:1] != b"[":
        got = type_word(spans.loads(raw))
        raise InvalidType("messages", expected="an array of objects", got=got)
    return spans.elements(raw)


def _n(value: Any) -> int:
    n = expect("n", value, int, "an integer")
    if n < 1:
        raise IntegerBelowMin("n", bound=1, got=n)
    return n


def _boolean(key: str, value: Any) -> bool | None:
    return None if value is None else expect(key, value, bool, "a boolean")


def _include_usage(options: Any) -> bool:
    if not isinstance(options, dict):
        raise InvalidType("stream_options", expected="an object", got=type_word(options))
    value = options.get("include_usage")
    if value is None:
        return False
    return expect("stream_options.include_usage", value, bool, "a boolean")
