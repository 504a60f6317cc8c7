"""What the writer knows of the file without looking, for as long as nobody else has written."""

from typing import Any

import apsw

from chatkeep.store.sqlite.indexing import Waiting
from chatkeep.store.sqlite.postings import Ends


class Known:
    """A transaction begins with `check`, and ends with `keep` or, rolled back, with `forget`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._version = -1
        self.label_sets: dict[tuple[Any, ...], int] = {}
        self.ends: Ends = {}
        self.waiting = Waiting()

    def check(self) -> None:
        # SQLite's number of the file: it differs after any commit, whoever's.
        if self._connection.data_version() != self._version:
            self.forget()

    def keep(self) -> None:
        self._version = self._connection.data_version()

    def forget(self) -> None:
        self.label_sets.clear()
        self.ends.clear()
        self.waiting.forget()
