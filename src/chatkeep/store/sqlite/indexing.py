"""Which completions are in search: those up to a place. The newest, behind it, wait.

What a commit adds to FTS5 becomes a segment of its own: some five pages, and a merge now and then,
for one completion as for many. So MOST go in at once. Nothing more is kept of those that wait: what
they said stands in their bodies, and is remembered only so as not to be read again.

Who asks for words, or lets go of what one said, has the index catch up first. One that is deleted
while it waits leaves nothing behind.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw

from chatkeep.core.ids import Seq
from chatkeep.core.model import Project, ProjectId
from chatkeep.core.said import said
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.sqlite import accounts, rows, search
from chatkeep.store.sqlite.bodies import Bodies, Texts
from chatkeep.store.sqlite.recent import Found

SQL = sql.blocks("chatkeep.store.sqlite", "indexing.sql") | sql.blocks(
    "chatkeep.store.sqlite", "queries.sql"
)
MOST = 64
_MOST_BYTES = 1 << 18  # of messages and answers: no longer is nobody else served


class Spoken(NamedTuple):
    """Messages that nobody said before, and the answer to them."""

    new: Sequence[bytes]
    answer: bytes


class Waiting:
    """What is known of those that wait, for as long as nobody else has written.

    `spoken` has those that this process has added, None for what is not to be searched.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.reach: Seq | None = None
        self.count = 0
        self._size = 0
        self.spoken: dict[Seq, Spoken | None] = {}

    def add(self, seq: Seq, spoken: Spoken | None) -> None:
        self.count += 1
        self.spoken[seq] = spoken
        if spoken is not None:
            self._size += sum(map(len, spoken.new), len(spoken.answer))

    def are_enough(self) -> bool:
        return self.count >= MOST or self._size >= _MOST_BYTES


class Index:
    """Brings completions into search, within a transaction."""

    def __init__(self, connection: apsw.Connection, waiting: Waiting) -> None:
        self._connection = connection
        self._waiting = waiting

    def add(self, project: Project, seq: Seq, spoken: Spoken | None, texts: Texts) -> None:
        """For a completion that has just been inserted; None if it is not to be searched."""
        if seq > self._reach():
            self._waiting.add(seq, spoken)
            if self._waiting.are_enough():
                self.catch_up(texts)
        elif spoken is not None:
            search.insert(self._connection, project.id, seq, said(*spoken))

    def catch_up(self, texts: Texts) -> None:
        found: Any = self._connection.execute(SQL["waiting"], (self._reach(),)).fetchall()
        if not found:
            return
        entries = [
            (project, seq, self._said(ProjectId(project), Seq(seq), texts))
            for seq, project in found
        ]
        search.append(self._connection, entries)
        newest = Seq(found[-1][0])
        self._connection.execute(SQL["set_reach"], (newest,))
        self._waiting.forget()
        self._waiting.reach = newest

    def catch_up_with(self, seq: Seq, texts: Texts) -> None:
        """Before what a completion said goes: search has it then, and it can be taken out."""
        if seq > self._reach():
            self.catch_up(texts)

    def _reach(self) -> Seq:
        waiting = self._waiting
        if waiting.reach is None:
            found: Any = self._connection.execute(SQL["reach"]).fetchall()
            waiting.reach, waiting.count = found[0]
        return Seq(waiting.reach or 0)

    def _said(self, project: ProjectId, seq: Seq, texts: Texts) -> list[str]:
        if seq not in self._waiting.spoken:
            return self._said_by_body(project, seq, texts)
        spoken = self._waiting.spoken[seq]
        return [] if spoken is None else said(*spoken)

    def _said_by_body(self, id: ProjectId, seq: Seq, texts: Texts) -> list[str]:
        projects = accounts.projects(self._connection, texts.cipher)
        project = next((project for project in projects if project.id == id), None)
        results: Any = self._connection.execute(SQL["select_stored"], (seq, id)).fetchall()
        if project is None or not project.full_text or not results:
            return []
        bodies = Bodies(self._connection, project, texts)
        try:
            item = rows.stored(Found._make(results[0]), project, bodies)
        except RecordCorrupt:
            return []  # as for who deletes it
        return said(bodies.new(seq), item.answer)


def some_wait(connection: apsw.Connection) -> bool:
    return bool(connection.execute(SQL["some_wait"]).fetchall())
