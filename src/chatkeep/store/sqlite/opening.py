"""Opens the file: claims it for a server, migrates it, makes the connections."""

import fcntl
import os
from pathlib import Path

from chatkeep.errors import StoreLocked, StoreUnreadable
from chatkeep.store.sqlite.connection import connect, migrate
from chatkeep.store.sqlite.store import SqliteStore


async def open_sqlite(path: Path, *, serving: bool = False, vfs: str | None = None) -> SqliteStore:
    """Raises StoreLocked when `serving` and another process serves it, StoreUnreadable."""
    lock = _claim(path) if serving else None
    writing = connect(path, vfs)
    migrate(writing, path)
    return SqliteStore(path, writing, connect(path, vfs), vfs, lock)


def _claim(path: Path) -> int:
    """Holds the lock file until the process ends: the kernel lets go of it even on kill -9."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreUnreadable(f"{path} cannot be locked: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreLocked(
            f"{path} is served by another chatkeep process; stop it, or give another --store"
        ) from error
    return lock
