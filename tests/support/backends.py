"""The stores the contract is tested on, and a look behind them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from support.database import direct
from support.memory.data import Data
from support.memory.store import MemoryStore

from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import Seq
from chatkeep.core.ports.store import Store
from chatkeep.store.encoding.body import LEVEL
from chatkeep.store.sqlite import SqliteStore, accounts, open_sqlite
from chatkeep.store.sqlite.encryption import unlocked
from chatkeep.store.sqlite.postings import Changes
from chatkeep.store.sqlite.verify import Verifier

CHANGES_EVERY_S = 0.005  # so that no test waits for what a server may


class Backend(Protocol):
    """One place to keep things, which may be opened several times."""

    async def open(self, *, serving: bool = False) -> Store: ...

    def size(self) -> int:
        """Bytes of all bodies and of what they share."""
        ...

    def keys_version(self) -> int:
        """A number that differs after every change of keys and projects."""
        ...

    def faults(self) -> list[str]:
        """What is wrong with the data as they lie there: the contract is that nothing is."""
        ...


class MemoryBackend:
    """What stores in memory share: it is gone with the test."""

    def __init__(self, _folder: Path) -> None:
        self._data = Data()

    async def open(self, *, serving: bool = False) -> MemoryStore:
        return MemoryStore(self._data, serving=serving)

    def keys_version(self) -> int:
        return self._data.keys_version

    def size(self) -> int:
        return self._data.size()

    def faults(self) -> list[str]:
        return []


class SqliteBackend:
    """The path of a database; `vfs`, `level` and `key` are how stores open it."""

    def __init__(
        self,
        folder: Path,
        vfs: str | None = None,
        level: int = LEVEL,
        key: bytes | None = None,
    ) -> None:
        self.path = folder / "chatkeep.db"
        self.vfs = vfs
        self.level = level
        self.key = key

    async def open(self, *, serving: bool = False) -> SqliteStore:
        store = await open_sqlite(
            self.path, key=self.key, serving=serving, vfs=self.vfs, level=self.level
        )
        store.changes_every_s = CHANGES_EVERY_S
        return store

    def add_posting(self, project: Project, term: int, seq: Seq) -> None:
        """An index entry that no row asked for, as a collision of hashes would make."""
        with direct(self.path, self.vfs) as connection:
            changes = Changes(connection.cursor(), {})
            changes.add(project.id, [term], seq)
            changes.write()

    def keys_version(self) -> int:
        with direct(self.path, self.vfs) as connection:
            return accounts.keys_version(connection)

    def size(self) -> int:
        with direct(self.path, self.vfs) as connection:
            found: Any = connection.execute(
                "SELECT (SELECT total(length(body)) FROM record)"
                " + (SELECT total(length(body)) FROM remnant)"
                " + (SELECT total(length(data)) FROM shared)"
            ).fetchall()
        return int(found[0][0])

    def faults(self) -> list[str]:
        with direct(self.path, self.vfs) as connection:
            cipher = unlocked(connection, self.path, self.key)
            return list(Verifier(connection, cipher).faults())


KEY = bytes(range(32))


def encrypted(folder: Path) -> SqliteBackend:
    return SqliteBackend(folder, key=KEY)


ON_DISK: dict[str, Callable[[Path], Backend]] = {"sqlite": SqliteBackend}
BACKENDS: dict[str, Callable[[Path], Backend]] = {"memory": MemoryBackend, **ON_DISK}
ENCRYPTED: dict[str, Callable[[Path], Backend]] = {"encrypted": encrypted}
