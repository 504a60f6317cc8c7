"""Encodes a record into what is new in it, and decodes it on what was said before."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import compact
from chatkeep.core.model.record import Record, Request
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding import parts
from chatkeep.store.encoding.body import (
    OUR_ID,
    OUTLINE,
    Codec,
    Delta,
    Outline,
    Remnant,
    outline_text,
)
from chatkeep.store.encoding.chain import prefix_hashes
from chatkeep.store.encoding.parts import Load, Shelf, Text, shared_key

_LONG = 1024  # bytes of new messages that get a frame of their own
_WORTH_SHARING = 128  # bytes of system prompts, of what stands around the messages
_SYSTEM = (b'"system"', b'"developer"')
_BROKEN = (LookupError, ValueError, TypeError, msgspec.MsgspecError)


class Base(Struct, frozen=True):
    """What a record builds on: its first `count` messages, the answer they may quote.

    `outline` is the one of the record it builds on.
    """

    count: int
    answer: bytes
    outline: int | Outline | None


class Encoded(Struct, frozen=True):
    """A body, the shared texts it refers to by their keys, and the messages that are new in it."""

    body: bytes
    shared: Mapping[int, bytes]
    new: Sequence[bytes]


class Decoded(Struct, frozen=True):
    """The messages of a request, and what of its answer the next ones may quote."""

    messages: Sequence[bytes]
    answer: bytes | dict[int, bytes]

    def copy(self, start: int, end: int) -> bytes:
        kept = self.answer
        found = kept[start:end] if isinstance(kept, bytes) else kept[start]
        if len(found) != end - start:
            raise LookupError("what is quoted has gone")
        return found


class Outside(Struct, frozen=True, gc=False):
    """A completion without the messages it was asked with: what lists show."""

    request: bytes
    answer: bytes
    metadata: bytes
    upstream_id: bytes | None
    has_body: bool = True


NOTHING = Decoded((), b"")


def encode(
    codec: Codec,
    secret: bytes,
    record: Record,
    metadata: bytes,
    prefix_hash: int,
    base: Base | None = None,
    depth: int = 0,
) -> Encoded:
    shelf = Shelf(secret)
    request = record.request
    count = base.count if base else 0
    given = request.messages[count:]
    messages = _fresh(given, base, shelf)
    shares: list[int] = []
    copied: list[tuple[int, int]] = []
    second = b""
    if sum(map(len, given)) > _LONG:
        shares, copied = sorted(shelf.texts), sorted(copies_in(messages))
        second = codec.second(messages, request.messages[:count])
    answer, holes = _answer(record)
    delta = Delta(
        depth=depth,
        count=len(request.messages),
        prefix_hash=prefix_hash,
        outline=_outline(request, metadata, shelf, base.outline if base else None),
        messages=None if second else messages,
        answer=shelf.apart(answer, request.aside),
        holes=holes,
        upstream_id=None if record.upstream_id is None else compact(record.upstream_id),
        shares=shares,
        copied=copied,
        separators=None if isinstance(request.separators, bytes) else list(request.separators),
    )
    return Encoded(codec.body(delta, second), shelf.texts, new(messages, given))


def decode(
    codec: Codec, delta: Delta | Remnant, second: bytes, load: Load, before: Decoded
) -> Decoded:
    """One record further. Raises RecordCorrupt."""
    messages = messages_of(codec, delta, second, load, before)
    try:
        answer = quotable(delta, load) if isinstance(delta, Delta) else delta.answer
    except _BROKEN as error:
        raise _apart(error) from error
    return Decoded(messages, answer)


def messages_of(
    codec: Codec, delta: Delta | Remnant, second: bytes, load: Load, before: Decoded
) -> list[bytes]:
    """Its new messages behind those of the record it builds on. Raises RecordCorrupt."""
    try:
        forms = forms_of(codec, delta, second, before)
        messages = [*before.messages, *[parts.joined(one, load, before.copy) for one in forms]]
    except _BROKEN as error:
        raise _apart(error) from error
    if len(messages) != delta.count:
        raise RecordCorrupt(f"{len(messages)} messages came together, not {delta.count}")
    return messages


def forms_of(codec: Codec, delta: Delta | Remnant, second: bytes, before: Decoded) -> list[Text]:
    """The new messages as they lie."""
    if delta.messages is not None:
        return delta.messages
    return codec.messages(second, before.messages)


def new(forms: Sequence[Text], messages: Sequence[bytes]) -> list[bytes]:
    """The messages nobody said before: not those that quote the answer gone on from."""
    pairs = zip(forms, messages, strict=True)
    return [message for form, message in pairs if isinstance(form, bytes) or not copies_in([form])]


def outside(delta: Delta, load: Load, id: str) -> Outside:
    """Raises RecordCorrupt."""
    try:
        outline = outline_of(delta, load)
        request = parts.joined(outline.request, load)
        answer = quotable(delta, load)
    except _BROKEN as error:
        raise _apart(error) from error
    return Outside(request, filled(answer, delta.holes, id), outline.metadata, delta.upstream_id)


def filled(answer: bytes, holes: Sequence[tuple[int, int]], id: str) -> bytes:
    """The answer with `id` where it was taken out. Raises RecordCorrupt for another id's hole."""
    for at, whose in reversed(holes):
        if whose != OUR_ID:
            raise RecordCorrupt(f"an answer has a hole for an unknown id ({whose})")
        answer = b"".join((answer[:at], id.encode(), answer[at:]))
    return answer


def request_of(
    delta: Delta, secret: bytes, form: FormName, load: Load, messages: Sequence[bytes]
) -> Request:
    """The request with these messages. Raises RecordCorrupt when they are not the ones."""
    try:
        outline = outline_of(delta, load)
        around = parts.joined(outline.request, load)
    except _BROKEN as error:
        raise _apart(error) from error
    at = outline.messages_at
    separators = outline.separator if delta.separators is None else delta.separators
    if messages and prefix_hashes(secret, form, messages, 1) != [(delta.count, delta.prefix_hash)]:
        raise RecordCorrupt("the messages of a request are not the ones that were sent")
    return Request(around[:at], messages, separators, around[at:])


def quotable(delta: Delta, load: Load) -> bytes:
    """The answer as copies count its bytes: without our id."""
    return parts.joined(delta.answer, load)


def outline_of(delta: Delta, load: Load) -> Outline:
    if isinstance(delta.outline, Outline):
        return delta.outline
    return OUTLINE.decode(load(delta.outline))


def shared_of(delta: Delta, load: Load) -> set[int]:
    """The keys of all shared texts a record refers to."""
    keys = shared_by(delta) | parts.shared_in(delta.answer)
    if isinstance(delta.outline, int):
        keys.add(delta.outline)
    return keys | parts.shared_in(outline_of(delta, load).request)


def shared_by(delta: Delta | Remnant) -> set[int]:
    """The keys of those that its new messages refer to."""
    keys = set(delta.shares)
    for one in delta.messages or ():
        keys |= parts.shared_in(one)
    return keys


def copies_in(messages: Sequence[Text]) -> set[tuple[int, int]]:
    return {place for one in messages for place in parts.copied_in(one)}


def copied_by(delta: Delta | Remnant) -> set[tuple[int, int]]:
    """The places its new messages copy from the answer they go on from."""
    return {*delta.copied, *copies_in(delta.messages or ())}


def quoted(
    delta: Delta | Remnant, load: Load, places: Iterable[tuple[int, int]]
) -> dict[int, bytes]:
    """What stands at these places of the answer."""
    answer = quotable(delta, load) if isinstance(delta, Delta) else delta.answer
    from_here = Decoded((), answer)
    return {start: from_here.copy(start, end) for start, end in places}


def remnant_of(delta: Delta | Remnant, answer: dict[int, bytes]) -> Remnant:
    return Remnant(delta.depth, delta.count, delta.messages, delta.shares, delta.copied, answer)


def _fresh(messages: Sequence[bytes], base: Base | None, shelf: Shelf) -> list[Text]:
    if base is None:
        return [_opening(messages[0], shelf), *map(shelf.cut, messages[1:])] if messages else []
    places = parts.strings(base.answer)
    return [_continuing(one, base.answer, places, shelf) for one in messages]


def _opening(message: bytes, shelf: Shelf) -> Text:
    """The first message of a conversation: many of them begin with the same system prompt."""
    if len(message) >= _WORTH_SHARING and any(role in message for role in _SYSTEM):
        return [shelf.put(message)]
    return shelf.cut(message)


def _continuing(
    message: bytes, answer: bytes, places: Sequence[tuple[int, int]], shelf: Shelf
) -> Text:
    copied = parts.copying(message, answer, places)
    return shelf.decoded(message) if isinstance(copied, bytes) else copied


def _outline(
    request: Request, metadata: bytes, shelf: Shelf, before: int | Outline | None
) -> int | Outline:
    """Put aside from the second call on that has the same."""
    whole = request.before + request.after
    around = shelf.without(whole, request.aside)
    separator = request.separators if isinstance(request.separators, bytes) else b""
    outline = Outline(around, len(request.before), separator, metadata)
    if before is None:
        return outline
    text = outline_text(outline)
    same = outline if isinstance(before, Outline) else shared_key(shelf.secret, text)
    return shelf.put(text)[1] if before == same and len(text) >= _WORTH_SHARING else outline


def _answer(record: Record) -> tuple[bytes, list[tuple[int, int]]]:
    """The answer without our id, and where that goes."""
    id = record.id.encode()
    at = record.answer.find(b'"' + id + b'"') + 1
    if not at:
        return record.answer, []
    return record.answer[:at] + record.answer[at + len(id) :], [(at, OUR_ID)]


def _apart(error: Exception) -> RecordCorrupt:
    return RecordCorrupt(f"a record cannot be put together: {error}")
