"""A create request: what we read of it, and the bytes that go up in its place (DESIGN.md §2, §5).

Only what chatkeep acts on is checked; the rest is the upstream's business.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from chatkeep.core import jsonspan, metadata
from chatkeep.core.jsontype import expect, type_word
from chatkeep.core.metadata import Metadata
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

_NULL = Raw(b"null")
_NOT_FORWARDED = frozenset({"store", "metadata"})


class StoreHeaders(Struct, frozen=True):
    """`x-chatkeep-store` and `x-chatkeep-metadata`, for clients that cannot set body fields."""

    store: bool | None = None
    metadata: Metadata = {}


class CreateRequest(Struct, frozen=True):
    """The body as received with the values chatkeep acts on. `store` is None when not said.

    `messages` and `tools` are their bytes, `tools` empty when there are none. `own_fields` says
    whether the body has fields that are for us and not for the upstream.
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
    own_fields: bool


class _Body(Struct):
    model: Any = None
    messages: Raw = _NULL
    tools: Raw = _NULL
    n: Any = None
    store: Any = UNSET
    metadata: Any = UNSET
    stream: Any = None
    stream_options: Any = None


_BODY = msgspec.json.Decoder(_Body)


def parsed(body: bytes, extra: StoreHeaders) -> CreateRequest:
    """Checks in OpenAI's order (CONTRACT.md §3): model, messages, then the other fields."""
    given = _read(body)
    model = _model(given.model)
    messages = _messages(bytes(given.messages))
    tools = bytes(given.tools)
    n = _n(given.n)
    stream = _boolean("stream", given.stream) is True
    include_usage = _include_usage(given.stream_options)
    own_fields = given.store is not UNSET or given.metadata is not UNSET
    store = _boolean("store", None if given.store is UNSET else given.store)
    own = metadata.checked(None if given.metadata is UNSET else given.metadata)
    return CreateRequest(
        body=body,
        messages=messages,
        tools=tools if tools[:1] == b"[" else b"",
        model=model,
        stream=stream,
        include_usage=include_usage,
        n=n,
        store=extra.store if store is None else store,
        metadata=metadata.checked({**extra.metadata, **own}) if extra.metadata else own,
        own_fields=own_fields,
    )


def _read(body: bytes) -> _Body:
    jsonspan.check_utf8(body)
    try:
        return _BODY.decode(body)
    except (msgspec.DecodeError, RecursionError):
        pass  # what msgspec refuses may still be JSON, and if not, this says why
    fields = jsonspan.fields(body)
    raw = {key: Raw(fields[key]) for key in ("messages", "tools") if key in fields}
    values = {key: jsonspan.loads(fields[key]) for key in _VALUES if key in fields}
    return _Body(**raw, **values)


_MAX_MESSAGES = 100_000
_VALUES = ("model", "n", "store", "metadata", "stream", "stream_options")


def upstream_body(
    request: CreateRequest, *, keep_store: bool, add_usage: bool, model: str | None
) -> bytes:
    """The bytes for the upstream: as received but for the documented edits.

    `store` and `metadata` go unless `keep_store`; `add_usage` asks for the usage of a stream;
    `model` is the name the upstream knows the model by, None to leave it.
    """
    if not (add_usage or model is not None or (request.own_fields and not keep_store)):
        return request.body
    members = jsonspan.members(request.body)
    edits: list[jsonspan.Edit] = []
    if not keep_store:
        edits += jsonspan.cut(members, _NOT_FORWARDED)
    if model is not None:
        name = jsonspan.dumps(model)
        edits += [(m.value, m.end, name) for m in members if m.key == "model"]
    if add_usage:
        edits += _usage_edits(request.body, members)
    return jsonspan.edited(request.body, edits)


def _usage_edits(body: bytes, members: list[jsonspan.Member]) -> list[jsonspan.Edit]:
    options = [member for member in members if member.key == "stream_options"]
    if not options:
        model = next(member for member in members if member.key == "model")
        return [(model.start, model.start, b'"stream_options":{"include_usage":true},')]
    last = options[-1]
    text = body[last.value : last.end]
    if text[:1] != b"{":  # null
        return [(last.value, last.end, b'{"include_usage":true}')]
    inside = jsonspan.members(text)
    asked = [member for member in inside if member.key == "include_usage"]
    if asked:
        return [(last.value + m.value, last.value + m.end, b"true") for m in asked]
    comma = b"," if inside else b""
    return [(last.value + 1, last.value + 1, b'"include_usage":true' + comma)]


STORE_HEADERS = ("x-chatkeep-store", "x-chatkeep-metadata")
_STORE_WORDS = {"true": True, "false": False}


def store_headers(headers: Mapping[str, str]) -> StoreHeaders:
    """Raises InvalidHeader and the metadata errors."""
    store, text = map(headers.get, STORE_HEADERS)
    if store is None and text is None:
        return StoreHeaders()
    if store is not None and store.lower() not in _STORE_WORDS:
        raise InvalidHeader(
            "x-chatkeep-store", name="x-chatkeep-store", why=f"it is {store!r}, not true or false"
        )
    return StoreHeaders(
        None if store is None else _STORE_WORDS[store.lower()],
        {} if text is None else _header_metadata(text),
    )


def _header_metadata(text: str) -> Metadata:
    name = "x-chatkeep-metadata"
    try:
        value = jsonspan.loads(text.encode("latin-1"))
    except Refusal as error:
        raise InvalidHeader(name, name=name, why="it is not JSON in UTF-8") from error
    return metadata.checked(value, name)


def _model(model: Any) -> str:
    if model is None or model == "":
        raise MissingModel
    return expect("model", model, str, "a string")


def _messages(raw: bytes) -> list[bytes]:
    if raw == b"null":
        raise MissingParameter("messages")
    if raw[:1] != b"[":
        got = type_word(jsonspan.loads(raw))
        raise InvalidType("messages", expected="an array of objects", got=got)
    messages = jsonspan.elements(raw)
    if not messages:
        raise EmptyArray("messages")
    if len(messages) > _MAX_MESSAGES:
        raise ArrayTooLong("messages", bound=_MAX_MESSAGES, got=len(messages))
    for index, message in enumerate(messages):
        if message[:1] != b"{":
            got = type_word(jsonspan.loads(message))
            raise InvalidType(f"messages[{index}]", expected="an object", got=got)
    return messages


def _n(value: Any) -> int:
    if value is None:
        return 1
    n = expect("n", value, int, "an integer")
    if n < 1:
        raise IntegerBelowMin("n", bound=1, got=n)
    return n


def _boolean(key: str, value: Any) -> bool | None:
    return None if value is None else expect(key, value, bool, "a boolean")


def _include_usage(options: Any) -> bool:
    if options is None:
        return False
    if not isinstance(options, dict):
        raise InvalidType("stream_options", expected="an object", got=type_word(options))
    value = options.get("include_usage")
    if value is None:
        return False
    return expect("stream_options.include_usage", value, bool, "a boolean")
