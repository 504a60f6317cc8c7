"""What the writes of one transaction share: what many of them change is written once."""

import apsw

from chatkeep.core.model.completion import Project, Row
from chatkeep.core.model.usage import Totals
from chatkeep.store.sqlite import labelsets, usage
from chatkeep.store.sqlite.indexing import Index
from chatkeep.store.sqlite.known import Known
from chatkeep.store.sqlite.postings import Changes


class Batch:
    """Writes run with its connection inside a transaction; `write` ends what they gathered, and
    `commit`, on a thread beside the event loop, the transaction.

    What runs for each completion runs with `cursor`: a connection makes one for each statement,
    which is a quarter of what a short one takes. Its result is read before the next statement.
    """

    def __init__(self, cursor: apsw.Cursor, known: Known) -> None:
        self.cursor = cursor
        self.connection: apsw.Connection = cursor.connection
        self.postings = Changes(cursor, known.ends)
        self.search = Index(cursor, known.waiting)
        self.totals: Totals = {}
        self._label_sets = known.label_sets

    def label_set(self, project: Project, row: Row) -> int:
        """The number of a row's label set; a new one is listed."""
        values = (
            project.id,
            row.form,
            row.model,
            row.status,
            row.finish_reason,
            row.upstream,
            row.key,
        )
        known = self._label_sets.get(values)
        if known is None:
            known = self._label_sets[values] = labelsets.number(self.connection, values)
        return known

    def write(self) -> None:
        self.postings.write()
        usage.add(self.cursor, self.totals)
        self.search.write()

    def commit(self) -> None:
        self.search.append()
        self.cursor.execute("COMMIT")
