"""The SQLite store: one file, one serving process, durable when it answers."""

from chatkeep.store.sqlite.opening import open_sqlite
from chatkeep.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "open_sqlite"]
