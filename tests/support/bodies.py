"""Bodies of a project in dictionaries: what a database would read and write for the graph."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from chatkeep.core.model.completion import Project, ProjectId
from chatkeep.core.model.ids import Seq
from chatkeep.core.model.record import Record, Request, cut
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding import removing
from chatkeep.store.encoding.body import Codec, ExpiredBody, Remnant
from chatkeep.store.encoding.chain import prefix_hashes
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.encoding.deltas import messages_of, request_of
from chatkeep.store.encoding.graph import Graph, Kept, completion, parent_of
from chatkeep.store.encoding.placing import Placed, placed
from chatkeep.store.encoding.writes import (
    DeletePrefixHash,
    DeleteRemnant,
    InsertPrefixHash,
    PutBody,
    PutRemnant,
    ReleaseShared,
    Relink,
    UseShared,
    Write,
)

PROJECT = Project(ProjectId(1), "ours", b"s" * 32)
SECOND = 1 << 31  # between two seqs, so that they are a second apart
BEGIN = 1_700_000_000


def at(number: int) -> Seq:
    return Seq((BEGIN + number) * SECOND)


@dataclass
class Bodies:
    """Keeps what is written; `asked` counts the questions."""

    records: dict[Seq, Kept] = field(default_factory=dict)
    remnants: dict[Seq, Kept] = field(default_factory=dict)
    hashes: set[tuple[int, Seq]] = field(default_factory=set)
    texts: dict[int, bytes] = field(default_factory=dict)
    uses: dict[int, int] = field(default_factory=dict)
    asked: int = 0

    def __post_init__(self) -> None:
        self.graph = Graph(self, PROJECT, RecordContext(Codec()))

    def candidates(self, hash: int, low: Seq, high: Seq) -> Sequence[Seq]:
        self.asked += 1
        return sorted({seq for one, seq in self.hashes if one == hash and low <= seq <= high})[
            :-5:-1
        ]

    def kept(self, seq: Seq) -> Kept | None:
        self.asked += 1
        return self.remnants.get(seq) or self.records.get(seq)

    def remnant(self, seq: Seq) -> Kept | None:
        self.asked += 1
        return self.remnants.get(seq)

    def children(self, seq: Seq) -> Iterable[tuple[Seq, bytes]]:
        self.asked += 1
        every = [*self.records.items(), *self.remnants.items()]
        return [(child, kept.body) for child, kept in every if kept.base == seq]

    def shared(self, key: int) -> bytes | None:
        self.asked += 1
        return self.texts.get(key)

    def is_empty(self) -> bool:
        """Whether nothing is kept any more, of whatever there was."""
        return not (self.records or self.remnants or self.hashes or self.texts or self.uses)

    def add(
        self, seq: Seq, messages: Sequence[bytes], answer: bytes, around: bytes = b""
    ) -> Placed:
        body = b'{"model":"m",%b"messages":[%b]}' % (around, b",".join(messages))
        record = Record(cut(body, messages), answer, f"chatcmpl-{seq}", None)
        added = placed(self.graph, seq, "chat.completion", record, b"{}")
        self.write(added.writes)
        self.records[seq] = Kept(added.base, added.parent, added.body)
        return added

    def delete(self, seq: Seq) -> list[Write]:
        kept = self.records.pop(seq)
        try:
            writes = removing.removed(self.graph, seq, kept.base, kept.body)
        except RecordCorrupt:
            writes = removing.lost(self.graph, seq, kept.base)
        self.write(writes)
        return writes

    def expire(self, seq: Seq, *, damaged: bool = False) -> list[Write]:
        left = ExpiredBody(b"{}", b"{}")
        writes = removing.expired(self.graph, seq, self.records[seq], left, damaged=damaged)
        self.write(writes)
        return writes

    def request(self, seq: Seq) -> Request:
        """The request of a record, put together along its bases."""
        kept = self.records[seq]
        delta, second = self.graph.opened(seq, kept.body)
        before = self.graph.decoded(list(self.graph.path(kept.base)))
        codec, load = self.graph.context.codec, self.graph.load
        messages = messages_of(codec, completion(delta), second, load, before)
        return request_of(completion(delta), PROJECT.secret, "chat.completion", load, messages)

    def parent(self, seq: Seq) -> Seq:
        return parent_of(self.records[seq])

    def remnant_body(self, seq: Seq) -> Remnant:
        body, _ = self.graph.opened(seq, self.remnants[seq].body)
        assert isinstance(body, Remnant)
        return body

    def damage(self, seq: Seq) -> None:
        self.records[seq] = self.records[seq]._replace(body=b"\x01")

    def write(self, writes: Iterable[Write]) -> None:
        for write in writes:
            self._write(write)

    def _write(self, write: Write) -> None:
        match write:
            case UseShared(key, text):
                self.texts.setdefault(key, self.graph.context.sealed_shared(key, text))
                self.uses[key] = self.uses.get(key, 0) + 1
            case InsertPrefixHash(hash, seq):
                self.hashes.add((hash, seq))
            case DeletePrefixHash(hash, seq):
                self.hashes.remove((hash, seq))
            case ReleaseShared(keys):
                for key in keys:
                    self._release(key)
            case PutRemnant(seq, base, body):
                self.remnants[seq] = Kept(base, None, body)
            case DeleteRemnant(seq):
                del self.remnants[seq]
            case Relink(seq, base):
                self._relink(seq, base)
            case PutBody(seq, body, parent):
                self.records[seq] = Kept(self.records[seq].base, parent, body)
            case _:
                assert_never(write)

    def _release(self, key: int) -> None:
        self.uses[key] -= 1
        if not self.uses[key]:
            del self.uses[key], self.texts[key]
            self.graph.context.forget(key)

    def _relink(self, seq: Seq, base: Seq | None) -> None:
        if seq not in self.records:
            for child, kept in self.records.items():
                if kept.base == seq:
                    self.records[child] = kept._replace(base=base)


def hash_of(messages: Sequence[bytes]) -> int:
    return prefix_hashes(PROJECT.secret, "chat.completion", messages)[0][1] & 0xFFFFFFFF
