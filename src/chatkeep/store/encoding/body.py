"""The form a record is kept in, and back: what its conversation has already said is left out.

    body   = version and kind | check (4) | prefix hash (8) | id (22, if OpenAI's form) | length |
             first frame | second frame
    frames = zstd; the first is MessagePack of `Delta`, `Remnant` or `ExpiredBody`, the second of
             long messages

The first frame is enough to show a completion in a list. The second is compressed with what the
request itself repeats before it as a dictionary, so that a file read again costs little. The check
covers the body, and a hash in the first frame the messages as they are put together again.
"""

import threading
from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

import msgspec
from msgspec import Struct

from chatkeep.core.model.ids import NUMBER_BYTES, is_number
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding import frames
from chatkeep.store.encoding.dictionary import DICTIONARY, TABLES
from chatkeep.store.encoding.frames import Dictionary
from chatkeep.store.encoding.parts import Text

T = TypeVar("T")

# The first byte: what the body is, what stands before its frames, and the version of this format.
_KIND = 0x0F
_WITH_ID, _WITH_SECOND = 0x10, 0x20
_VERSION_SHIFT = 6
_VERSION = 0
_CHECKED = 1 + 4
LEVEL = 5
# What most completions say becomes as small at a level that takes a third of the time. What is
# larger than that is unlike them, and worth the time.
_QUICK_LEVEL = 3
_USUAL = 0.45  # of its size at the quick level
_WINDOW = 1 << 17
_UNREADABLE = (*frames.UNREADABLE, msgspec.MsgspecError)


OUR_ID = 0  # a hole for the id that the record has here


class Outline(Struct, array_like=True, gc=False):
    """A request without its messages, where these go and what separates them, and its metadata as
    it came.
    """

    request: Text
    messages_at: int
    separator: bytes
    metadata: bytes


class Delta(Struct, array_like=True, gc=False):
    """A record. `depth` counts the turns of its conversation before it, `count` its messages.

    `prefix_hash` is the keyed hash of these, which they are held against when they are put together
    again; it and the upstream's id stand before the frames, if that is a number (ids.compact): what
    is random costs less outside of zstd.
    `outline` is the key of a shared text when several requests have the same. `messages` are the
    new ones, None when they are in the second frame; then `shares` are the keys of the shared texts
    there and `copied` the places copied. `holes` are where ids were taken out of the answer, in
    their order, each as its place in what is left and whose id goes there. `separators` are given
    when they differ. The first `carried` messages were not in the request: a chat's are all there.
    """

    depth: int
    count: int
    outline: int | Outline
    messages: list[Text] | None
    answer: Text
    holes: list[tuple[int, int]]
    upstream_id: bytes | None
    prefix_hash: int = 0
    shares: list[int] = []
    copied: list[tuple[int, int]] = []
    separators: list[bytes] | None = None
    carried: int = 0


class Remnant(Struct, array_like=True, gc=False):
    """What stays of a deleted completion as long as others build on it: what they sent again.

    `answer` is the stretches of its answer they have, by where they begin.
    """

    depth: int
    count: int
    messages: list[Text] | None
    shares: list[int]
    copied: list[tuple[int, int]]
    answer: dict[int, bytes]


class ExpiredBody(Struct, array_like=True, gc=False):
    """What stays of a completion that is kept without what was said in it (expired.py)."""

    request: bytes
    answer: bytes


Body = Delta | Remnant | ExpiredBody
_KINDS: dict[type[Body], int] = {Delta: 1, Remnant: 2, ExpiredBody: 3}


class _Compressors(threading.local):
    """A thread's own: it makes them when it first uses them."""

    def __init__(self, dictionary: Dictionary, level: int) -> None:
        self.quick = frames.compressor(dictionary, min(_QUICK_LEVEL, level))
        self.thorough = frames.compressor(dictionary, level)


class Codec:
    """Writes and reads bodies; for any number of threads."""

    def __init__(self, level: int = LEVEL) -> None:
        self._level = level
        self._dictionary = frames.dictionary(DICTIONARY, TABLES)
        self._compressors = _Compressors(self._dictionary, level)

    def body(self, delta: Body, second: bytes = b"") -> bytes:
        kind, prefix_hash, id = _KINDS[type(delta)], 0, b""
        if isinstance(delta, Delta):
            prefix_hash, left = delta.prefix_hash, delta.upstream_id
            if left is not None and is_number(left):
                id, left = left, None
            delta = msgspec.structs.replace(delta, prefix_hash=0, upstream_id=left)
        first = self._first(_ENCODER.encode(delta))
        kind |= (_WITH_ID if id else 0) | (_WITH_SECOND if second else 0)
        kind |= _VERSION << _VERSION_SHIFT
        length = len(first).to_bytes(4) if second else b""
        rest = b"".join((prefix_hash.to_bytes(8), id, length, first, second))
        return b"".join((bytes((kind,)), crc32(rest, kind).to_bytes(4), rest))

    def open(self, body: bytes) -> tuple[Body, bytes]:
        """The first frame, and the second as it lies. Raises RecordCorrupt."""
        kind = body[0] if body else 0
        if kind >> _VERSION_SHIFT != _VERSION:
            raise RecordCorrupt(
                f"a record body has version {kind >> _VERSION_SHIFT} of its format, which this"
                " chatkeep does not know"
            )
        decoder = _DECODERS.get(kind & _KIND)
        if decoder is None:
            raise RecordCorrupt(f"unknown record format {body[:1].hex() or 'of an empty body'}")
        if crc32(body[_CHECKED:], kind) != int.from_bytes(body[1:_CHECKED]):
            raise RecordCorrupt("a record body does not match its check")
        at = _CHECKED + 8
        id = body[at : at + NUMBER_BYTES] if kind & _WITH_ID else b""
        at += len(id)
        end = len(body)
        if kind & _WITH_SECOND:
            end = at + 4 + int.from_bytes(body[at : at + 4])
            at += 4
        delta = _decoded(decoder, body[at:end], self._dictionary)
        if isinstance(delta, Delta):
            delta.prefix_hash = int.from_bytes(body[_CHECKED : _CHECKED + 8])
            if id:
                delta.upstream_id = id
        return delta, body[end:]

    def second(self, messages: list[Text], before: Sequence[bytes]) -> bytes:
        """The frame of long messages, which stand behind others in their request."""
        text = _ENCODER.encode(messages)
        if not before:
            return self.shared(text)
        return frames.compressed(text, frames.compressor(_window(before), self._level))

    def messages(self, second: bytes, before: Sequence[bytes]) -> list[Text]:
        """Raises RecordCorrupt."""
        return _decoded(_MESSAGES, second, _window(before) if before else self._dictionary)

    def shared(self, text: bytes) -> bytes:
        """A text of its own, in a form `text` reads."""
        return frames.compressed(text, self._compressors.thorough)

    def text(self, shared: bytes) -> bytes:
        """Raises RecordCorrupt."""
        try:
            return frames.text_of(shared, self._dictionary)
        except _UNREADABLE as error:
            raise RecordCorrupt(f"a shared text cannot be read: {error}") from error

    def _first(self, text: bytes) -> bytes:
        quick = frames.compressed(text, self._compressors.quick)
        if len(quick) <= _USUAL * len(text):
            return quick
        return min(quick, self.shared(text), key=len)


_ENCODER = msgspec.msgpack.Encoder()
_MESSAGES = msgspec.msgpack.Decoder(list[Text])
_DECODERS: dict[int, msgspec.msgpack.Decoder[Body]] = {
    kind: msgspec.msgpack.Decoder(form) for form, kind in _KINDS.items()
}
OUTLINE = msgspec.msgpack.Decoder(Outline)


def outline_text(outline: Outline) -> bytes:
    return _ENCODER.encode(outline)


def _decoded(decoder: msgspec.msgpack.Decoder[T], frame: bytes, dictionary: Dictionary) -> T:
    try:
        return decoder.decode(frames.text_of(frame, dictionary))
    except _UNREADABLE as error:
        raise RecordCorrupt(f"a record body cannot be read: {error}") from error


def _window(before: Sequence[bytes]) -> Dictionary:
    """The end of the messages before, as a dictionary."""
    tail: list[bytes] = []
    size = 0
    for message in reversed(before):
        tail.append(message)
        size += len(message)
        if size >= _WINDOW:
            break
    tail.append(DICTIONARY)
    return frames.dictionary(b"".join(reversed(tail))[-_WINDOW:])
