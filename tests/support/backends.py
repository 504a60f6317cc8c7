"""The stores the contract is tested on, and a look behind them that uses none of their code."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import apsw
import msgspec
from support.samples import request_in

from chatkeep.core import postings
from chatkeep.core.ids import Seq
from chatkeep.core.model import Project
from chatkeep.core.ports import Store
from chatkeep.errors import RecordCorrupt
from chatkeep.store.sqlite import open_sqlite

Posting = tuple[int, int, int]  # project, kid, seq


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
            return [*_damage(connection), *_bodies(connection), *_postings(connection)]
        finally:
            connection.close()


def _damage(connection: apsw.Connection) -> Iterator[str]:
    for (found,) in connection.execute("PRAGMA integrity_check"):
        if found != "ok":
            yield str(found)
    for found in connection.execute("PRAGMA foreign_key_check"):
        yield f"refers to nothing: {found}"


def _bodies(connection: apsw.Connection) -> Iterator[str]:
    pairs = "SELECT c.seq, b.seq, data FROM completion c FULL JOIN body b USING (seq)"
    for row, body, data in connection.execute(pairs):
        if row is None or body is None:
            yield f"row {row} has body {body}"
            continue
        try:
            request_in(data)
        except RecordCorrupt as error:
            yield f"body {body}: {error}"


def _postings(connection: apsw.Connection) -> Iterator[str]:
    wanted = set(_wanted_postings(connection))
    found = set(connection.execute("SELECT project, kid, seq FROM posting"))
    yield from (f"lacks posting {posting}" for posting in wanted - found)
    yield from (f"has a stray posting {posting}" for posting in found - wanted)


def _wanted_postings(connection: apsw.Connection) -> Iterator[Posting]:
    """Computed from the rows: one per metadata pair, and one for the kind of the row."""
    rows = connection.execute(
        "SELECT c.project, secret, seq, kid, metadata"
        " FROM completion c JOIN project ON project.id = c.project"
        " LEFT JOIN kind k ON k.project = c.project AND k.model = c.model"
        " AND k.status = c.status AND k.finish_reason IS c.finish_reason"
        " AND k.upstream = c.upstream AND k.api_key IS c.api_key"
    )
    for project, secret, seq, kid, metadata in rows:
        yield project, kid, seq
        for pair in msgspec.json.decode(metadata, type=dict[str, str]).items():
            yield project, postings.kid(secret, "metadata", *pair), seq


BACKENDS: dict[str, Callable[[Path], Backend]] = {"sqlite": SqliteBackend}
