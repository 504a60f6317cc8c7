"""The label sets of completions a project has, and the seqs of those a query wants."""

from collections.abc import Iterator
from heapq import merge
from typing import Any

import apsw

from chatkeep.core.model.completion import ProjectId, Query
from chatkeep.store import sql
from chatkeep.store.index import postings
from chatkeep.store.sqlite.postings import of_forms, seqs

SQL = sql.blocks("chatkeep.store.sqlite", "labelsets.sql")
# So many postings are merged. A query that more label sets match is a common one: it looks at the
# rows, the newest first, and finds its page soon.
MOST = 64


def number(connection: apsw.Connection, values: tuple[Any, ...]) -> int:
    """The label set with these values; a new one is listed."""
    found: Any = connection.execute(SQL["select_label_set"], values).fetchall()
    if not found:
        found = connection.execute(SQL["insert_label_set"], values).fetchall()
    return int(found[0][0])


class Seqs:
    """Opens the seqs of all the label sets a query wants, between two bounds and in its order."""

    def __init__(self, connection: apsw.Connection, project: ProjectId, query: Query) -> None:
        self._connection = connection
        self._project = project
        self._order = query.order
        self._form = query.form
        columns = (query.model, query.status, query.finish_reason, query.upstream, query.key)
        found = connection.execute(SQL["select_label_sets"], (project, query.form, *columns))
        self._label_sets = {label_set for (label_set,) in found}

    def __call__(self, low: int, high: int) -> Iterator[int]:
        if len(self._label_sets) > MOST:
            every = of_forms(self._connection, self._project, self._form, low, high, self._order)
            return filter(self._is_wanted, every)
        lists = [
            self._seqs(postings.of_label_set(label_set), low, high)
            for label_set in self._label_sets
        ]
        return merge(*lists, reverse=self._order == "desc")

    def _seqs(self, term: int, low: int, high: int) -> Iterator[int]:
        return seqs(self._connection, self._project, term, low, high, self._order)

    def _is_wanted(self, seq: int) -> bool:
        found: Any = self._connection.execute(SQL["label_set_of"], (seq,)).fetchall()
        return bool(found) and found[0][0] in self._label_sets
