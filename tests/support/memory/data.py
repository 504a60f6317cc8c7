"""What a store in memory holds, and how a record finds the conversation it goes on."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace
from support.listing import is_wanted

from chatkeep.core.model.completion import (
    Key,
    KeyId,
    Project,
    ProjectId,
    Query,
    Row,
    Stored,
)
from chatkeep.core.model.ids import CompletionId, Name, Seq, compact
from chatkeep.core.model.record import Record
from chatkeep.core.model.usage import Totals
from chatkeep.core.ports.claims import Claim
from chatkeep.store.encoding.chain import MAX_AGE_S, prefix_hashes
from chatkeep.store.encoding.expired import expired_body
from chatkeep.store.encoding.parts import copying, strings
from chatkeep.store.index.text import searchable_texts
from chatkeep.store.index.tokens import phrases, positions

_REACH = MAX_AGE_S << 31  # in seqs


class Item(Struct):
    """A record as it is held. `record` is None when its body has expired.

    `messages` is how many it was asked with, and `hash` of all of them; `new` are those its
    conversation had not said before, `words` what search finds it by.
    """

    project: ProjectId
    stored: Stored
    record: Record | None
    parent: Seq | None
    conversation: Seq
    messages: int
    hash: int
    new: Sequence[bytes]
    words: bytes

    @property
    def row(self) -> Row:
        return self.stored.row


class Held(NamedTuple):
    """An idempotency key: whose it is, until when (unix seconds), and what answered it."""

    claim: Claim
    leased_until: int
    expires: int
    answer: Name | None = None


class Data(Struct):
    """All of it; every store that is opened on it sees the same."""

    projects: dict[ProjectId, Project] = field(default_factory=dict)
    keys: dict[KeyId, Key] = field(default_factory=dict)
    digests: dict[bytes, KeyId] = field(default_factory=dict)
    keys_version: int = 0
    subscribers: list["asyncio.Future[None]"] = field(default_factory=list)
    items: dict[Seq, Item] = field(default_factory=dict)
    used: set[Seq] = field(default_factory=set)  # seqs, deleted ones included
    aliases: dict[tuple[ProjectId, str], Seq] = field(default_factory=dict)
    claims: dict[tuple[ProjectId, bytes], Held] = field(default_factory=dict)
    totals: Totals = field(default_factory=dict)
    is_served: bool = False

    def find(self, project: Project, name: Name) -> Item | None:
        item = self.items.get(name.seq)
        mine = item is not None and item.project == project.id and item.row.tag == name.tag
        return item if mine else None

    def of(self, project: Project) -> Iterator[Item]:
        """The items of a project, the oldest first."""
        for seq in sorted(self.items):
            if self.items[seq].project == project.id:
                yield self.items[seq]

    def wanted(self, project: Project, query: Query) -> list[Item]:
        """What a query wants, in its order, from where it goes on."""
        runs = None if query.q is None else [" ".join(run).encode() for run in phrases(query.q)]
        found = [item for item in self.of(project) if _is_wanted(item, query, runs)]
        return found[::-1] if query.order == "desc" else found

    def add(self, project: Project, row: Row, record: Record) -> None:
        known = prefix_hashes(project.secret, row.form, record.request.messages)
        before, new = self._before(project, row.seq, known, record.request.messages)
        repeats = before is not None and before.messages == len(record.request.messages)
        if before is None or repeats:
            parent = None if before is None else before.parent
        else:
            parent = before.row.seq
        said = searchable_texts(new, record.answer) if project.full_text else ()
        self.items[row.seq] = Item(
            project=project.id,
            stored=_stored(row, record),
            record=record,
            parent=parent,
            conversation=row.seq if before is None else before.conversation,
            messages=len(record.request.messages),
            hash=known[0][1] if known else 0,
            new=new,
            words=positions(said),
        )
        self.used.add(row.seq)

    def expire(self, item: Item) -> None:
        """Drops its request and answer."""
        left = expired_body(item.stored)
        shown = replace(
            item.stored,
            request=left.request,
            answer=left.answer,
            theirs=None,
            has_body=False,
            halves={},
        )
        self.items[item.row.seq] = Item(
            item.project, shown, None, item.parent, item.conversation, 0, 0, (), b""
        )

    def id_of(self, seq: Seq | None) -> CompletionId | None:
        """What the record at a seq is known by; None when there is none any more."""
        item = None if seq is None else self.items.get(seq)
        return None if item is None else item.stored.id

    def keys_changed(self) -> None:
        self.keys_version += 1
        for waiting in self.subscribers:
            if not waiting.done():
                waiting.set_result(None)
        self.subscribers.clear()

    def size(self) -> int:
        """Bytes of all requests and answers."""
        return sum(
            len(item.stored.request) + len(item.stored.answer) for item in self.items.values()
        )

    def _before(
        self,
        project: Project,
        seq: Seq,
        known: Sequence[tuple[int, int]],
        messages: Sequence[bytes],
    ) -> tuple[Item | None, Sequence[bytes]]:
        """The record whose messages these go on from, and those that are new."""
        near = [item for item in self.of(project) if abs(item.row.seq - seq) <= _REACH]
        for count, hash in known:
            found = [item for item in near if (item.messages, item.hash) == (count, hash)][::-1]
            if not found:
                continue
            if count == len(messages):
                return found[0], found[0].new
            answered = (item for item in found if _answers(item, messages[count]))
            before = next(answered, found[0])
            return before, [one for one in messages[count:] if not _answers(before, one)]
        return None, messages


def _is_wanted(item: Item, query: Query, runs: Sequence[bytes] | None) -> bool:
    seq, after = item.row.seq, query.after
    if after is not None and (seq >= after if query.order == "desc" else seq <= after):
        return False
    if not is_wanted(item.row, query):
        return False
    spaced = b" %b " % item.words
    return runs is None or (bool(runs) and all(b" %b " % run in spaced for run in runs))


def _answers(item: Item, message: bytes) -> bool:
    """Whether the message repeats the item's answer."""
    answer = item.stored.answer
    return not isinstance(copying(message, answer, strings(answer)), bytes)


def _stored(row: Row, record: Record) -> Stored:
    theirs = None if record.upstream_id is None else compact(record.upstream_id)
    around = record.request.before + record.request.after
    return Stored(row.id, row, around, record.answer, theirs)
