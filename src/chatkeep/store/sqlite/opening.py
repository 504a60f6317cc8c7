"""Opens the file: claims it for a server, migrates it, makes the connections."""

import contextlib
import fcntl
import os
from pathlib import Path

import apsw

from chatkeep.errors import StoreLocked, StoreUnreadable
from chatkeep.store.encoding.body import LEVEL, Codec
from chatkeep.store.encoding.cipher import Cipher
from chatkeep.store.sqlite import encryption
from chatkeep.store.sqlite.connection import connect, migrate
from chatkeep.store.sqlite.store import SqliteStore

_HEAP_BYTES = 48 << 20  # of the whole process: the page caches of all connections share it
READERS = 2  # lists and other long reads at a time


async def open_sqlite(
    path: Path,
    *,
    key: bytes | None = None,
    serving: bool = False,
    vfs: str | None = None,
    level: int = LEVEL,
) -> SqliteStore:
    """Compresses at zstd's `level`; a new store with a key is encrypted.

    Raises StoreLocked when `serving` and another process serves it, StoreUnreadable,
    StoreEncrypted, BadSetting.
    """
    lock = _claim(path) if serving else None
    try:
        apsw.soft_heap_limit(_HEAP_BYTES)
        writing = connect(path, vfs)
        migrate(writing, path)
        cipher = _cipher(writing, path, key)
        if serving:
            _checkpoint(writing)
        reading, *readers = (connect(path, vfs) for _ in range(1 + READERS))
    except BaseException:
        if lock is not None:
            os.close(lock)
        raise
    return SqliteStore(writing, reading, readers, lock, Codec(level), cipher)


def _cipher(writing: apsw.Connection, path: Path, key: bytes | None) -> Cipher:
    try:
        encryption.begin(writing, key)
        return encryption.unlocked(writing, path, key)
    except apsw.Error as error:
        raise StoreUnreadable(f"the data keys of {path} cannot be read: {error}") from error


def _checkpoint(writing: apsw.Connection) -> None:
    """Empties the WAL that a crash left: what was deleted before it would stand there still."""
    with contextlib.suppress(apsw.Error):
        writing.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _claim(path: Path) -> int:
    """Holds the lock file until the process ends: the kernel lets go of it even on kill -9."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        real = path.resolve()  # one file is served once, by whatever name
        lock = os.open(real.with_name(real.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
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
