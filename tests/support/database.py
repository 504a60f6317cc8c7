"""The file of a store, looked into and changed past it, also while a server uses it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw
from support.patience import PATIENCE_S


@contextlib.contextmanager
def direct(path: Path, vfs: str | None = None) -> Iterator[apsw.Connection]:
    """A connection that waits for others to end what they write."""
    connection = apsw.Connection(str(path), vfs=vfs)
    connection.set_busy_timeout(PATIENCE_S * 1000)
    try:
        yield connection
    finally:
        connection.close()
