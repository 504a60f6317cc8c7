"""A create request: what we read of it, and the bytes that go up in its place (DESIGN.md §2, §5).

Only what chatkeep acts on is checked; the rest is the upstream's business.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from chatkeep.core.json import spans
from chatkeep.core.json.types import expect, type_word
from chatkeep.core.model.completion import Metadata
from chatkeep.core.wire import metadata
from chatkeep.errors import (
    ArrayTooLong,
    EmptyArray,
    IntegerBelowMin,
    InvalidHeader,
    InvalidType,
    MissingModel,
    MissingParameter,
    Refusal,
)

_UNSAID = Raw()
_OWN = frozenset({"store", "metadata"})  # fields that are for us and not for the upstream
_OPENING = ord("{")


class StoreHeaders(Struct, frozen=True):
    """`x-chatkeep-store` and `x-chatkeep-metadata`, for clients that cannot set body fields."""

    store: bool | None = None
    metadata: Metadata = {}


class CreateRequest(Struct, frozen=True):
    """The body as received with the values chatkeep acts on. `store` is None when not said.

    `messages` and `tools` are their bytes, `tools` empty when there are none. `has_own` says that
    the body has fields that are for us and not for the upstream.
    """

    body: bytes
    messages: list[bytes]
    tools: bytes
    model: str
    stream: bool
    include_usage: bool
    n: int
    store: bool | None
    metadata: Metadata
    has_own: bool


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


def parsed(body: bytes, extra: StoreHeaders) -> CreateRequest:
    """Checks in OpenAI's order (CONTRACT.md §3): model, messages, then the other fields."""
    given = _read(body)
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
        tools=tools if tools[:1] == b"[" else b"",
        model=model,
        stream=stream,
        include_usage=include_usage,
        n=n,
        store=extra.store if store is None else store,
        metadata=metadata.checked({**extra.metadata, **pairs}) if extra.metadata else pairs,
        has_own=given.store is not _UNSAID or given.metadata is not _UNSAID,
    )


def _read(body: bytes) -> _Body:
    spans.check_utf8(body)
    try:
        return _BODY.decode(body)
    except (msgspec.DecodeError, RecursionError):
        pass  # what msgspec refuses may still be JSON, and if not, this says why
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
    """The bytes for the upstream: as received but for the documented edits.

    `store` and `metadata` go unless `keep_store`; `add_usage` asks for the usage of a stream;
    `model` is the name the upstream knows the model by, None to leave it.
    """
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


STORE, METADATA = STORE_HEADERS = (b"x-chatkeep-store", b"x-chatkeep-metadata")
_NO_STORE_HEADERS = StoreHeaders()
_STORE_WORDS = {b"true": True, b"false": False}


def store_headers(headers: Mapping[bytes, bytes]) -> StoreHeaders:
    """Raises InvalidHeader and the metadata errors."""
    if STORE not in headers and METADATA not in headers:
        return _NO_STORE_HEADERS
    store, text = headers.get(STORE), headers.get(METADATA)
    if store is not None and store.lower() not in _STORE_WORDS:
        said = repr(store.decode("latin-1"))
        raise InvalidHeader(
            "x-chatkeep-store", name="x-chatkeep-store", why=f"it is {said}, not true or false"
        )
    return StoreHeaders(
        None if store is None else _STORE_WORDS[store.lower()],
        {} if text is None else _header_metadata(text),
    )


def _header_metadata(text: bytes) -> Metadata:
    name = "x-chatkeep-metadata"
    try:
        value = spans.loads(text)
    except Refusal as error:
        raise InvalidHeader(name, name=name, why="it is not JSON in UTF-8") from error
    return metadata.checked(value, name)


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
