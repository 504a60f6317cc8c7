"""Puts our id into an answer or a chunk, touching no other byte (DESIGN.md §2)."""

import re
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from chatkeep.core import jsonspan
from chatkeep.core.ids import CompletionId
from chatkeep.errors import Refusal

# Nearly every answer begins with its id. A second one, which readers would take, or one that may
# be nested, is looked at closer.
_ANY_ID = re.compile(rb'"(?:i|\\u0069)(?:d|\\u0064)"')
_NONE = Raw()
_FIRST_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*("[^"\\]*")')


class Renamed(NamedTuple):
    text: bytes
    upstream_id: str | None


class IdSpan(NamedTuple):
    """Where the id stands: replace these bytes by `before` + id + `after`."""

    start: int
    end: int
    before: bytes
    after: bytes


class _Kind(Struct):
    """What tells a completion or a chunk from anything else."""

    object: Raw = _NONE
    choices: Raw = _NONE


_KIND = msgspec.json.Decoder(_Kind)
_KIND_KEYS = ("object", "choices")


def id_span(text: bytes) -> IdSpan | None:
    """None for what is no completion and no chunk: an error object, an array, no JSON."""
    try:
        kind = _kind(text)
    except Refusal:
        return None
    # Audio streams have chunks without choices (CONTRACT.md D8).
    if kind.choices is _NONE and not bytes(kind.object).startswith(b'"chat.completion'):
        return None
    first = _FIRST_ID.match(text)
    if first is not None and not _may_have_id(text, first.end()):
        return IdSpan(first.start(1), first.end(1), b"", b"")
    try:
        members = jsonspan.members(text)
    except Refusal:
        return None  # too many of them
    for member in reversed(members):
        if member.key == "id":
            return IdSpan(member.value, member.end, b"", b"")
    return IdSpan(members[0].start, members[0].start, b'"id":', b",")


def _kind(text: bytes) -> _Kind:
    jsonspan.check_utf8(text)
    try:
        return _KIND.decode(text)
    except (msgspec.DecodeError, RecursionError):
        fields = jsonspan.fields(text)
        return _Kind(*(Raw(fields[key]) if key in fields else _NONE for key in _KIND_KEYS))


def _may_have_id(text: bytes, start: int) -> bool:
    if text.find(b'"id"', start) < 0 and text.find(b"\\u00", start) < 0:
        return False
    return _ANY_ID.search(text, start) is not None


def renamed(text: bytes, id: CompletionId) -> Renamed | None:
    """The text under our id with the id it had; None when it is no completion."""
    span = id_span(text)
    if span is None:
        return None
    return Renamed(put(text, span, id), _upstream_id(text[span.start : span.end]))


def under(completion: bytes, id: CompletionId) -> bytes:
    """An assembled completion, which has an id or choices, under our id."""
    found = renamed(completion, id)
    return completion if found is None else found.text


def put(text: bytes, span: IdSpan, id: CompletionId) -> bytes:
    return b"".join(
        (text[: span.start], span.before, b'"', id.encode(), b'"', span.after, text[span.end :])
    )


def _upstream_id(raw: bytes) -> str | None:
    value = jsonspan.loads(raw) if raw else None
    return value if isinstance(value, str) else None
