"""Full text search in an FTS5 index that lies in the completions' own order."""

from collections.abc import Callable, Iterator, Sequence

import apsw

from chatkeep.core.ids import Seq
from chatkeep.core.model import Order, ProjectId
from chatkeep.core.tokens import phrases, positions
from chatkeep.store import sql

SQL = sql.blocks("chatkeep.store.sqlite", "search.sql")
STEPS_BEFORE_SEEK = 64  # a step takes a microsecond, a new query up to some hundred


def insert(connection: apsw.Connection, project: ProjectId, seq: Seq, texts: Sequence[str]) -> None:
    words = positions(texts)
    if words:
        connection.execute(SQL["search_insert"], (seq, _marked(project, words)))


def delete(connection: apsw.Connection, project: ProjectId, seq: Seq, texts: Sequence[str]) -> None:
    """Takes the entry out that `insert` made of these texts, if it has made one."""
    words = positions(texts)
    if words and _has(connection, project, seq, words[0]):
        connection.execute(SQL["search_delete"], (seq, _marked(project, words)))


def expression(project: ProjectId, q: str) -> str:
    """What FTS5 is asked; empty when there is no word in it, which finds nothing."""
    return " AND ".join(f'"{_marked(project, phrase)}"' for phrase in phrases(q))


def opened(
    connection: apsw.Connection, found: str, order: Order
) -> Callable[[int, int], Iterator[tuple[int]]]:
    """Opens the places where an expression is found."""
    statement = SQL[f"search_{order}"]
    return lambda low, high: iter(connection.execute(statement, (found, low, high)))


def _has(connection: apsw.Connection, project: ProjectId, seq: Seq, word: str) -> bool:
    asked = (f'"{_marked(project, [word])}"', seq)
    return bool(connection.execute(SQL["search_has"], asked).fetchall())


def _marked(project: ProjectId, words: Sequence[str]) -> str:
    """The words, each behind its project's number: those of others are words apart."""
    mark = f"{project}x"
    return mark + f" {mark}".join(words)
