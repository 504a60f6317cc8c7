"""Bodies in SQLite: what the graph of bodies asks for is looked up, what is decided is written."""

from collections.abc import Iterable, Sequence
from typing import Any, assert_never

import apsw

from chatkeep.core.model.completion import Project
from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import Seq
from chatkeep.core.model.record import Record
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.encoding import removing
from chatkeep.store.encoding.body import ExpiredBody
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.encoding.graph import Graph, Kept
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

SQL = sql.blocks("chatkeep.store.sqlite", "bodies.sql")
Cursor = apsw.Connection | apsw.Cursor  # a connection makes one for each statement


class _Lookups:
    """The neighbourhood of a record: each question is one statement by key."""

    def __init__(self, cursor: Cursor, project: Project) -> None:
        self._cursor = cursor
        self._project = project

    def candidates(self, hash: int, low: Seq, high: Seq) -> Sequence[Seq]:
        bindings = (self._project.id, hash, low, high)
        found: Any = self._cursor.execute(SQL["candidates"], bindings).fetchall()
        return [seq for (seq,) in found]

    def kept(self, seq: Seq) -> Kept | None:
        return self._one("select_body", seq)

    def remnant(self, seq: Seq) -> Kept | None:
        return self._one("select_remnant", seq)

    def children(self, seq: Seq) -> Iterable[tuple[Seq, bytes]]:
        found: Any = self._cursor.execute(SQL["children"], (seq,)).fetchall()
        return found  # type: ignore[no-any-return]  # rows as they are: seq and body

    def shared(self, key: int) -> bytes | None:
        found: Any = self._cursor.execute(SQL["select_shared"], (key,)).fetchall()
        return found[0][0] if found else None

    def _one(self, statement: str, seq: Seq) -> Kept | None:
        found: Any = self._cursor.execute(SQL[statement], (seq,)).fetchall()
        return Kept._make(found[0]) if found else None


class Bodies(Graph):
    """The bodies of one project, over one connection or cursor."""

    def __init__(self, cursor: Cursor, project: Project, context: RecordContext) -> None:
        super().__init__(_Lookups(cursor, project), project, context)
        self._cursor = cursor

    def add(self, seq: Seq, form: FormName, record: Record, metadata: bytes) -> Placed:
        """Encodes a record; all that its body refers to is written."""
        added = placed(self, seq, form, record, metadata)
        self._write(added.writes)
        return added

    def first(self, seq: Seq) -> Seq:
        """Where the conversation begins that the body at `seq` is part of."""
        found: Any = self._cursor.execute(SQL["beginning"], (seq,)).fetchall()
        if not found:
            raise RecordCorrupt("what a record builds on has no beginning")
        return Seq(found[0][0])

    def remove(self, seq: Seq, base: Seq | None, body: bytes) -> None:
        """For a row that has been deleted: what others still need of its body stays."""
        self._write(removing.removed(self, seq, base, body))

    def lose(self, seq: Seq, base: Seq | None) -> None:
        """For a row that has been deleted and whose body could not be read."""
        self._write(removing.lost(self, seq, base))

    def expire(self, seq: Seq, kept: Kept, left: ExpiredBody, *, damaged: bool) -> None:
        """For a row that stays: `left` is its body from now on."""
        self._write(removing.expired(self, seq, kept, left, damaged=damaged))

    def _write(self, writes: Iterable[Write]) -> None:
        for write in writes:
            self._write_one(write)

    def _write_one(self, write: Write) -> None:
        execute, project = self._cursor.execute, self.project.id
        match write:
            case UseShared(key, text):
                self._use(key, text)
            case InsertPrefixHash(hash, seq):
                execute(SQL["insert_prefix_hash"], (project, hash, seq))
            case DeletePrefixHash(hash, seq):
                execute(SQL["delete_prefix_hash"], (project, hash, seq))
            case ReleaseShared(keys):
                self._release(keys)
            case PutRemnant(seq, base, body):
                execute(SQL["put_remnant"], (seq, project, base, body))
            case DeleteRemnant(seq):
                execute(SQL["delete_remnant"], (seq,))
            case Relink(seq, base):
                execute(SQL["relink"], (seq, base))
            case PutBody(seq, body, parent):
                execute(SQL["put_body"], (seq, body, parent))
            case _:
                assert_never(write)

    def _use(self, key: int, text: bytes) -> None:
        if not self._cursor.execute(SQL["use_shared"], (key,)).fetchall():
            data = self.context.sealed_shared(key, text)
            self._cursor.execute(SQL["insert_shared"], (key, data))
            self._cursor.execute(SQL["insert_shared_use"], (key,))

    def _release(self, keys: Iterable[int]) -> None:
        for key in keys:
            if (0,) in self._cursor.execute(SQL["release_shared"], (key,)).fetchall():
                self._cursor.execute(SQL["delete_shared"], (key,))
                self._cursor.execute(SQL["delete_shared_use"], (key,))
                self.context.forget(key)
