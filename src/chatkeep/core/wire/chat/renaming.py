"""Puts our id into an answer or a chunk, touching no other byte (DESIGN.md §2)."""

from msgspec import Struct

from chatkeep.core.json import spans
from chatkeep.core.model.ids import CompletionId
from chatkeep.core.wire.answer import Renamed
from chatkeep.core.wire.chat.answer import Opened, opened
from chatkeep.errors import Refusal


class IdSpan(Struct, frozen=True):
    """Where the id stands: replace these bytes by `before` + id + `after`."""

    start: int
    end: int
    before: bytes
    after: bytes


def id_span(text: bytes) -> IdSpan | None:
    """None for what is no completion and no chunk: an error object, an array, no JSON."""
    return _span(text, opened(text))


def renamed(text: bytes, id: CompletionId) -> Renamed | None:
    """The text under our id; None when it is no completion."""
    return _renamed(text, opened(text), id)


def under(text: bytes, id: CompletionId) -> Renamed:
    """The same of an answer that is stored whatever it is: what is no completion stays as it is."""
    found = opened(text)
    return _renamed(text, found, id) or Renamed(text, None, found.read)


def _renamed(text: bytes, found: Opened, id: CompletionId) -> Renamed | None:
    span = _span(text, found)
    if span is None:
        return None
    return Renamed(put(text, span, id), _upstream_id(text[span.start : span.end]), found.read)


def _span(text: bytes, found: Opened) -> IdSpan | None:
    if not found.is_completion:
        return None
    if found.id and text.count(found.id) == 1:  # as nearly always: then it stands there
        at = text.index(found.id)
        return IdSpan(at, at + len(found.id), b"", b"")
    try:
        members = spans.members(text)
    except Refusal:
        return None  # too many of them
    for member in reversed(members):
        if member.key == "id":
            return IdSpan(member.value, member.end, b"", b"")
    return IdSpan(members[0].start, members[0].start, b'"id":', b",")


def put(text: bytes, span: IdSpan, id: CompletionId) -> bytes:
    return b"".join(
        (text[: span.start], span.before, b'"', id.encode(), b'"', span.after, text[span.end :])
    )


def _upstream_id(raw: bytes) -> str | None:
    value = spans.loads(raw) if raw else None
    return value if isinstance(value, str) else None
