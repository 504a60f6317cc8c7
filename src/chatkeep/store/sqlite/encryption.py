"""Whether a file is encrypted, and how it comes to be, ceases to be and changes its keys.

A change begins with nobody else at the file, and is done at once for all that is written later.
What is there already is then rewritten, a few rows at a time, also while a server serves; the keys
that nothing is under any more go at the end. The data keys a file has say how far it is:

    none              plain
    0, 1 writes       being encrypted
    1 writes          encrypted
    1, 2 writes       changing its data key
    1, 0 writes       being decrypted
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import apsw

from chatkeep.core.model.ids import Seq
from chatkeep.core.ports.encryption import EncryptionState, EncryptionWish, Rewritten
from chatkeep.errors import (
    BadSetting,
    Fault,
    RecordCorrupt,
    StoreBusy,
    StoreEncrypted,
    StoreUnreadable,
)
from chatkeep.store import sql
from chatkeep.store.encoding.cipher import NO_KEY, PLAIN, Cipher, DataKey
from chatkeep.store.encoding.context import body_place, shared_place
from chatkeep.store.sqlite import accounts
from chatkeep.store.sqlite.connection import connect, migrate
from chatkeep.store.sqlite.failures import mapped

SQL = sql.blocks("chatkeep.store.sqlite", "encryption.sql")
_TABLES = ("record", "remnant", "shared")
_ATTEMPTS = 20
_PAUSE_S = 0.1
_BATCH_BYTES = 1 << 20  # of contents rewritten in one transaction


def begin(connection: apsw.Connection, master: bytes | None) -> None:
    """Encrypts a new store from the beginning when there is a key for it."""
    if master is None or not _is_new(connection):
        return
    with _transaction(connection):
        if _is_new(connection):
            _put(connection, [_new_key(1, master)])


def unlocked(connection: apsw.Connection, path: Path, master: bytes | None) -> Cipher:
    """What opens the file's contents. Raises StoreEncrypted, BadSetting."""
    held = _data_keys(connection)
    if not held and master is None:
        return PLAIN
    if not held:
        raise BadSetting(
            f"there is an encryption key for {path}, which is not encrypted: encrypt it with"
            " `chatkeep encryption on`, or leave the key out"
        )
    if master is None:
        raise StoreEncrypted(
            f"{path} is encrypted: give its key with encryption_key_file, encryption_key_command or"
            " CHATKEEP_ENCRYPTION_KEY"
        )
    cipher: Cipher = _aes_gcm().unlocked(held, master)
    return cipher


class SqliteEncryption:
    """Changes how a file is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def state(self) -> EncryptionState:
        with self._connected() as connection:
            return _state(_data_keys(connection))

    def left(self) -> int:
        with self._connected() as connection:
            return _left(connection, _under(_data_keys(connection)))

    def change(self, wish: EncryptionWish, master: bytes) -> None:
        """Raises StoreLocked when others are at the file, Fault when a change is under way."""
        with self._connected(alone=True) as connection, _transaction(connection):
            held = _data_keys(connection)
            state = _state(held)
            if state not in ("off", "on"):
                raise Fault(f"it is {state}: finish that first with `chatkeep encryption resume`")
            if (state == "off") != (wish == "on"):
                raise Fault(f"encryption is {state}")
            before = self._cipher(connection, held, master)
            _put(connection, _changed(held, wish, master))
            accounts.reseal(connection, before, unlocked(connection, self._path, master))
            if wish == "on":
                _stop_searching(connection)

    def rewrite(self, master: bytes | None) -> Iterator[Rewritten]:
        """Finishes a change, and says after each transaction how far it is.

        What is damaged is left as it is, and then the change is not finished.
        """
        with self._connected() as connection:
            held = _data_keys(connection)
            rewriting = _Rewriting(connection, self._cipher(connection, held, master), held)
            for table in _TABLES:
                yield from rewriting.table(table)
            _empty_log(connection)
            if not rewriting.damaged:
                with _transaction(connection):
                    _finish(connection)

    def rotate(self, master: bytes, new: bytes) -> None:
        """Raises StoreEncrypted, Fault when there is nothing encrypted."""
        with self._connected() as connection:
            with _transaction(connection):
                held = _data_keys(connection)
                if not held:
                    raise Fault("encryption is off")
                _put(connection, _aes_gcm().rewrapped(held, master, new))
            _empty_log(connection)

    def _cipher(
        self, connection: apsw.Connection, held: Sequence[DataKey], master: bytes | None
    ) -> Cipher:
        return unlocked(connection, self._path, master) if held else PLAIN

    @contextmanager
    def _connected(self, *, alone: bool = False) -> Iterator[apsw.Connection]:
        with closing(connect(self._path, alone=alone)) as connection:
            migrate(connection, self._path)
            try:
                yield connection
            except apsw.Error as error:
                raise mapped(error) from error


class _Rewriting:
    """Puts contents under the key that writes, each table in the order of its rows."""

    def __init__(
        self, connection: apsw.Connection, cipher: Cipher, held: Sequence[DataKey]
    ) -> None:
        self._connection = connection
        self._cipher = cipher
        self._under = _under(held)
        self._total = _left(connection, self._under)
        self._done = 0
        self.damaged = 0

    def table(self, table: str) -> Iterator[Rewritten]:
        place = -1
        while places := self._places(table, place):
            with _transaction(self._connection):
                place = self._batch(table, places)
            yield Rewritten(self._done, self._total, self.damaged)

    def _places(self, table: str, behind: int) -> list[int]:
        found = self._connection.execute(SQL[f"some_of_{table}"], (self._under, behind))
        return [place for (place,) in found]

    def _batch(self, table: str, places: Iterable[int]) -> int:
        """The last place it came to."""
        size, last = 0, -1
        for last in places:
            size += self._one(table, last)
            if size > _BATCH_BYTES:
                break
        return last

    def _one(self, table: str, key: int) -> int:
        found: Any = self._connection.execute(SQL[f"one_of_{table}"], (key,)).fetchall()
        if not found:
            return 0  # deleted meanwhile
        project, kept = found[0]
        place = shared_place(key) if table == "shared" else body_place(project, Seq(key))
        try:
            new = self._cipher.seal(place, self._cipher.open(place, kept))
        except RecordCorrupt:
            self.damaged += 1
            return 0
        self._connection.execute(SQL[f"reseal_{table}"], (key, new))
        self._done += 1
        return len(new)


def _data_keys(connection: apsw.Connection) -> list[DataKey]:
    rows: Any = connection.execute(SQL["data_keys"]).fetchall()
    return [DataKey(number, wrapped, bool(writes)) for number, wrapped, writes in rows]


def _is_new(connection: apsw.Connection) -> bool:
    return not _data_keys(connection) and (1,) in connection.execute(SQL["is_new"]).fetchall()


def _put(connection: apsw.Connection, keys: Sequence[DataKey]) -> None:
    connection.execute(SQL["delete_data_keys"])
    connection.executemany(SQL["put_data_key"], keys)


def _changed(held: Sequence[DataKey], wish: EncryptionWish, master: bytes) -> list[DataKey]:
    """The keys with the one that writes from now on."""
    number = NO_KEY if wish == "off" else max((one.number for one in held), default=NO_KEY) + 1
    old = held or [_new_key(NO_KEY, master)]
    return [*(one._replace(writes=False) for one in old), _new_key(number, master)]


def _finish(connection: apsw.Connection) -> None:
    """Lets go of the keys that nothing is under any more."""
    held = _data_keys(connection)
    _put(connection, [one for one in held if one.writes and one.number != NO_KEY])


def _state(held: Sequence[DataKey]) -> EncryptionState:
    numbers = {one.number: one.writes for one in held}
    if not numbers:
        return "off"
    if NO_KEY in numbers:
        return "being decrypted" if numbers[NO_KEY] else "being encrypted"
    return "on" if len(numbers) == 1 else "changing its data key"


def _under(held: Sequence[DataKey]) -> bytes:
    """What sealed contents have in their heads that are under the key that writes."""
    writing = next((one.number for one in held if one.writes), NO_KEY)
    return writing.to_bytes(2) if writing != NO_KEY else b""


def _left(connection: apsw.Connection, under: bytes) -> int:
    found: Any = connection.execute(SQL["count_others"], (under,)).fetchall()
    return int(found[0][0])


def _new_key(number: int, master: bytes, *, writes: bool = True) -> DataKey:
    key: DataKey = _aes_gcm().new_data_key(number, master, writes=writes)
    return key


def _aes_gcm() -> ModuleType:
    """An extra, and slow to import. Raises StoreUnreadable."""
    try:
        from chatkeep.store.encoding import aesgcm
    except ImportError as error:
        raise StoreUnreadable(
            "encryption needs the package cryptography: install chatkeep[encryption]"
        ) from error
    return aesgcm


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _empty_log(connection: apsw.Connection) -> None:
    """What was overwritten stands there still. Raises StoreBusy.

    SQLite waits for those who read, but not for another one who empties it.
    """
    for _ in range(_ATTEMPTS):
        with suppress(apsw.BusyError):
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            return
        time.sleep(_PAUSE_S)
    raise StoreBusy(detail="its log could not be emptied; `chatkeep encryption resume` does that")


def _stop_searching(connection: apsw.Connection) -> None:
    connection.execute(SQL["search_off"])
    connection.execute(SQL["empty_search"])
    connection.execute(SQL["empty_crowded"])
    connection.execute(SQL["empty_searched"])
