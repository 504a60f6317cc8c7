"""Bodies in SQLite: what each builds on, what several share, and what outlives a delete."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apsw
from msgspec import Struct

from chatkeep.core.model.completion import Project, ProjectId
from chatkeep.core.model.ids import MAX_SEQ, Seq, compose
from chatkeep.core.model.record import Record, Request
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.encoding import deltas
from chatkeep.store.encoding.body import Body, Codec, Delta, ExpiredBody, Outline, Remnant
from chatkeep.store.encoding.chain import INDEXED, MAX_AGE_S, base_depth, prefix_hashes
from chatkeep.store.encoding.cipher import PLAIN, Cipher, Place
from chatkeep.store.encoding.deltas import Base
from chatkeep.store.encoding.parts import copying, shared_key, strings
from chatkeep.store.encoding.recent import Recent

SQL = sql.blocks("chatkeep.store.sqlite", "bodies.sql")
_REMEMBERED = 256
_LONGEST_REMEMBERED = 1 << 16  # tools and prompts, not images: in all 16 MiB at the most

_REACH = compose(MAX_AGE_S, 0, 0)
_LONGEST_PATH = 1000  # far beyond any conversation's: a damaged file might lead in a circle


class RecordContext:
    """Codec and cipher, and what was read last; for all connections and threads."""

    def __init__(self, codec: Codec, cipher: Cipher = PLAIN) -> None:
        self.codec = codec
        self.cipher = cipher
        self.recent = Recent()
        self._known: dict[int, bytes] = {}

    def get(self, key: int) -> bytes | None:
        return self._known.get(key)

    def remember(self, key: int, text: bytes) -> None:
        if len(text) > _LONGEST_REMEMBERED:
            return
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = text

    def forget(self, key: int) -> None:
        self._known.pop(key, None)


class Link(NamedTuple):
    """A body at its place, opened, with the place of the one it builds on."""

    seq: Seq
    base: Seq | None
    delta: Delta | Remnant
    second: bytes


class Added(NamedTuple):
    """A body to keep, what it builds on, and the messages its conversation did not have before."""

    base: Seq | None
    body: bytes
    new: Sequence[bytes]


class _Place(Struct, frozen=True):
    """Where a new record goes in its conversation."""

    base: Link | None = None
    quotes: Link | None = None
    depth: int = 0
    parent: Seq | None = None


class Bodies:
    """The bodies of one project, over one connection or cursor."""

    def __init__(
        self, connection: apsw.Connection | apsw.Cursor, project: Project, context: RecordContext
    ) -> None:
        self._connection = connection
        self._project = project
        self._context = context
        self.recent = context.recent
        self._codec, self._cipher = context.codec, context.cipher

    def add(self, seq: Seq, record: Record, metadata: bytes) -> Added:
        """Encodes a record; all that its body refers to is written."""
        messages = record.request.messages
        known = prefix_hashes(self._project.secret, messages)
        try:
            place = self._place(seq, known, messages)
            base = self._base(place)
        except RecordCorrupt:
            # What is damaged is not built on, and keeps nothing from being kept.
            place, base = _Place(), None
        encoded = deltas.encode(
            self._codec,
            self._project.secret,
            record,
            metadata,
            known[0][1] if known else 0,
            base,
            place.depth,
            place.parent,
        )
        for key, text in encoded.shared.items():
            self._use(key, text)
        if known:
            self._connection.execute(
                SQL["insert_prefix_hash"], (self._project.id, known[0][1] & INDEXED, seq)
            )
        link = place.base
        repeats = link is not None and link.delta.count == len(messages)
        new = self.new(link.seq) if link and repeats else encoded.new
        return Added(link and link.seq, self._sealed(seq, encoded.body), new)

    def outside(self, seq: Seq, body: bytes, id: str) -> deltas.Outside:
        """Raises RecordCorrupt."""
        delta, _ = self.opened(seq, body)
        if isinstance(delta, ExpiredBody):
            return deltas.Outside(delta.request, delta.answer, b"{}", None, has_body=False)
        return deltas.outside(_completion(delta), self.load, id)

    def metadata(self, seq: Seq, body: bytes) -> bytes:
        """What the completion was created with. Raises RecordCorrupt."""
        return deltas.outline_of(_completion(self.opened(seq, body)[0]), self.load).metadata

    def request(self, seq: Seq, base: Seq | None, body: bytes) -> Request | None:
        """Put together from all it builds on; None when the body has been let go of.

        Raises RecordCorrupt.
        """
        opened, second = self.opened(seq, body)
        if isinstance(opened, ExpiredBody):
            return None
        delta = _completion(opened)
        before = self._decoded(list(self._path(base)))
        messages = deltas.messages_of(self._codec, delta, second, self.load, before)
        return deltas.request_of(delta, self._project.secret, self.load, messages)

    def first(self, seq: Seq) -> Seq:
        """Where the conversation begins that the body at a place is part of."""
        found: Any = self._connection.execute(SQL["beginning"], (seq,)).fetchall()
        if not found:
            raise RecordCorrupt("what a record builds on has no beginning")
        return Seq(found[0][0])

    def is_expired(self, seq: Seq, body: bytes) -> bool:
        return isinstance(self.opened(seq, body)[0], ExpiredBody)

    def parent(self, seq: Seq, body: bytes, base: Seq | None) -> Seq:
        """The completion it goes on from, 0 for none."""
        delta, _ = self.opened(seq, body)
        if isinstance(delta, ExpiredBody):
            return Seq(delta.parent)
        return deltas.parent(_completion(delta), base)

    def new(self, seq: Seq) -> Sequence[bytes]:
        """The messages that were new when it was added; none when that cannot be told any more.

        A request that repeats another says what that one said.
        """
        try:
            path = list(self._path(seq))
            if path[0].delta.messages == [] and len(path) > 1:
                path = path[1:]
            before = self._decoded(path[1:])
            delta, second = path[0].delta, path[0].second
            messages = deltas.messages_of(self._codec, delta, second, self.load, before)
        except RecordCorrupt:
            return ()
        forms = deltas.forms_of(self._codec, delta, second, before)
        return deltas.new(forms, messages[len(before.messages) :])

    def remove(self, seq: Seq, base: Seq | None, body: bytes) -> None:
        """Lets go of the body of a row that has been deleted: what others say again stays."""
        delta, second = self.opened(seq, body)
        if not isinstance(delta, ExpiredBody):
            self._remove(seq, base, _completion(delta), second)
        elif not self._connection.execute(SQL["select_remnant"], (seq,)).fetchall():
            self._connection.execute(SQL["unlink"], (seq, base))

    def lose(self, seq: Seq, base: Seq | None) -> None:
        """Lets go of a body that could not be read: what it shared with others stays.

        If its row has gone, what went on from it begins its conversation.
        """
        self._connection.execute(SQL["unlink"], (seq, None))
        self._settle(base)

    def expire(self, seq: Seq, base: Seq | None, body: bytes | None, left: ExpiredBody) -> None:
        """Lets go of the body of a row that stays, None when it cannot be read."""
        opened = None if body is None else self.opened(seq, body)
        sealed = self._sealed(seq, self._codec.body(left))
        self._connection.execute(SQL["expire_body"], (seq, sealed))
        if opened is None:
            self.lose(seq, base)
        else:
            self._remove(seq, base, _completion(opened[0]), opened[1])

    def _remove(self, seq: Seq, base: Seq | None, delta: Delta, second: bytes) -> None:
        if delta.prefix_hash:
            self._connection.execute(
                SQL["delete_prefix_hash"], (self._project.id, delta.prefix_hash & INDEXED, seq)
            )
        quotes = self._quotes(seq)
        if quotes is None:
            self._release(deltas.shared_of(delta, self.load))
            self._connection.execute(SQL["unlink"], (seq, base))
            self._settle(base)
            return
        kept = deltas.quoted(delta, self.load, quotes)
        self._release(deltas.shared_of(delta, self.load) - deltas.shared_by(delta))
        self._put_remnant(seq, base, deltas.remnant_of(delta, kept), second)

    def opened(self, seq: Seq, body: bytes) -> tuple[Body, bytes]:
        """The record at a place, and its second frame. Raises RecordCorrupt."""
        return self._codec.open(self._cipher.open(body_place(self._project.id, seq), body))

    def _sealed(self, seq: Seq, body: bytes) -> bytes:
        return self._cipher.seal(body_place(self._project.id, seq), body)

    def load(self, key: int) -> bytes:
        """The shared text with a key. Raises RecordCorrupt."""
        text = self._context.get(key)
        if text is None:
            found: Any = self._connection.execute(SQL["select_shared"], (key,)).fetchall()
            if not found:
                raise RecordCorrupt("a text that several completions share is not there")
            text = self._codec.text(self._cipher.open(shared_place(key), found[0][0]))
            if shared_key(self._project.secret, text) != key:
                raise RecordCorrupt("a text that several completions share is not the one")
            self._context.remember(key, text)
        return text

    def _decoded(self, path: Sequence[Link]) -> deltas.Decoded:
        decoded = deltas.NOTHING
        for link in reversed(path):
            decoded = deltas.decode(self._codec, link.delta, link.second, self.load, decoded)
        return decoded

    def _place(
        self, seq: Seq, known: Sequence[tuple[int, int]], messages: Sequence[bytes]
    ) -> _Place:
        before = self._predecessor(seq, known, messages)
        if before is None:
            return _Place()
        if before.delta.count == len(messages):
            return self._repeating(before)
        depth = before.delta.depth + 1
        base = next(
            link for link in self._path(before.seq) if link.delta.depth <= base_depth(depth)
        )
        if base.seq == before.seq:
            return _Place(base, before, depth)
        return _Place(base, None, depth, before.seq)

    def _base(self, place: _Place) -> Base | None:
        link = place.base
        if link is None:
            return None
        return Base(link.delta.count, self._quotable(place.quotes), self._outline(link))

    def _repeating(self, before: Link) -> _Place:
        """The same request once more: it has no new messages, and nobody builds on a repetition."""
        parent = deltas.parent(before.delta, before.base)
        same = before
        if before.base is not None and before.delta.messages == []:
            same = self._link(before.base)
        return _Place(same, None, before.delta.depth, parent)

    def _predecessor(
        self, seq: Seq, known: Sequence[tuple[int, int]], messages: Sequence[bytes]
    ) -> Link | None:
        """The newest with the most messages in common, rather one whose answer comes next."""
        low, high = max(seq - _REACH, 0), min(seq + _REACH, MAX_SEQ)
        for count, prefix_hash in known:
            bindings = (self._project.id, prefix_hash & INDEXED, low, high)
            found: Any = self._connection.execute(SQL["candidates"], bindings).fetchall()
            best = self._best(found, count, prefix_hash, messages[count:]) if found else None
            if best is not None:
                return best
        return None

    def _best(
        self, places: Sequence[tuple[Seq]], count: int, prefix_hash: int, added: Sequence[bytes]
    ) -> Link | None:
        links = (self._link(place) for (place,) in places)
        fitting = (link for link in links if _ends_in(link, count, prefix_hash))
        newest = next(fitting, None)
        if newest is None or not added or len(places) == 1:
            return newest
        answered = (link for link in (newest, *fitting) if self._answered(link, added[0]))
        return next(answered, newest)

    def _answered(self, link: Link, message: bytes) -> bool:
        """Whether the message repeats the link's answer."""
        answer = self._quotable(link)
        return not isinstance(copying(message, answer, strings(answer)), bytes)

    def _quotable(self, link: Link | None) -> bytes:
        if link is None or not isinstance(link.delta, Delta):
            return b""
        return deltas.quotable(link.delta, self.load)

    def _outline(self, link: Link) -> int | Outline | None:
        return link.delta.outline if isinstance(link.delta, Delta) else None

    def _path(self, seq: Seq | None) -> Iterator[Link]:
        """The body at a place, the one it builds on, and so on to the first of its conversation."""
        for _ in range(_LONGEST_PATH):
            if seq is None:
                return
            link = self._link(seq)
            yield link
            seq = link.base
        raise RecordCorrupt("what a record builds on has no beginning")

    def _link(self, seq: Seq) -> Link:
        found: Any = self._connection.execute(SQL["select_body"], (seq,)).fetchall()
        if not found:
            raise RecordCorrupt("what a record builds on is not there")
        base, body = found[0]
        delta, second = self.opened(seq, body)
        if isinstance(delta, ExpiredBody):
            raise RecordCorrupt("what a record builds on has no body any more")
        return Link(seq, base, delta, second)

    def _use(self, key: int, text: bytes) -> None:
        if not self._connection.execute(SQL["use_shared"], (key,)).fetchall():
            data = self._cipher.seal(shared_place(key), self._codec.shared(text))
            self._connection.execute(SQL["insert_shared"], (key, data))
            self._connection.execute(SQL["insert_shared_use"], (key,))

    def _release(self, keys: Iterable[int]) -> None:
        for key in keys:
            if (0,) in self._connection.execute(SQL["release_shared"], (key,)).fetchall():
                self._connection.execute(SQL["delete_shared"], (key,))
                self._connection.execute(SQL["delete_shared_use"], (key,))
                self._context.forget(key)

    def _quotes(self, seq: Seq) -> set[tuple[int, int]] | None:
        """The places of an answer that others quote; None when nobody builds on it."""
        rows: Any = self._connection.execute(SQL["built_on"], (seq,))
        opened = [self._readable(place, body) for place, body in rows]
        needing = [one[0] for one in opened if one and not isinstance(one[0], ExpiredBody)]
        return {place for body in needing for place in deltas.copied_by(body)} if needing else None

    def _readable(self, seq: Seq, body: bytes) -> tuple[Body, bytes] | None:
        """None for what is damaged: it can be put together no more, and needs nobody."""
        try:
            return self.opened(seq, body)
        except RecordCorrupt:
            return None

    def is_built_on(self, seq: Seq) -> bool:
        return self._quotes(seq) is not None

    def _settle(self, seq: Seq | None) -> None:
        """Lets go of what nobody says again any more, after something that built on it has gone."""
        while seq is not None:
            found: Any = self._connection.execute(SQL["select_remnant"], (seq,)).fetchall()
            if not found:
                return  # it has not been deleted itself
            base, body = found[0]
            opened = self._readable(seq, body)
            quotes = self._quotes(seq)
            if quotes is not None:
                if opened is not None:
                    remnant = _remnant(opened[0])
                    kept = deltas.quoted(remnant, self.load, quotes)
                    self._put_remnant(seq, base, deltas.remnant_of(remnant, kept), opened[1])
                return
            self._connection.execute(SQL["delete_remnant"], (seq,))
            self._connection.execute(SQL["unlink"], (seq, base))
            if opened is not None:
                self._release(deltas.shared_by(_remnant(opened[0])))
            seq = base

    def _put_remnant(self, seq: Seq, base: Seq | None, remnant: Remnant, second: bytes) -> None:
        body = self._sealed(seq, self._codec.body(remnant, second))
        self._connection.execute(SQL["put_remnant"], (seq, self._project.id, base, body))


def body_place(project: ProjectId, seq: Seq) -> Place:
    return ("body", project, seq)


def shared_place(key: int) -> Place:
    return ("shared", 0, key)  # the key is keyed by its project's secret


def _completion(delta: Body) -> Delta:
    if not isinstance(delta, Delta):
        raise RecordCorrupt("a completion has the body of a deleted one")
    return delta


def _remnant(delta: Body) -> Remnant:
    if not isinstance(delta, Remnant):
        raise RecordCorrupt("what is left of a deleted completion has another form")
    return delta


def _ends_in(link: Link, count: int, prefix_hash: int) -> bool:
    delta = link.delta
    return isinstance(delta, Delta) and (delta.count, delta.prefix_hash) == (count, prefix_hash)
