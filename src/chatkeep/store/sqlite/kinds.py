"""The kinds of completions a project has, and the places of those a query wants."""

from collections.abc import Iterator
from heapq import merge
from typing import Any

import apsw

from chatkeep.core.model.completion import ProjectId, Query
from chatkeep.store import sql
from chatkeep.store.index import postings
from chatkeep.store.sqlite.postings import places

SQL = sql.blocks("chatkeep.store.sqlite", "kinds.sql")
# So many postings are merged. A query that more kinds match is a common one: it looks at the rows,
# the newest first, and finds its page soon.
MOST = 64


def number(connection: apsw.Connection, values: tuple[Any, ...]) -> int:
    """The kind with these values; a new one is listed."""
    found: Any = connection.execute(SQL["select_kind"], values).fetchall()
    if not found:
        found = connection.execute(SQL["insert_kind"], values).fetchall()
    return int(found[0][0])


class Places:
    """Opens the places of all the kinds a query wants, between two bounds and in its order."""

    def __init__(self, connection: apsw.Connection, project: ProjectId, query: Query) -> None:
        self._connection = connection
        self._project = project
        self._order = query.order
        columns = (query.model, query.status, query.finish_reason, query.upstream, query.key)
        found = connection.execute(SQL["select_kinds"], (project, *columns))
        self._kinds = {kind for (kind,) in found}

    def __call__(self, low: int, high: int) -> Iterator[int]:
        if len(self._kinds) > MOST:
            return filter(self._is_wanted, self._places(postings.ALL, low, high))
        every = [self._places(postings.of_kind(kind), low, high) for kind in self._kinds]
        return merge(*every, reverse=self._order == "desc")

    def _places(self, term: int, low: int, high: int) -> Iterator[int]:
        return places(self._connection, self._project, term, low, high, self._order)

    def _is_wanted(self, place: int) -> bool:
        found: Any = self._connection.execute(SQL["kind_of"], (place,)).fetchall()
        return bool(found) and found[0][0] in self._kinds
