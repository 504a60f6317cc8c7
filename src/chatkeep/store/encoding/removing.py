"""What a delete, or the end of a body's time, must leave: what others still say again.

A body that others are encoded against becomes a remnant, with the stretches of its answer that they
quote. When the last that needs a remnant has gone, the remnant goes, and so on down its bases.
"""

from collections.abc import Iterator

from chatkeep.core.model.ids import Seq
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding import deltas
from chatkeep.store.encoding.body import Body, Delta, ExpiredBody, Remnant
from chatkeep.store.encoding.chain import INDEXED
from chatkeep.store.encoding.graph import Graph, Kept, completion, parent_of
from chatkeep.store.encoding.writes import (
    DeletePrefixHash,
    DeleteRemnant,
    PutBody,
    PutRemnant,
    ReleaseShared,
    Relink,
    Write,
)


def removed(graph: Graph, seq: Seq, base: Seq | None, body: bytes) -> list[Write]:
    """For a record whose row is deleted. Raises RecordCorrupt when its body cannot be read."""
    delta, second = graph.opened(seq, body)
    if not isinstance(delta, ExpiredBody):
        return list(_removed(graph, seq, base, completion(delta), second))
    if graph.neighbourhood.remnant(seq) is None:
        return [Relink(seq, base)]
    return []


def lost(graph: Graph, seq: Seq, base: Seq | None) -> list[Write]:
    """For a record whose body could not be read: what it shared with others stays.

    If its row goes too, what went on from it begins its conversation.
    """
    return [Relink(seq, None), *_settled(graph, base, frozenset({seq}))]


def expired(graph: Graph, seq: Seq, kept: Kept, left: ExpiredBody, *, damaged: bool) -> list[Write]:
    """For a record whose row stays, with `left` for a body."""
    put = PutBody(seq, graph.sealed(seq, graph.context.codec.body(left)), parent_of(kept))
    if damaged:
        return [put, *lost(graph, seq, kept.base)]
    delta, second = graph.opened(seq, kept.body)
    return [put, *_removed(graph, seq, kept.base, completion(delta), second)]


def _removed(
    graph: Graph, seq: Seq, base: Seq | None, delta: Delta, second: bytes
) -> Iterator[Write]:
    if delta.prefix_hash:
        yield DeletePrefixHash(delta.prefix_hash & INDEXED, seq)
    quotes = graph.quotes(seq)
    if quotes is None:
        yield ReleaseShared(deltas.shared_of(delta, graph.load))
        yield Relink(seq, base)
        yield from _settled(graph, base, frozenset({seq}))
        return
    kept = deltas.quoted(delta, graph.load, quotes)
    yield ReleaseShared(deltas.shared_of(delta, graph.load) - deltas.shared_by(delta))
    yield _put(graph, seq, base, deltas.remnant_of(delta, kept), second)


def _settled(graph: Graph, seq: Seq | None, gone: frozenset[Seq]) -> Iterator[Write]:
    """Shortens or drops the remnants that something which is gone was encoded against."""
    while seq is not None:
        kept = graph.neighbourhood.remnant(seq)
        if kept is None:
            return  # a record stands there, which has not been deleted
        opened = graph.readable(seq, kept.body)
        quotes = graph.quotes(seq, gone)
        if quotes is not None:
            if opened is not None:
                remnant = _remnant(opened[0])
                answer = deltas.quoted(remnant, graph.load, quotes)
                shorter = deltas.remnant_of(remnant, answer)
                yield _put(graph, seq, kept.base, shorter, opened[1])
            return
        yield DeleteRemnant(seq)
        yield Relink(seq, kept.base)
        if opened is not None:
            yield ReleaseShared(deltas.shared_by(_remnant(opened[0])))
        gone |= {seq}
        seq = kept.base


def _put(graph: Graph, seq: Seq, base: Seq | None, remnant: Remnant, second: bytes) -> PutRemnant:
    return PutRemnant(seq, base, graph.sealed(seq, graph.context.codec.body(remnant, second)))


def _remnant(body: Body) -> Remnant:
    if not isinstance(body, Remnant):
        raise RecordCorrupt("what is left of a deleted completion has another form")
    return body
