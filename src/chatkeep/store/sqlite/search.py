"""Full text search in FTS5.

FTS5 walks its rows in the order of their rowids, which therefore have the order of seq, and its
entries are small when rowids are near each other. So each completion gets a short number, with room
between two for those that began earlier and end later:

    searched    16 = seq a      24 = seq b      32 = seq c ...

Where no room is left, as there may be for imports, the rowid is -seq. The number of a seq is
found by halving: both rise together.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple

import apsw

from chatkeep.core.model.completion import Order, ProjectId
from chatkeep.core.model.ids import MAX_SEQ, Seq
from chatkeep.store import sql
from chatkeep.store.index.tokens import phrases, positions

SQL = sql.blocks("chatkeep.store.sqlite", "search.sql")
STEPS_BEFORE_SEEK = 16  # a step takes some 5 µs, a new query 100
_ROOM = 16  # before a new number, for those that began earlier
_NEAR = 16 * _ROOM  # so many numbers are some 16 seqs


class _Numbered(NamedTuple):
    number: int
    seq: int


_NONE = _Numbered(0, -1)


class Entries(NamedTuple):
    """The words of completions, each one room behind the other, the first behind `before`."""

    before: int
    words: tuple[str, ...]


def document(project: ProjectId, texts: Iterable[str]) -> str:
    """Texts as FTS5 is given them; empty when there is no word in them."""
    words = positions(texts)
    return _marked(project, words) if words else ""


def insert(connection: apsw.Connection, seq: Seq, words: str) -> None:
    if not words:
        return
    number = _free_number(connection, seq)
    if number is None:
        connection.execute(SQL["insert_crowded"], (seq,))
    else:
        connection.execute(SQL["insert_searched"], (number, seq))
    # One row by VALUES: what needs a savepoint of its own makes FTS5 write out all it gathered.
    connection.execute(SQL["search_insert"], (-seq if number is None else number, words))


def entries(connection: apsw.Connection, waiting: Iterable[tuple[Seq, str]]) -> Entries:
    """Gives numbers to completions in their order, when all that are there stand before them."""
    before = _numbered(connection, "newest_number").number
    documents = [(seq, words) for seq, words in waiting if words]
    seqs = zip(count(before + _ROOM, _ROOM), (seq for seq, _ in documents))
    connection.executemany(SQL["insert_searched"], seqs)
    return Entries(before, tuple(words for _, words in documents))


def append(cursor: apsw.Cursor, entries: Entries) -> None:
    """Takes a while, without Python's lock."""
    if entries.words:
        bindings = (entries.before, _ROOM, apsw.carray(entries.words))
        cursor.execute(SQL["search_append"], bindings)


def delete(connection: apsw.Connection, seq: Seq, words: str) -> None:
    """Takes the entry out that `insert` made of these words, if it has made one."""
    if not words:
        return
    number, found = _up_to(connection, seq)
    if found == seq:
        connection.execute(SQL["delete_searched"], (number,))
        connection.execute(SQL["search_delete"], (number, words))
    elif connection.execute(SQL["delete_crowded"], (seq,)).fetchall():
        connection.execute(SQL["search_delete"], (-seq, words))


def lose(connection: apsw.Connection, seq: Seq) -> None:
    """For a completion of which nobody can tell what it said: its words stay, and find nothing."""
    number, found = _up_to(connection, seq)
    if found == seq:
        connection.execute(SQL["delete_searched"], (number,))
    connection.execute(SQL["delete_crowded"], (seq,))


def expression(project: ProjectId, q: str) -> str:
    """What FTS5 is asked; empty when there is no word in it, which finds nothing."""
    return " AND ".join(f'"{_marked(project, " ".join(phrase).encode())}"' for phrase in phrases(q))


def opened(
    connection: apsw.Connection, found: str, order: Order
) -> Callable[[int, int], Iterator[int]]:
    """Opens the seqs where an expression is found."""

    def seqs(low: int, high: int) -> Iterator[int]:
        first = _up_to(connection, low - 1).number + 1 if low > 0 else 1
        last = _up_to(connection, high).number if high < MAX_SEQ else MAX_SEQ
        lists: list[Iterator[Any]] = [_numbers(connection, found, order, first, last)]
        if connection.execute(SQL["some_crowded"], (low, high)).fetchall():
            lists.append(connection.execute(SQL[f"crowded_{order}"], (found, low, high)))
        rows = heapq.merge(*lists, reverse=order == "desc")
        return (seq for (seq,) in rows)

    return seqs


def _numbers(
    connection: apsw.Connection, found: str, order: Order, first: int, last: int
) -> Iterator[Any]:
    """The seqs of numbers from the first to the last, lazily."""
    if order == "desc" and last < MAX_SEQ:
        # FTS5 comes to a number from below in 50 µs, from above in up to 400.
        near = max(first, last - _NEAR + 1)
        yield from reversed(connection.execute(SQL["search_asc"], (found, near, last)).fetchall())
        last = near - 1
    yield from connection.execute(SQL[f"search_{order}"], (found, first, last))


def _free_number(connection: apsw.Connection, seq: Seq) -> int | None:
    newest = _numbered(connection, "newest_number")
    if newest.seq < seq:
        return newest.number + _ROOM
    before = _up_to(connection, seq).number
    behind = _numbered(connection, "number_from", before + 1).number
    return (before + behind) // 2 if behind - before > 1 else None


def _up_to(connection: apsw.Connection, seq: int) -> _Numbered:
    """The last number of a seq up to this one."""
    return _numbered(connection, "number_up_to", seq)


def _numbered(connection: apsw.Connection, statement: str, *bindings: int) -> _Numbered:
    rows: Any = connection.execute(SQL[statement], bindings).fetchall()
    return _Numbered(*rows[0]) if rows else _NONE


def _marked(project: ProjectId, words: bytes) -> str:
    """The words, each behind its project's number: those of others are words apart."""
    mark = b"%dx" % project
    return (mark + words.replace(b" ", b" " + mark)).decode()
