"""One SQLite connection as chatkeep uses it: created, migrated, its pragmas read back."""

import contextlib
import os
from pathlib import Path

import apsw

from chatkeep.errors import StoreLocked, StoreUnreadable
from chatkeep.store import sql

BUSY_MS = 5000
_APPLICATION_ID = 0x636B6570  # "ckep": keeps us from writing into somebody else's database
_PACKAGE = "chatkeep.store.sqlite"

# One pragma a call: apsw stops at the first row of several, and the rest would not be set.
_PRAGMAS: tuple[tuple[str, str, object], ...] = (
    ("page_size", "8192", 8192),
    ("journal_mode", "wal", "wal"),
    ("synchronous", "full", 2),
    ("fullfsync", "1", 1),
    ("checkpoint_fullfsync", "1", 1),
    ("secure_delete", "on", 1),
    ("foreign_keys", "on", 1),
    ("trusted_schema", "off", 0),
    ("cell_size_check", "on", 1),
    ("temp_store", "memory", 2),
    ("cache_size", "-32000", -32000),
    ("mmap_size", "0", 0),
    ("journal_size_limit", "67108864", 67108864),
)


# apsw keeps a statement prepared until so many more have run. A commit of thirty completions runs
# some 150: with apsw's usual 100 what runs once a commit would be prepared each time.
_PREPARED = 160


def connect(path: Path, vfs: str | None = None, *, alone: bool = False) -> apsw.Connection:
    """Opens the file, created readable by its owner only; `alone` keeps everybody else out.

    Raises StoreUnreadable, and StoreLocked when it is to be alone and others have it open.
    """
    try:
        _create(path)
        connection = apsw.Connection(str(path), vfs=vfs, statementcachesize=_PREPARED)
        if alone:
            _shut_others_out(connection, path)
        connection.set_busy_timeout(BUSY_MS)
        # Else every new value bound makes SQLite plan anew: 25 µs a look-up instead of 5.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        _check_ours(connection, path)
        for name, value, _ in _PRAGMAS:
            connection.pragma(name, value)
        _assert_pragmas(connection, path)
    except (OSError, apsw.Error) as error:
        raise StoreUnreadable(f"{path} cannot be opened as a store: {error}") from error
    return connection


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Brings the schema to this version. Raises StoreUnreadable for a newer one."""
    scripts = sql.migrations(_PACKAGE)
    try:
        if connection.pragma("user_version") == len(scripts):
            return  # without the write lock, so that a look at a busy store is one
        connection.execute("BEGIN IMMEDIATE")
        try:
            _apply(connection, path, scripts)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except apsw.Error as error:
        raise StoreUnreadable(f"{path} cannot be migrated: {error}") from error


def _apply(connection: apsw.Connection, path: Path, scripts: list[str]) -> None:
    version = connection.pragma("user_version")
    if version > len(scripts):
        raise StoreUnreadable(
            f"{path} was written by a newer chatkeep (schema {version}, this one knows"
            f" {len(scripts)}): update chatkeep"
        )
    for number, script in enumerate(scripts[version:], start=version + 1):
        connection.execute(script)
        connection.pragma("user_version", number)
    connection.pragma("application_id", _APPLICATION_ID)


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Before SQLite makes it with the umask's rights; the WAL takes over the mode of the file. One
    # that is there is not opened: to close it would end all locks this process has on it.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _shut_others_out(connection: apsw.Connection, path: Path) -> None:
    """Before its first read: a file in WAL mode can be claimed then, and not later."""
    connection.pragma("locking_mode", "exclusive")
    try:
        connection.pragma("user_version")
    except apsw.BusyError as error:
        raise StoreLocked(
            f"{path} is open in another process: stop that first; it can go on when this has begun"
        ) from error


def _check_ours(connection: apsw.Connection, path: Path) -> None:
    # The mark is written together with the tables: a file without either is a start broken off.
    mark = connection.pragma("application_id")
    empty = not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    if mark != _APPLICATION_ID and (mark != 0 or not empty):
        raise StoreUnreadable(f"{path} is a database of another program")


def _assert_pragmas(connection: apsw.Connection, path: Path) -> None:
    for name, _, wanted in _PRAGMAS:
        got = connection.pragma(name)
        if got != wanted:
            raise StoreUnreadable(f"{path}: PRAGMA {name} is {got!r}, not {wanted!r}")
