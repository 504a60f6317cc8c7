"""How a completion's bytes are kept: as a skeleton with slices, rebuilt byte for byte.

    body   = version (1 byte) | digest (16 bytes) | zstd frame of MessagePack
    inside = [request, answer, upstream_id], each text as [gaps, slices]

A slice is a part worth naming (a message, a tool list); the gaps are the bytes around them, so that
gap, slice, gap, ... concatenated is exactly what passed. The digest covers the rebuilt whole.
"""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec
import zstandard

from chatkeep.core.answer import scrubbed
from chatkeep.errors import RecordCorrupt

VERSION = 1
_DIGEST_BYTES = 16
_HEAD = 1 + _DIGEST_BYTES
_LEVEL = 3
# MemoryError: a damaged frame may claim any size. ValueError: gaps and slices that do not pair up.
_UNREADABLE = (zstandard.ZstdError, msgspec.MsgspecError, MemoryError, ValueError, IndexError)


class Text(msgspec.Struct, frozen=True, array_like=True):
    """One JSON text in parts: always one gap more than slices."""

    gaps: list[bytes]
    slices: list[bytes]

    def whole(self) -> bytes:
        if not self.slices:
            return self.gaps[0]
        parts = [self.gaps[0]]
        for piece, gap in zip(self.slices, self.gaps[1:], strict=True):
            parts += (piece, gap)
        return b"".join(parts)


class Record(msgspec.Struct, frozen=True, array_like=True):
    """The request as the client sent it and the answer as the client got it.

    The answer of a stream is the completion assembled from it. `upstream_id` is the id the upstream
    gave, which the answer carries ours instead of.
    """

    request: Text
    answer: Text
    upstream_id: str | None


class Codec:
    """Writes and reads record bodies. Not for two threads at once: it owns its zstd contexts."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
        self._decompressor = zstandard.ZstdDecompressor()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Record)

    def encode(self, record: Record) -> bytes:
        if record.upstream_id is not None:
            record = msgspec.structs.replace(record, upstream_id=scrubbed(record.upstream_id))
        packed = self._compressor.compress(self._encoder.encode(record))
        return b"".join((bytes([VERSION]), _digest(record), packed))

    def decode(self, body: bytes) -> Record:
        """Raises RecordCorrupt when the body does not rebuild to what was stored."""
        if body[:1] != bytes([VERSION]):
            raise RecordCorrupt(f"unknown record format {body[:1].hex() or 'of an empty body'}")
        try:
            record = self._decoder.decode(self._decompressor.decompress(body[_HEAD:]))
            digest = _digest(record)
        except _UNREADABLE as error:
            raise RecordCorrupt(f"a record body cannot be read: {error}") from error
        if digest != body[1:_HEAD]:
            raise RecordCorrupt("a record body does not match its digest")
        return record


def split(text: bytes, slices: Sequence[bytes]) -> Text:
    """The text with these parts of it, in their order, as slices.

    Equal bytes are as good as the part itself, wherever they stand; a part that is not found
    behind the one before it stays in the gap.
    """
    gaps: list[bytes] = []
    found: list[bytes] = []
    at = 0
    for piece in slices:
        start = text.find(piece, at)
        if start >= 0:
            gaps.append(text[at:start])
            found.append(piece)
            at = start + len(piece)
    gaps.append(text[at:])
    return Text(gaps, found)


def _digest(record: Record) -> bytes:
    upstream_id = b"" if record.upstream_id is None else b"=" + record.upstream_id.encode()
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in (record.request.whole(), record.answer.whole(), upstream_id):
        digest.update(len(part).to_bytes(8))  # so that no part can pass for another's end
        digest.update(part)
    return digest.digest()
