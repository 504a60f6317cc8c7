"""The graph of a project's bodies: each is a delta against its base, and so on to a first one.

    0 <- 1 <- 2 ...        a record's body, or the remnant of a deleted one, at each seq

Nothing here reads a database. What is asked of the graph comes through `Neighbourhood`. SQLite
answers each question with a look-up by key, in microseconds. A database that is asked over a
network can read a neighbourhood before and answer from that: candidates, the chain of bases, and
for a delete the children of each base; then the shared texts, whose keys the opened bodies name.
Decisions that change the graph are in placing.py and removing.py; they give back what is to be
written, and each has to be written before the next is made.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import Seq
from chatkeep.core.model.record import Request
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding import deltas
from chatkeep.store.encoding.body import Body, Delta, ExpiredBody, Remnant
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.encoding.parts import shared_key
from chatkeep.store.encoding.recent import Found

_LONGEST_PATH = 1000  # far beyond any conversation's: a damaged file might lead in a circle


class Kept(NamedTuple):
    """A body as it is kept, with its base and its parent.

    `parent` is None when it is the base, 0 when there is none; a remnant has no other than its
    base.
    """

    base: Seq | None
    parent: Seq | None
    body: bytes


class Neighbourhood(Protocol):
    """What of the stored bodies a decision asks for; of one project."""

    def candidates(self, hash: int, low: Seq, high: Seq) -> Sequence[Seq]:
        """The newest few records found by a prefix hash between two seqs, the newest first."""
        ...

    def kept(self, seq: Seq) -> Kept | None:
        """The remnant at `seq` if there is one, else the body of the record there."""
        ...

    def remnant(self, seq: Seq) -> Kept | None: ...

    def children(self, seq: Seq) -> Iterable[tuple[Seq, bytes]]:
        """The seqs and bodies of all records and remnants whose base is `seq`."""
        ...

    def shared(self, key: int) -> bytes | None:
        """A shared text as it is kept."""
        ...


class Link(NamedTuple):
    """An opened body, with its base and its parent as `Kept` has them."""

    seq: Seq
    base: Seq | None
    parent: Seq | None
    delta: Delta | Remnant
    second: bytes


class Graph:
    """Reads the bodies of one project."""

    def __init__(
        self, neighbourhood: Neighbourhood, project: Project, context: RecordContext
    ) -> None:
        self.neighbourhood = neighbourhood
        self.project = project
        self.context = context

    def opened(self, seq: Seq, body: bytes) -> tuple[Body, bytes]:
        """The body at `seq` and its second frame. Raises RecordCorrupt."""
        return self.context.opened(self.project.id, seq, body)

    def sealed(self, seq: Seq, body: bytes) -> bytes:
        return self.context.sealed(self.project.id, seq, body)

    def readable(self, seq: Seq, body: bytes) -> tuple[Body, bytes] | None:
        """None for what is damaged: it can be put together no more, and needs nobody."""
        try:
            return self.opened(seq, body)
        except RecordCorrupt:
            return None

    def load(self, key: int) -> bytes:
        """The shared text with a key. Raises RecordCorrupt."""
        text = self.context.get(key)
        if text is None:
            data = self.neighbourhood.shared(key)
            if data is None:
                raise RecordCorrupt("a text that several completions share is not there")
            text = self.context.opened_shared(key, data)
            if shared_key(self.project.secret, text) != key:
                raise RecordCorrupt("a text that several completions share is not the one")
            self.context.remember(key, text)
        return text

    def link(self, seq: Seq) -> Link:
        """Raises RecordCorrupt when nothing can be built on what is at `seq`."""
        kept = self.neighbourhood.kept(seq)
        if kept is None:
            raise RecordCorrupt("what a record builds on is not there")
        delta, second = self.opened(seq, kept.body)
        if isinstance(delta, ExpiredBody):
            raise RecordCorrupt("what a record builds on has no body any more")
        return Link(seq, kept.base, kept.parent, delta, second)

    def path(self, seq: Seq | None) -> Iterator[Link]:
        """The body at `seq`, its base, the base of that, and so on to one that has none."""
        for _ in range(_LONGEST_PATH):
            if seq is None:
                return
            link = self.link(seq)
            yield link
            seq = link.base
        raise RecordCorrupt("what a record builds on has no beginning")

    def decoded(self, path: Sequence[Link]) -> deltas.Decoded:
        """The messages at the start of a whole path, and what of its answer may be quoted."""
        decoded = deltas.NOTHING
        for link in reversed(path):
            decoded = deltas.decode(self.context.codec, link.delta, link.second, self.load, decoded)
        return decoded

    def outside(self, seq: Seq, body: bytes, id: str) -> deltas.Outside:
        """A completion without the messages it was asked with. Raises RecordCorrupt."""
        delta, _ = self.opened(seq, body)
        if isinstance(delta, ExpiredBody):
            return deltas.Outside(delta.request, delta.answer, b"{}", None, has_body=False)
        return deltas.outside(completion(delta), self.load, id)

    def metadata(self, seq: Seq, body: bytes) -> bytes:
        """What the completion was created with. Raises RecordCorrupt."""
        return deltas.outline_of(completion(self.opened(seq, body)[0]), self.load).metadata

    def request(self, found: Found) -> Request | None:
        """Put together along its bases; None when the body has expired. Raises RecordCorrupt."""
        opened, second = self.opened(found.seq, found.body)
        if isinstance(opened, ExpiredBody):
            return None
        delta = completion(opened)
        before = self.decoded(list(self.path(found.base)))
        messages = deltas.messages_of(self.context.codec, delta, second, self.load, before)
        return deltas.request_of(delta, self.project.secret, found.form, self.load, messages)

    def is_expired(self, seq: Seq, body: bytes) -> bool:
        """Raises RecordCorrupt."""
        return isinstance(self.opened(seq, body)[0], ExpiredBody)

    def new(self, seq: Seq) -> Sequence[bytes]:
        """The messages that were new when it was added; none when that cannot be told any more.

        Those of a request that repeats another are the ones that were new in that one.
        """
        try:
            path = list(self.path(seq))
            if path[0].delta.messages == [] and len(path) > 1:
                path = path[1:]
            before = self.decoded(path[1:])
            delta, second = path[0].delta, path[0].second
            messages = deltas.messages_of(self.context.codec, delta, second, self.load, before)
        except RecordCorrupt:
            return ()
        forms = deltas.forms_of(self.context.codec, delta, second, before)
        return deltas.new(forms, messages[len(before.messages) :])

    def quotable(self, link: Link | None) -> bytes:
        """The answer that may be quoted from a link, empty when there is none."""
        if link is None or not isinstance(link.delta, Delta):
            return b""
        return deltas.quotable(link.delta, self.load)

    def quotes(self, seq: Seq, gone: frozenset[Seq] = frozenset()) -> set[tuple[int, int]] | None:
        """The stretches of an answer that others quote; None when nobody needs the body.

        Children that are `gone` by the same decision do not count.
        """
        found = self.neighbourhood.children(seq)
        opened = [self.readable(child, body) for child, body in found if child not in gone]
        needing = [one[0] for one in opened if one and not isinstance(one[0], ExpiredBody)]
        return {place for body in needing for place in deltas.copied_by(body)} if needing else None


def parent_of(link: Kept | Link) -> Seq:
    """The turn before a record, 0 for none."""
    return Seq(link.base or 0) if link.parent is None else link.parent


def completion(body: Body) -> Delta:
    """Raises RecordCorrupt for another kind of body."""
    if not isinstance(body, Delta):
        raise RecordCorrupt("a completion has the body of a deleted one")
    return body
