"""Group commit: writes that arrive together share one transaction and one fsync.

    event loop    submit ─▶ waiting ─▶ BEGIN, each write's SQL ─┐        ┌─▶ answers
    helper thread                                               └ COMMIT ┘

The SQL runs on the event loop, where it needs no hand-over; only COMMIT, which waits for the disk,
and before it what goes into full text search now and then, run beside it, and the next writes
gather meanwhile. Nobody is answered before COMMIT returned.
What many of a batch change, as the sums of the hour, is gathered and written once (batch.py);
what is known of the file from the batch before is not looked up again (known.py).
A write that fails takes nobody with it: its batch is rolled back and run again one by one.

The WAL is checkpointed when it is long enough: between two batches, when the one before has
been answered. What a write deletes is overwritten in the file, but stands in the WAL until that is
emptied: soon after the delete, between two batches as well, and tried again every second while a
reader needs the WAL.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

import apsw

from chatkeep.core.model.ids import MAX_SEQ
from chatkeep.errors import Refusal, StoreBusy
from chatkeep.store.sqlite.batch import Batch
from chatkeep.store.sqlite.connection import BUSY_MS
from chatkeep.store.sqlite.diskthread import DiskThread
from chatkeep.store.sqlite.failures import mapped
from chatkeep.store.sqlite.known import Known

T = TypeVar("T")

# A write runs with a batch inside its transaction. It checks first and writes then: a Refusal it
# raises is its answer and leaves the transaction as it was.
Write = Callable[[Batch], T]
_Waiting = tuple[Write[Any], "asyncio.Future[Any]", int]

MAX_BATCH = 64
MAX_WAITING = 4096
EMPTIED_AFTER_S = 1.0


class Writer:
    """Owns the one connection that writes."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        # On the event loop nothing may wait for another process's lock.
        self._connection.set_busy_timeout(0)
        # SQLite would do it within a COMMIT that somebody waits for.
        self._longest_wal: int = connection.pragma("wal_autocheckpoint")
        self._wal_pages = 0
        self._connection.set_wal_hook(self._note_wal)
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None
        self._emptying: asyncio.TimerHandle | None = None
        self._to_empty = False
        self._known = Known(connection)
        self._thread = DiskThread("chatkeep-commit")

    def submit(self, write: Write[T], place: int = MAX_SEQ) -> "asyncio.Future[T]":
        """Queues the write before it returns; the future is done after the commit.

        Of writes that share a commit the lower place goes first: nobody has been answered yet, and
        an index that grows at its end is cheaper.

        Raises StoreBusy when too many are waiting.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise StoreBusy(detail=f"{MAX_WAITING} writes are waiting")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((write, future, place))
        self._wake()
        return future

    def erased(self) -> None:
        """For a write that deletes to call while it runs: nothing of that is to stay in the WAL."""
        if self._emptying is None:
            loop = asyncio.get_running_loop()
            self._emptying = loop.call_later(EMPTIED_AFTER_S, self._empty_now)

    async def aclose(self) -> None:
        """Writes what is waiting, then folds the WAL into the file."""
        if self._running is not None:
            await self._running
        if self._emptying is not None:
            self._emptying.cancel()
            self._connection.set_busy_timeout(BUSY_MS)  # nobody else may empty it for long
        self._thread.end()
        # What cannot be checkpointed now (a reader, a full disk) stays in the WAL, as safe as
        # before.
        with contextlib.suppress(apsw.Error):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        with contextlib.suppress(apsw.Error):
            self._connection.close()

    def _wake(self) -> None:
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting or self._to_empty:
                if self._to_empty:
                    await self._empty()
                batch = self._waiting[:MAX_BATCH]
                del self._waiting[:MAX_BATCH]
                batch.sort(key=itemgetter(2))
                if batch:
                    await self._commit(batch)
                if self._wal_pages >= self._longest_wal:
                    await self._checkpoint_if_long()
        finally:
            self._running = None

    def _note_wal(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    async def _checkpoint_if_long(self) -> None:
        """The next write begins the WAL anew; or goes on, if a reader needs it still."""
        self._wal_pages = 0
        with contextlib.suppress(apsw.Error):
            await self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _empty_now(self) -> None:
        self._emptying = None
        self._to_empty = True
        self._wake()

    async def _empty(self) -> None:
        self._to_empty = False
        try:
            await self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error:  # a reader needs the WAL still, or the disk refused
            self.erased()

    def _checkpoint(self, mode: int) -> "asyncio.Future[None]":
        # Not by pragma: apsw would run it and change nothing. There is no time to wait for readers.
        return self._thread.run(partial(self._connection.wal_checkpoint, mode=mode))

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            await self._begin()
        except apsw.Error as error:
            for _, future, _ in batch:
                _answer(future, mapped(error))
            return
        try:
            outcomes = await self._transaction(batch)
        except Exception as error:  # noqa: BLE001  # whatever it is, the others' writes go on
            await self._after_failure(batch, error)
        else:
            for (_, future, _), outcome in zip(batch, outcomes, strict=True):
                _answer(future, outcome)

    async def _after_failure(self, batch: list[_Waiting], error: Exception) -> None:
        if len(batch) == 1:
            _answer(batch[0][1], mapped(error) if isinstance(error, apsw.Error) else error)
            return
        for one in batch:
            await self._commit([one])

    async def _transaction(self, batch: list[_Waiting]) -> list[Any]:
        try:
            self._known.check()
            shared = Batch(self._cursor, self._known)
            outcomes = [_attempt(write, shared) for write, _, _ in batch]
            shared.write()
            await self._thread.run(shared.commit)
            self._known.keep()
        except BaseException:
            self._known.forget()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return outcomes

    async def _begin(self) -> None:
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            await self._thread.run(self._begin_patiently)

    def _begin_patiently(self) -> None:
        self._connection.set_busy_timeout(BUSY_MS)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        finally:
            self._connection.set_busy_timeout(0)


def _attempt(write: Write[Any], batch: Batch) -> Any:
    try:
        return write(batch)
    except Refusal as refusal:
        return refusal


def _answer(future: "asyncio.Future[Any]", outcome: Any) -> None:
    if future.done():  # whoever asked has gone; what was written stays written
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
