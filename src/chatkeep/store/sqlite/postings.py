"""Postings in SQLite: the places of a kid in chunks, which are written once a commit."""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

import apsw

from chatkeep.core.chunks import Chunk, changed, unpacked
from chatkeep.core.ids import Seq
from chatkeep.core.model import Order, ProjectId
from chatkeep.store import sql

SQL = sql.blocks("chatkeep.store.sqlite", "postings.sql")
_List = tuple[ProjectId, int]  # the places of a kid


class Changes:
    """Entries that come and go within a transaction, until they are written."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._changes: dict[_List, dict[Seq, bool]] = {}

    def add(self, project: ProjectId, kids: Iterable[int], seq: Seq) -> None:
        for kid in kids:
            self._changes.setdefault((project, kid), {})[seq] = True

    def remove(self, project: ProjectId, kids: Iterable[int], seq: Seq) -> None:
        for kid in kids:
            self._changes.setdefault((project, kid), {})[seq] = False

    def write(self) -> None:
        changes, self._changes = self._changes, {}
        for list, places in changes.items():
            self._write(list, places)

    def _write(self, list: _List, places: dict[Seq, bool]) -> None:
        left = sorted(places)
        while left:
            found: Any = self._connection.execute(SQL["chunk_at"], (*list, left[0])).fetchall()
            chunks = [Chunk(*row) for row in found]
            end = chunks[1].first if len(chunks) > 1 else None
            here = [place for place in left if end is None or place < end]
            left = left[len(here) :]
            added = [place for place in here if places[place]]
            removed = [place for place in here if not places[place]]
            old = chunks[0] if chunks else None
            self._replace(list, old, changed(old, added, removed, newest=end is None))

    def _replace(self, list: _List, old: Chunk | None, new: Iterable[Chunk]) -> None:
        if old is not None and old.first not in {chunk.first for chunk in new}:
            self._connection.execute(SQL["delete_chunk"], (*list, old.first))
        for chunk in new:
            self._connection.execute(SQL["put_chunk"], (*list, *chunk))


def places(
    connection: apsw.Connection, project: ProjectId, kid: int, low: int, high: int, order: Order
) -> Iterator[int]:
    """The places of a kid between two bounds, lazily."""
    begin = low if order == "asc" else high
    rows: Any = connection.execute(SQL[f"chunks_{order}"], (project, kid, begin))
    if order == "asc":
        every = (place for row in rows for place in unpacked(Chunk(*row)) if place >= low)
        return takewhile(high.__ge__, every)
    every = (place for row in rows for place in reversed(unpacked(Chunk(*row))) if place <= high)
    return takewhile(low.__le__, every)
