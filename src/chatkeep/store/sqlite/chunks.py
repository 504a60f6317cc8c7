"""Places in chunks, as index entries keep them: the first, and how far the others are behind it.

more = bytes a distance | distance | distance | ...        rising; empty for a single place
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from chatkeep.errors import RecordCorrupt

MOST = 64  # places of a chunk: it is read and written as a whole


class Chunk(NamedTuple):
    first: int
    more: bytes


def chunk_of(places: Sequence[int]) -> Chunk:
    """A chunk of rising places."""
    first = places[0]
    if len(places) == 1:
        return Chunk(first, b"")
    size = _size(places[-1] - first)
    behind = [(place - first).to_bytes(size) for place in places[1:]]
    return Chunk(first, b"".join((bytes((size,)), *behind)))


def seqs_in(chunk: Chunk) -> list[int]:
    """Raises RecordCorrupt."""
    first, more = chunk
    size = more[0] if more else 1
    if not size or (len(more) - bool(more)) % size:
        raise RecordCorrupt("an index entry cannot be read")
    behind = range(1, len(more), size)
    return [first, *[first + int.from_bytes(more[at : at + size]) for at in behind]]


def appended(chunk: Chunk | None, places: Sequence[int]) -> list[Chunk] | None:
    """What is new when rising places come behind those of a list's newest chunk, or of none.

    None when it has to be read: not all of them are behind it, or they are too far.
    """
    if chunk is None:
        return _full(places)
    first, more = chunk
    size = more[0] if more else _size(places[:MOST][-1] - first) or 1
    last = int.from_bytes(more[-size:]) if more else 0
    room = MOST - 1 - len(more[1:]) // size
    near = places[:room]
    if places[0] - first <= last or (near and (near[-1] - first) >> 8 * size):
        return None
    new = [] if len(places) <= room else _full(places[room:])
    if near:
        behind = [(place - first).to_bytes(size) for place in near]
        new.insert(0, Chunk(first, b"".join((more or bytes((size,)), *behind))))
    return new


def changed(
    chunk: Chunk | None, added: Collection[int], removed: Collection[int], *, newest: bool
) -> list[Chunk]:
    """What becomes of a chunk, or of none. The newest of its list is going to grow at its end."""
    before = seqs_in(chunk) if chunk else ()
    places = sorted({*before, *added} - set(removed))
    return _full(places) if newest else _halved(places)


def _full(places: Sequence[int]) -> list[Chunk]:
    """As many full ones as there can be."""
    if len(places) <= MOST:
        return [chunk_of(places)] if places else []
    return [chunk_of(places[start : start + MOST]) for start in range(0, len(places), MOST)]


def _halved(places: Sequence[int]) -> list[Chunk]:
    """As few as there can be, each with room for what comes between."""
    count = -(-len(places) // MOST)
    size = -(-len(places) // count) if count else 1
    return [chunk_of(places[start : start + size]) for start in range(0, len(places), size)]


def _size(distance: int) -> int:
    return (distance.bit_length() + 7) // 8
