"""Postings in SQLite: the seqs of a term in chunks, which are written once a commit."""

from collections.abc import Collection, Iterable, Iterator
from heapq import merge
from itertools import takewhile
from typing import Any

import apsw
import msgspec

from chatkeep.core.model.completion import Order, ProjectId
from chatkeep.core.model.form import NUMBERS, FormName
from chatkeep.core.model.ids import Seq
from chatkeep.store import sql
from chatkeep.store.index.postings import of_form
from chatkeep.store.sqlite.chunks import Chunk, appended, changed, seqs_in

SQL = sql.blocks("chatkeep.store.sqlite", "postings.sql")
_List = tuple[ProjectId, int]  # the seqs of a term
_Rows = list[tuple[ProjectId, int, int, bytes]]
Ends = dict[_List, Chunk]
_MOST_ENDS = 1024


class Changes:
    """Entries that come and go within a transaction, until they are written.

    `ends` has the newest chunks of lists as the file has them: lists grow there. Those of lists
    that are written for the first time are left out, since most pairs come only once.
    """

    def __init__(self, cursor: apsw.Cursor, ends: Ends) -> None:
        self._cursor = cursor
        self._ends = ends
        self._changes: dict[_List, dict[Seq, bool]] = {}
        self._going: set[tuple[_List, Seq]] = set()

    def add(self, project: ProjectId, terms: Iterable[int], seq: Seq) -> None:
        for term in terms:
            self._changes.setdefault((project, term), {})[seq] = True

    def remove(self, project: ProjectId, terms: Iterable[int], seq: Seq) -> None:
        for term in terms:
            self._changes.setdefault((project, term), {})[seq] = False
            self._going.add(((project, term), seq))

    def write(self) -> None:
        changes, self._changes = self._changes, {}
        self._clear(changes)
        self._look_up(changes)
        chunks: _Rows = []
        for list, seqs in changes.items():
            end = self._ends.get(list)
            new = None if False in seqs.values() else appended(end, sorted(seqs))
            if new is None:
                self._rewrite(list, seqs)
                continue
            if end is not None:
                self._ends[list] = new[-1]
            chunks += [(*list, *chunk) for chunk in new]
        self._cursor.executemany(SQL["put_chunk"], chunks)

    def _clear(self, changes: dict[_List, dict[Seq, bool]]) -> None:
        """Takes the seqs out that are alone in their chunk, as those of most pairs are."""
        going, self._going = self._going, set()
        for list, seq in going:
            seqs = changes[list]
            if seqs[seq]:
                continue  # it has come again
            self._cursor.execute(SQL["delete_single"], (*list, seq))
            if self._cursor.connection.changes():
                self._ends.pop(list, None)
                del seqs[seq]
            if not seqs:
                del changes[list]

    def _look_up(self, lists: Collection[_List]) -> None:
        if len(self._ends) > _MOST_ENDS:
            self._ends.clear()
        unknown: dict[ProjectId, list[int]] = {}
        for project, term in lists:
            if (project, term) not in self._ends:
                unknown.setdefault(project, []).append(term)
        for project, terms in unknown.items():
            bindings = (project, msgspec.json.encode(terms).decode())
            found: Any = self._cursor.execute(SQL["newest_chunks"], bindings)
            for term, *chunk in found:
                self._ends[project, term] = Chunk(*chunk)

    def _rewrite(self, list: _List, seqs: dict[Seq, bool]) -> None:
        self._ends.pop(list, None)
        left = sorted(seqs)
        while left:
            found: Any = self._cursor.execute(SQL["chunk_at"], (*list, left[0])).fetchall()
            chunks = [Chunk(*row) for row in found]
            end = chunks[1].first if len(chunks) > 1 else None
            here = [seq for seq in left if end is None or seq < end]
            left = left[len(here) :]
            added = [seq for seq in here if seqs[seq]]
            removed = [seq for seq in here if not seqs[seq]]
            old = chunks[0] if chunks else None
            self._replace(list, old, changed(old, added, removed, newest=end is None))

    def _replace(self, list: _List, old: Chunk | None, new: Iterable[Chunk]) -> None:
        if old is not None and old.first not in {chunk.first for chunk in new}:
            self._cursor.execute(SQL["delete_chunk"], (*list, old.first))
        self._cursor.executemany(SQL["put_chunk"], [(*list, *chunk) for chunk in new])


def of_forms(
    connection: apsw.Connection,
    project: ProjectId,
    form: FormName | None,
    low: int,
    high: int,
    order: Order,
) -> Iterator[int]:
    """The seqs of all records of a wire format, or of any, between two bounds, lazily."""
    forms = NUMBERS if form is None else (form,)
    lists = [seqs(connection, project, of_form(one), low, high, order) for one in forms]
    return lists[0] if len(lists) == 1 else merge(*lists, reverse=order == "desc")


def seqs(
    connection: apsw.Connection, project: ProjectId, term: int, low: int, high: int, order: Order
) -> Iterator[int]:
    """The seqs of a term between two bounds, lazily."""
    begin = low if order == "asc" else high
    rows: Any = connection.execute(SQL[f"chunks_{order}"], (project, term, begin))
    if order == "asc":
        every = (seq for row in rows for seq in seqs_in(Chunk(*row)) if seq >= low)
        return takewhile(high.__ge__, every)
    every = (seq for row in rows for seq in reversed(seqs_in(Chunk(*row))) if seq <= high)
    return takewhile(low.__le__, every)
