"""Finds the seqs a query wants, in order and lazily, from postings alone."""

from collections.abc import Callable, Iterator

import apsw

from chatkeep.core.model.completion import Order, Project, ProjectId, Query
from chatkeep.core.model.ids import MAX_SEQ, first_of, last_of
from chatkeep.store.index import postings
from chatkeep.store.sqlite import labelsets, search
from chatkeep.store.sqlite.postings import of_forms
from chatkeep.store.sqlite.postings import seqs as in_chunks

_STEPS_BEFORE_SEEK = 64  # a chunk; a step costs a hundredth of a new query

Open = Callable[[int, int], Iterator[int]]  # (low, high) -> seqs in the query's order


def bounds(query: Query) -> tuple[int, int]:
    """The lowest and the highest seq the query can show."""
    low, high = 0, MAX_SEQ
    if query.created_after is not None:
        low = first_of(query.created_after)
    if query.created_before is not None:
        high = last_of(query.created_before)
    if query.after is not None:
        if query.order == "desc":
            high = min(high, query.after - 1)
        else:
            low = max(low, query.after + 1)
    return low, high


def is_simple(query: Query) -> bool:
    """Whether its seqs stand one behind the other in one index."""
    return query.q is None and not postings.wants_labels(query) and len(query.metadata) <= 1


def seqs(connection: apsw.Connection, project: Project, query: Query) -> Iterator[int]:
    """The seqs that have all that the query wants, lazily."""
    low, high = bounds(query)
    if low > high:
        return iter(())
    found = None if query.q is None else search.expression(project.id, query.q)
    if found == "":
        return iter(())
    pairs = sorted(postings.of_metadata(project.secret, query.metadata))
    lists = [_posting(connection, project.id, term, query.order) for term in pairs]
    if postings.wants_labels(query):
        lists.append(labelsets.Seqs(connection, project.id, query))
    if not lists and found is None:  # else all there are have the form asked for: there is one
        return of_forms(connection, project.id, query.form, low, high, query.order)
    if len(lists) == 1 and found is None:
        return lists[0](low, high)
    descending = query.order == "desc"
    cursors = [_Cursor(opened, low, high, descending) for opened in lists]
    if found is not None:
        opened = search.opened(connection, found, query.order)
        cursors.append(_Cursor(opened, low, high, descending, search.STEPS_BEFORE_SEEK))
    return _leapfrog(cursors)


def _posting(connection: apsw.Connection, project: ProjectId, term: int, order: Order) -> Open:
    def opened(low: int, high: int) -> Iterator[int]:
        return in_chunks(connection, project, term, low, high, order)

    return opened


class _Cursor:
    """The seqs of a posting or of a search, from the first to the last; `seek` jumps forward.

    It walks for as many steps as may pay, and for half as many once they were in vain.
    """

    def __init__(
        self,
        opened: Open,
        low: int,
        high: int,
        descending: bool,
        steps_before_seek: int = _STEPS_BEFORE_SEEK,
    ) -> None:
        self._open = opened
        self._worth = self._steps = steps_before_seek
        self._low, self._high, self._descending = low, high, descending
        self._seqs = opened(low, high)

    def step(self) -> int | None:
        return next(self._seqs, None)

    def seek(self, bound: int) -> int | None:
        """The first seq at the bound or behind it."""
        for _ in range(self._steps):
            seq = self.step()
            if seq is None or self._reached(seq, bound):
                self._steps = self._worth
                return seq
        self._steps = max(1, self._steps // 2)
        if self._descending:
            self._high = bound
        else:
            self._low = bound
        self._seqs = self._open(self._low, self._high)
        return self.step()

    def _reached(self, seq: int, bound: int) -> bool:
        return seq <= bound if self._descending else seq >= bound


def _leapfrog(cursors: list[_Cursor]) -> Iterator[int]:
    """The seqs all cursors have: each in turn jumps to the furthest of the others."""
    seq = cursors[0].step()
    agreed = 1
    turn = 0
    while seq is not None:
        if agreed == len(cursors):
            yield seq
            seq, agreed = cursors[turn].step(), 1
            continue
        turn = (turn + 1) % len(cursors)
        found = cursors[turn].seek(seq)
        agreed = agreed + 1 if found == seq else 1
        seq = found
