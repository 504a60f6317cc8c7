"""The stores the contract is tested on, and a look behind them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import apsw

from chatkeep.core.ids import Seq
from chatkeep.core.model import Project
from chatkeep.core.ports import Store
from chatkeep.store.sqlite import open_sqlite
from chatkeep.store.sqlite.verify import Verifier


class Backend(Protocol):
    """One place to keep things, which may be opened several times."""

    async def open(self, *, serving: bool = False) -> Store: ...

    def add_posting(self, project: Project, kid: int, seq: Seq) -> None:
        """An index entry that no row asked for, as a collision of hashes would make."""
        ...

    def faults(self) -> list[str]:
        """What is wrong with the data as they lie there: the contract is that nothing is."""
        ...


class SqliteBackend:
    """The path of a database; `vfs` is how stores open it."""

    def __init__(self, folder: Path, vfs: str | None = None) -> None:
        self.path = folder / "chatkeep.db"
        self.vfs = vfs

    async def open(self, *, serving: bool = False) -> Store:
        return await open_sqlite(self.path, serving=serving, vfs=self.vfs)

    def add_posting(self, project: Project, kid: int, seq: Seq) -> None:
        with apsw.Connection(str(self.path), vfs=self.vfs) as connection:
            connection.execute("INSERT INTO posting VALUES (?, ?, ?)", (project.id, kid, seq))

    def faults(self) -> list[str]:
        connection = apsw.Connection(str(self.path), vfs=self.vfs)
        try:
            return [*Verifier(connection).faults(), *_searched(connection)]
        finally:
            connection.close()


def _searched(connection: apsw.Connection) -> Iterator[str]:
    """Numbers of the search index in the order of the completions they stand for."""
    pairs = "SELECT s.seq, c.seq FROM searched s LEFT JOIN completion c USING (seq) ORDER BY doc"
    found = list(connection.execute(pairs))
    yield from (f"searches {seq}, which is not there" for seq, row in found if row is None)
    if found != sorted(found):
        yield "the search index is not in order"


BACKENDS: dict[str, Callable[[Path], Backend]] = {"sqlite": SqliteBackend}
