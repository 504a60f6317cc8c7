"""Places in chunks, as index entries keep them: the first, and how far the others are behind it.

more = bytes a distance | distance | distance | ...        rising; empty for a single seq
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from chatkeep.errors import RecordCorrupt

MOST = 64  # seqs of a chunk: it is read and written as a whole


class Chunk(NamedTuple):
    first: int
    more: bytes


def chunk_of(seqs: Sequence[int]) -> Chunk:
    """A chunk of rising seqs."""
    first = seqs[0]
    if len(seqs) == 1:
        return Chunk(first, b"")
    size = _size(seqs[-1] - first)
    behind = [(seq - first).to_bytes(size) for seq in seqs[1:]]
    return Chunk(first, b"".join((bytes((size,)), *behind)))


def seqs_in(chunk: Chunk) -> list[int]:
    """Raises RecordCorrupt."""
    first, more = chunk
    size = more[0] if more else 1
    if not size or (len(more) - bool(more)) % size:
        raise RecordCorrupt("an index entry cannot be read")
    behind = range(1, len(more), size)
    return [first, *[first + int.from_bytes(more[at : at + size]) for at in behind]]


def appended(chunk: Chunk | None, seqs: Sequence[int]) -> list[Chunk] | None:
    """What is new when rising seqs come behind those of a list's newest chunk, or of none.

    None when it has to be read: not all of them are behind it, or they are too far.
    """
    if chunk is None:
        return _full(seqs)
    first, more = chunk
    size = more[0] if more else _size(seqs[:MOST][-1] - first) or 1
    last = int.from_bytes(more[-size:]) if more else 0
    room = MOST - 1 - len(more[1:]) // size
    near = seqs[:room]
    if seqs[0] - first <= last or (near and (near[-1] - first) >> 8 * size):
        return None
    new = [] if len(seqs) <= room else _full(seqs[room:])
    if near:
        behind = [(seq - first).to_bytes(size) for seq in near]
        new.insert(0, Chunk(first, b"".join((more or bytes((size,)), *behind))))
    return new


def changed(
    chunk: Chunk | None, added: Collection[int], removed: Collection[int], *, newest: bool
) -> list[Chunk]:
    """What becomes of a chunk, or of none. The newest of its list is going to grow at its end."""
    before = seqs_in(chunk) if chunk else ()
    seqs = sorted({*before, *added} - set(removed))
    return _full(seqs) if newest else _halved(seqs)


def _full(seqs: Sequence[int]) -> list[Chunk]:
    """As many full ones as there can be."""
    if len(seqs) <= MOST:
        return [chunk_of(seqs)] if seqs else []
    return [chunk_of(seqs[start : start + MOST]) for start in range(0, len(seqs), MOST)]


def _halved(seqs: Sequence[int]) -> list[Chunk]:
    """As few as there can be, each with room for what comes between."""
    count = -(-len(seqs) // MOST)
    size = -(-len(seqs) // count) if count else 1
    return [chunk_of(seqs[start : start + size]) for start in range(0, len(seqs), size)]


def _size(distance: int) -> int:
    return (distance.bit_length() + 7) // 8
