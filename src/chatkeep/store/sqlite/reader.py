"""Queries that may take long: on threads of their own, each with a connection and a deadline."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from chatkeep.store.sqlite.connection import connect
from chatkeep.store.sqlite.failures import mapped

T = TypeVar("T")

THREADS = 2
DEADLINE_S = 10.0
_CHECK_EVERY = 10_000  # virtual machine instructions, about a millisecond


class ReaderPool:
    """Runs reads beside the event loop. Raises StoreBusy when one takes longer than it may."""

    def __init__(self, path: Path, vfs: str | None) -> None:
        self._path = path
        self._vfs = vfs
        self._own = threading.local()
        self._opened: list[apsw.Connection] = []
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="chatkeep-read")

    async def run(self, read: Callable[[apsw.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._in_transaction, read)

    def close(self) -> None:
        self._pool.shutdown()
        for connection in self._opened:
            connection.close()

    def _in_transaction(self, read: Callable[[apsw.Connection], T]) -> T:
        connection = self._connection()
        deadline = time.monotonic() + DEADLINE_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _CHECK_EVERY)
        try:
            connection.execute("BEGIN")  # one snapshot for all statements of a page
            try:
                return read(connection)
            finally:
                connection.execute("ROLLBACK")
        except apsw.Error as error:
            raise mapped(error) from error

    def _connection(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = connect(self._path, self._vfs)
            self._opened.append(connection)
        return connection
