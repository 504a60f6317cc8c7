"""Folds a record into what is new in it, and unfolds it on what was said before."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from chatkeep.core.model.ids import Seq, compact
from chatkeep.core.model.record import Record, Request
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding import parts
from chatkeep.store.encoding.body import OUTLINE, Codec, Outline, Packed, Remnant, outline_text
from chatkeep.store.encoding.chain import heads
from chatkeep.store.encoding.parts import Load, Shelf, Text, shared_key

_LONG = 1024  # bytes of new messages that get a frame of their own
_WORTH_SHARING = 128  # bytes of tools, of system prompts, of what stands around the messages
_SYSTEM = (b'"system"', b'"developer"')
_BROKEN = (LookupError, ValueError, TypeError, msgspec.MsgspecError)


class Base(Struct, frozen=True):
    """What a record builds on: its first `count` messages, the answer they may quote.

    `outline` is the one of the record it builds on.
    """

    count: int
    answer: bytes
    outline: int | Outline | None


class Folded(Struct, frozen=True):
    """A body, the shared texts it refers to by their keys, and the messages that are new in it."""

    body: bytes
    shared: Mapping[int, bytes]
    new: Sequence[bytes]


class Unfolded(Struct, frozen=True):
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


NOTHING = Unfolded((), b"")


def fold(
    codec: Codec,
    secret: bytes,
    record: Record,
    metadata: bytes,
    head: int,
    base: Base | None = None,
    turn: int = 0,
    follows: Seq | None = None,
) -> Folded:
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
    answer, id_at = _answer(record)
    packed = Packed(
        turn=turn,
        count=len(request.messages),
        head=head,
        outline=_outline(request, metadata, shelf, base.outline if base else None),
        messages=None if second else messages,
        answer=shelf.decoded(answer),
        id_at=id_at,
        upstream_id=None if record.upstream_id is None else compact(record.upstream_id),
        shares=shares,
        copied=copied,
        separators=None if isinstance(request.separators, bytes) else list(request.separators),
        follows=follows,
    )
    return Folded(codec.body(packed, second), shelf.texts, new(messages, given))


def unfold(
    codec: Codec, packed: Packed | Remnant, second: bytes, load: Load, before: Unfolded
) -> Unfolded:
    """One record further. Raises RecordCorrupt."""
    messages = messages_of(codec, packed, second, load, before)
    try:
        answer = quotable(packed, load) if isinstance(packed, Packed) else packed.answer
    except _BROKEN as error:
        raise _apart(error) from error
    return Unfolded(messages, answer)


def messages_of(
    codec: Codec, packed: Packed | Remnant, second: bytes, load: Load, before: Unfolded
) -> list[bytes]:
    """Its new messages behind those of the record it builds on. Raises RecordCorrupt."""
    try:
        forms = forms_of(codec, packed, second, before)
        messages = [*before.messages, *[parts.joined(one, load, before.copy) for one in forms]]
    except _BROKEN as error:
        raise _apart(error) from error
    if len(messages) != packed.count:
        raise RecordCorrupt(f"{len(messages)} messages came together, not {packed.count}")
    return messages


def forms_of(codec: Codec, packed: Packed | Remnant, second: bytes, before: Unfolded) -> list[Text]:
    """The new messages as they lie."""
    if packed.messages is not None:
        return packed.messages
    return codec.messages(second, before.messages)


def new(forms: Sequence[Text], messages: Sequence[bytes]) -> list[bytes]:
    """The messages nobody said before: not those that quote the answer gone on from."""
    pairs = zip(forms, messages, strict=True)
    return [message for form, message in pairs if isinstance(form, bytes) or not copies_in([form])]


def outside(packed: Packed, load: Load, id: str) -> Outside:
    """Raises RecordCorrupt."""
    try:
        outline = outline_of(packed, load)
        request = parts.joined(outline.request, load)
        answer = quotable(packed, load)
    except _BROKEN as error:
        raise _apart(error) from error
    at = packed.id_at
    if at is not None:
        answer = b"".join((answer[:at], id.encode(), answer[at:]))
    return Outside(request, answer, outline.metadata, packed.upstream_id)


def request_of(packed: Packed, secret: bytes, load: Load, messages: Sequence[bytes]) -> Request:
    """The request with these messages. Raises RecordCorrupt when they are not the ones."""
    try:
        outline = outline_of(packed, load)
        around = parts.joined(outline.request, load)
    except _BROKEN as error:
        raise _apart(error) from error
    at = outline.messages_at
    separators = outline.separator if packed.separators is None else packed.separators
    if messages and heads(secret, messages, 1) != [(packed.count, packed.head)]:
        raise RecordCorrupt("the messages of a request are not the ones that were sent")
    return Request(around[:at], messages, separators, around[at:])


def quotable(packed: Packed, load: Load) -> bytes:
    """The answer as copies count its bytes: without our id."""
    return parts.joined(packed.answer, load)


def outline_of(packed: Packed, load: Load) -> Outline:
    if isinstance(packed.outline, Outline):
        return packed.outline
    return OUTLINE.decode(load(packed.outline))


def shared_of(packed: Packed, load: Load) -> set[int]:
    """The keys of all shared texts a record refers to."""
    keys = shared_by(packed) | parts.shared_in(packed.answer)
    if isinstance(packed.outline, int):
        keys.add(packed.outline)
    return keys | parts.shared_in(outline_of(packed, load).request)


def shared_by(packed: Packed | Remnant) -> set[int]:
    """The keys of those that its new messages refer to."""
    keys = set(packed.shares)
    for one in packed.messages or ():
        keys |= parts.shared_in(one)
    return keys


def copies_in(messages: Sequence[Text]) -> set[tuple[int, int]]:
    return {place for one in messages for place in parts.copied_in(one)}


def copied_by(packed: Packed | Remnant) -> set[tuple[int, int]]:
    """The places its new messages copy from the answer they go on from."""
    return {*packed.copied, *copies_in(packed.messages or ())}


def follows(packed: Packed | Remnant, base: Seq | None) -> Seq:
    """The completion it goes on from, 0 for none."""
    said = packed.follows if isinstance(packed, Packed) else None
    return Seq(base or 0) if said is None else Seq(said)


def quoted(
    packed: Packed | Remnant, load: Load, places: Iterable[tuple[int, int]]
) -> dict[int, bytes]:
    """What stands at these places of the answer."""
    answer = quotable(packed, load) if isinstance(packed, Packed) else packed.answer
    from_here = Unfolded((), answer)
    return {start: from_here.copy(start, end) for start, end in places}


def remnant_of(packed: Packed | Remnant, answer: dict[int, bytes]) -> Remnant:
    return Remnant(packed.turn, packed.count, packed.messages, packed.shares, packed.copied, answer)


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
    around = shelf.without(whole, request.tools) if len(request.tools) >= _WORTH_SHARING else whole
    separator = request.separators if isinstance(request.separators, bytes) else b""
    outline = Outline(around, len(request.before), separator, metadata)
    if before is None:
        return outline
    text = outline_text(outline)
    same = outline if isinstance(before, Outline) else shared_key(shelf.secret, text)
    return shelf.put(text)[1] if before == same and len(text) >= _WORTH_SHARING else outline


def _answer(record: Record) -> tuple[bytes, int | None]:
    """The answer without our id, and where that goes."""
    id = record.id.encode()
    at = record.answer.find(b'"' + id + b'"') + 1
    if not at:
        return record.answer, None
    return record.answer[:at] + record.answer[at + len(id) :], at


def _apart(error: Exception) -> RecordCorrupt:
    return RecordCorrupt(f"a record cannot be put together: {error}")
