"""Where a new record goes in its conversation: what its delta is encoded against.

A record is encoded against the turn before it, whose messages its own begin with and whose answer
it may quote; every 16th turn against the one 16 before, and so on (chain.py). A request that
repeats another has no new messages, and nothing is encoded against a repetition.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import MAX_SEQ, Seq, compose
from chatkeep.core.model.record import Record
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding import deltas
from chatkeep.store.encoding.body import Delta, Outline
from chatkeep.store.encoding.chain import INDEXED, MAX_AGE_S, base_depth, prefix_hashes
from chatkeep.store.encoding.deltas import Base
from chatkeep.store.encoding.graph import Graph, Link, parent_of
from chatkeep.store.encoding.parts import copying, strings
from chatkeep.store.encoding.writes import InsertPrefixHash, UseShared, Write

_REACH = compose(MAX_AGE_S, 0, 0)


class Placed(NamedTuple):
    """A body to be kept in the record's row, and what is to be written beside the row.

    `parent` is None when it is the base, 0 when there is none. `new` are the messages that its
    conversation did not have before.
    """

    base: Seq | None
    parent: Seq | None
    body: bytes
    new: Sequence[bytes]
    writes: list[Write]


class _Place(Struct, frozen=True):
    base: Link | None = None
    quotes: Link | None = None
    depth: int = 0
    parent: Seq | None = None


def placed(graph: Graph, seq: Seq, form: FormName, record: Record, metadata: bytes) -> Placed:
    """Encodes a record against the base it is to have; `metadata` is a JSON object."""
    messages = record.request.messages
    known = prefix_hashes(graph.project.secret, form, messages)
    try:
        place = _place(graph, seq, known, messages)
        base = _base(graph, place)
    except RecordCorrupt:
        # What is damaged is not built on, and keeps nothing from being kept.
        place, base = _Place(), None
    encoded = deltas.encode(
        graph.context.codec,
        graph.project.secret,
        record,
        metadata,
        known[0][1] if known else 0,
        base,
        place.depth,
    )
    writes: list[Write] = [UseShared(key, text) for key, text in encoded.shared.items()]
    if known:
        writes.append(InsertPrefixHash(known[0][1] & INDEXED, seq))
    link = place.base
    repeats = link is not None and link.delta.count == len(messages)
    new = graph.new(link.seq) if link and repeats else encoded.new
    body = graph.sealed(seq, encoded.body)
    return Placed(link and link.seq, place.parent, body, new, writes)


def _place(
    graph: Graph, seq: Seq, known: Sequence[tuple[int, int]], messages: Sequence[bytes]
) -> _Place:
    before = _predecessor(graph, seq, known, messages)
    if before is None:
        return _Place()
    if before.delta.count == len(messages):
        return _repeating(graph, before)
    depth = before.delta.depth + 1
    at_most = base_depth(depth)
    base = next(link for link in graph.path(before.seq) if link.delta.depth <= at_most)
    if base.seq == before.seq:
        return _Place(base, before, depth)
    return _Place(base, None, depth, before.seq)


def _repeating(graph: Graph, before: Link) -> _Place:
    same = before
    if before.base is not None and before.delta.messages == []:
        same = graph.link(before.base)
    return _Place(same, None, before.delta.depth, parent_of(before))


def _base(graph: Graph, place: _Place) -> Base | None:
    link = place.base
    if link is None:
        return None
    return Base(link.delta.count, graph.quotable(place.quotes), _outline(link))


def _outline(link: Link) -> int | Outline | None:
    return link.delta.outline if isinstance(link.delta, Delta) else None


def _predecessor(
    graph: Graph, seq: Seq, known: Sequence[tuple[int, int]], messages: Sequence[bytes]
) -> Link | None:
    """The newest with the most messages in common, rather one whose answer comes next."""
    low, high = Seq(max(seq - _REACH, 0)), Seq(min(seq + _REACH, MAX_SEQ))
    for count, prefix_hash in known:
        found = graph.neighbourhood.candidates(prefix_hash & INDEXED, low, high)
        best = _best(graph, found, count, prefix_hash, messages[count:]) if found else None
        if best is not None:
            return best
    return None


def _best(
    graph: Graph, found: Sequence[Seq], count: int, prefix_hash: int, added: Sequence[bytes]
) -> Link | None:
    links = (graph.link(seq) for seq in found)
    fitting = (link for link in links if _ends_in(link, count, prefix_hash))
    newest = next(fitting, None)
    if newest is None or not added or len(found) == 1:
        return newest
    answered = (link for link in (newest, *fitting) if _answered(graph, link, added[0]))
    return next(answered, newest)


def _answered(graph: Graph, link: Link, message: bytes) -> bool:
    """Whether the message repeats the link's answer."""
    answer = graph.quotable(link)
    return not isinstance(copying(message, answer, strings(answer)), bytes)


def _ends_in(link: Link, count: int, prefix_hash: int) -> bool:
    delta = link.delta
    return isinstance(delta, Delta) and (delta.count, delta.prefix_hash) == (count, prefix_hash)
