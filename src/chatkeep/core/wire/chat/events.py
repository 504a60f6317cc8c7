"""A stored completion as the stream it could have come in: one chunk a choice."""

from chatkeep.core.json import spans
from chatkeep.core.json.tolerant import fields
from chatkeep.core.wire.request import CreateRequest

_NOT_IN_CHUNKS = ("object", "choices", "usage")
_NULL = b"null"


def as_stream(request: CreateRequest, answer: bytes) -> bytes:
    """With the usage where the request asks for it."""
    return events(answer, include_usage=request.include_usage)


def events(answer: bytes, *, include_usage: bool) -> bytes:
    whole = fields(answer)
    shared = {key: value for key, value in whole.items() if key not in _NOT_IN_CHUNKS}
    listed = whole.get("choices", b"")
    choices = spans.elements(listed) if listed[:1] == b"[" else []
    usage = {"usage": _NULL} if include_usage else {}
    chunks = [_chunk(shared, b"[%b]" % _choice(fields(choice)), usage) for choice in choices]
    if include_usage:
        chunks.append(_chunk(shared, b"[]", {"usage": whole.get("usage", _NULL)}))
    return b"".join(b"data: %b\n\n" % _one_line(chunk) for chunk in (*chunks, b"[DONE]"))


def _chunk(shared: dict[str, bytes], choices: bytes, usage: dict[str, bytes]) -> bytes:
    object = {"object": b'"chat.completion.chunk"'}
    return _json({**shared, **object, "choices": choices, **usage})


def _choice(choice: dict[str, bytes]) -> bytes:
    delta = fields(choice.pop("message", b"{}"))
    calls = delta.get("tool_calls", _NULL)
    if calls[:1] == b"[":
        delta["tool_calls"] = b"[%b]" % b",".join(map(_call, *_numbered(calls)))
    index = choice.pop("index", b"0")
    return _json({"index": index, "delta": _json(delta), **choice})


def _numbered(calls: bytes) -> tuple[range, list[bytes]]:
    items = spans.elements(calls)
    return range(len(items)), items


def _call(index: int, call: bytes) -> bytes:
    return _json({"index": b"%d" % index, **fields(call)})


def _json(members: dict[str, bytes]) -> bytes:
    pairs = (b"%b:%b" % (spans.dumps(key), value) for key, value in members.items())
    return b"{%b}" % b",".join(pairs)


def _one_line(text: bytes) -> bytes:
    # Only space between values can be a line break, and an event's data ends at one.
    return text.replace(b"\r", b" ").replace(b"\n", b" ")
