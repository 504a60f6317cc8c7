"""The kinds of completions a project has, and the places of those a query wants (core.postings)."""

from collections.abc import Iterator
from heapq import merge
from typing import Any

import apsw

from chatkeep.core import postings
from chatkeep.core.model import ProjectId, Query, Row
from chatkeep.store import sql

SQL = sql.blocks("chatkeep.store.sqlite", "kinds.sql")
# So many postings are merged. A query that more kinds match is a common one: it looks at the rows,
# the newest first, and finds its page soon.
MOST = 64


def number(connection: apsw.Connection, project: ProjectId, row: Row) -> int:
    """The kind of a row that is being inserted; a new one is listed."""
    values = (project, row.model, row.status, row.finish_reason, row.upstream, row.key)
    found: Any = connection.execute(SQL["select_kind"], values).fetchall()
    if not found:
        found = connection.execute(SQL["insert_kind"], values).fetchall()
    return int(found[0][0])


class Places:
    """Opens the places of all the kinds a query wants, between two bounds and in its order."""

    def __init__(
        self, connection: apsw.Connection, posting: str, project: ProjectId, query: Query
    ) -> None:
        self._connection = connection
        self._posting = posting
        self._order = query.order
        self._wanted = (
            project,
            query.model,
            query.status,
            query.finish_reason,
            query.upstream,
            query.key,
        )
        found = connection.execute(SQL["select_kinds"], (*self._wanted, MOST + 1))
        self._kids = [postings.of_kind(kind) for (kind,) in found]

    def __call__(self, low: int, high: int) -> Iterator[tuple[Any, ...]]:
        if len(self._kids) > MOST:
            statement = SQL[f"of_kinds_{self._order}"]
            return iter(self._connection.execute(statement, (*self._wanted, low, high)))
        project = self._wanted[0]
        every = [
            iter(self._connection.execute(self._posting, (project, kid, low, high)))
            for kid in self._kids
        ]
        return merge(*every, reverse=self._order == "desc")
