"""Which completions are in search: those up to a place. The newest, behind it, wait.

What a commit adds to FTS5 becomes a segment of its own: some five pages, and in the end a merge
with others. So MOST go in at once, on the thread that waits for the disk: meanwhile the event loop
serves others. Nothing more is kept of those that wait: what they said stands in their bodies, and
their words are remembered only so as not to be read again.

Who asks for words, or lets go of what one said, has the index catch up first. One that is deleted
while it waits leaves nothing behind.
"""

from typing import Any

import apsw

from chatkeep.core.model.completion import ProjectId
from chatkeep.core.model.ids import Seq
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.encoding import rows
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.encoding.recent import Found
from chatkeep.store.index.text import searchable_texts
from chatkeep.store.sqlite import accounts, search
from chatkeep.store.sqlite.bodies import Bodies
from chatkeep.store.sqlite.search import Entries

SQL = sql.blocks("chatkeep.store.sqlite", "indexing.sql") | sql.blocks(
    "chatkeep.store.sqlite", "queries.sql"
)
MOST = 256
_MOST_BYTES = 1 << 19  # of words: no longer is nobody else committed


class Waiting:
    """What is known of those that wait, for as long as nobody else has written.

    `words` has those that this process has added, "" for what is not to be searched.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.reach: Seq | None = None
        self.count = 0
        self._size = 0
        self.words: dict[Seq, str] = {}

    def add(self, seq: Seq, words: str) -> None:
        self.count += 1
        self.words[seq] = words
        self._size += len(words)

    def are_enough(self) -> bool:
        return self.count >= MOST or self._size >= _MOST_BYTES


class Index:
    """Brings completions into search, within a transaction: `write`, then `append`, end it."""

    def __init__(self, cursor: apsw.Cursor, waiting: Waiting) -> None:
        self._cursor = cursor
        self._connection: apsw.Connection = cursor.connection
        self._waiting = waiting
        self._due: RecordContext | None = None
        self._entries: Entries | None = None

    def add(self, seq: Seq, words: str, context: RecordContext) -> None:
        """For a completion that has just been inserted."""
        if seq > self._reach():
            self._waiting.add(seq, words)
            if self._waiting.are_enough():
                self.is_due(context)
        else:
            search.insert(self._connection, seq, words)

    def is_due(self, context: RecordContext) -> None:
        """At the end of the transaction all that wait are brought in."""
        self._due = context

    def write(self) -> None:
        if self._due is not None:
            self._entries = self._new(self._due)

    def append(self) -> None:
        """On any thread."""
        if self._entries is not None:
            search.append(self._cursor, self._entries)

    def catch_up(self, context: RecordContext) -> None:
        """At once: for who changes by what those that wait are to be searched."""
        search.append(self._cursor, self._new(context))

    def catch_up_with(self, seq: Seq, context: RecordContext) -> None:
        """Before what a completion said goes: search has it then, and it can be taken out."""
        if seq > self._reach():
            self.catch_up(context)

    def _new(self, context: RecordContext) -> Entries:
        found: Any = self._connection.execute(SQL["waiting"], (self._reach(),)).fetchall()
        waiting = [
            (seq, self._words(ProjectId(project), Seq(seq), context)) for seq, project in found
        ]
        entries = search.entries(self._connection, waiting)
        if found:
            newest = Seq(found[-1][0])
            self._connection.execute(SQL["set_reach"], (newest,))
            self._waiting.forget()
            self._waiting.reach = newest
        return entries

    def _reach(self) -> Seq:
        waiting = self._waiting
        if waiting.reach is None:
            found: Any = self._connection.execute(SQL["reach"]).fetchall()
            waiting.reach, waiting.count = found[0]
        return Seq(waiting.reach or 0)

    def _words(self, project: ProjectId, seq: Seq, context: RecordContext) -> str:
        known = self._waiting.words.get(seq)
        if known is not None:
            return known
        return search.document(project, self._texts_in_body(project, seq, context))

    def _texts_in_body(self, id: ProjectId, seq: Seq, context: RecordContext) -> list[str]:
        projects = accounts.projects(self._connection, context.cipher)
        project = next((project for project in projects if project.id == id), None)
        results: Any = self._connection.execute(SQL["select_stored"], (seq, id)).fetchall()
        if project is None or not project.full_text or not results:
            return []
        bodies = Bodies(self._connection, project, context)
        try:
            item = rows.stored(Found._make(results[0]), bodies)
        except RecordCorrupt:
            return []  # as for who deletes it
        return searchable_texts(bodies.new(seq), item.answer)


def some_wait(connection: apsw.Connection) -> bool:
    return bool(connection.execute(SQL["some_wait"]).fetchall())
