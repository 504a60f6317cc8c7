"""Full text search in FTS5.

FTS5 walks its rows in the order of their rowids, which therefore have the order of seq, and its
entries are small when rowids are near each other. So each completion gets a short number, with room
between two for those that began earlier and end later:

    search    16 = seq a      24 = seq b      32 = seq c ...

Where no room is left, as there may be for imports, it goes into `crowded`, by its seq.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apsw

from chatkeep.core.ids import Seq
from chatkeep.core.model import Order, ProjectId
from chatkeep.core.tokens import phrases, positions
from chatkeep.store import sql

SQL = sql.blocks("chatkeep.store.sqlite", "search.sql")
STEPS_BEFORE_SEEK = 64  # a step takes a microsecond, a new query up to some hundred
_ROOM = 16  # before a new number, for those that began earlier


def insert(connection: apsw.Connection, project: ProjectId, seq: Seq, texts: Sequence[str]) -> None:
    words = positions(texts)
    if not words:
        return
    text = _marked(project, words)
    doc = _free_number(connection, seq)
    if doc is None:
        connection.execute(SQL["crowded_insert"], (seq, text))
    else:
        # One row by VALUES: what needs a savepoint of its own makes FTS5 write out all it gathered.
        connection.execute(SQL["insert_searched"], (doc, seq))
        connection.execute(SQL["search_insert"], (doc, text))


def delete(connection: apsw.Connection, project: ProjectId, seq: Seq, texts: Sequence[str]) -> None:
    """Takes the entry out that `insert` made of these texts, if it has made one."""
    words = positions(texts)
    if not words:
        return
    text = _marked(project, words)
    taken: Any = connection.execute(SQL["delete_searched"], (seq,)).fetchall()
    if taken:
        connection.execute(SQL["search_delete"], (taken[0][0], text))
    elif _is_crowded(connection, seq, _marked(project, words[:1])):
        connection.execute(SQL["crowded_delete"], (seq, text))


def expression(project: ProjectId, q: str) -> str:
    """What FTS5 is asked; empty when there is no word in it, which finds nothing."""
    return " AND ".join(f'"{_marked(project, phrase)}"' for phrase in phrases(q))


def opened(
    connection: apsw.Connection, found: str, order: Order
) -> Callable[[int, int], Iterator[int]]:
    """Opens the places where an expression is found."""
    statements = (SQL[f"search_{order}"], SQL[f"crowded_{order}"])

    def places(low: int, high: int) -> Iterator[int]:
        lists = [connection.execute(one, (found, low, high)) for one in statements]
        rows: Any = heapq.merge(*lists, reverse=order == "desc")
        return (seq for (seq,) in rows)

    return places


def _free_number(connection: apsw.Connection, seq: Seq) -> int | None:
    neighbours: Any = connection.execute(SQL["search_neighbours"], (seq,)).fetchall()
    before, behind = neighbours[0]
    before = before or 0
    if behind is None:
        return int(before + _ROOM)
    return int((before + behind) // 2) if behind - before > 1 else None


def _is_crowded(connection: apsw.Connection, seq: Seq, word: str) -> bool:
    return bool(connection.execute(SQL["crowded_has"], (f'"{word}"', seq)).fetchall())


def _marked(project: ProjectId, words: Sequence[str]) -> str:
    """The words, each behind its project's number: those of others are words apart."""
    mark = f"{project}x"
    return mark + f" {mark}".join(words)
