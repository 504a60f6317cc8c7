"""Queries that may take long: on threads of their own, each with a connection and a deadline."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import apsw

from chatkeep.store.sqlite.failures import mapped

T = TypeVar("T")

DEADLINE_S = 10.0
_CHECK_EVERY = 10_000  # virtual machine instructions, about a millisecond


class ReaderPool:
    """Runs reads beside the event loop, as many at once as it has connections.

    Raises StoreBusy when a read takes longer than it may.
    """

    def __init__(self, connections: Sequence[apsw.Connection]) -> None:
        self._free = SimpleQueue[apsw.Connection]()
        self._all = connections
        for connection in connections:
            self._free.put(connection)
        self._threads = ThreadPoolExecutor(len(connections), thread_name_prefix="chatkeep-read")

    async def run(self, read: Callable[[apsw.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._with_connection, read)

    def close(self) -> None:
        self._threads.shutdown()
        for connection in self._all:
            with contextlib.suppress(apsw.Error):
                connection.close()

    def _with_connection(self, read: Callable[[apsw.Connection], T]) -> T:
        connection = self._free.get()
        try:
            return _in_transaction(connection, read)
        except apsw.Error as error:
            raise mapped(error) from error
        finally:
            self._free.put(connection)


def _in_transaction(connection: apsw.Connection, read: Callable[[apsw.Connection], T]) -> T:
    deadline = time.monotonic() + DEADLINE_S
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _CHECK_EVERY)
    return snapshot(connection, read)


def snapshot(connection: apsw.Connection, read: Callable[[apsw.Connection], T]) -> T:
    """What all statements of a page see, whatever is written meanwhile."""
    connection.execute("BEGIN")
    try:
        return read(connection)
    finally:
        if connection.in_transaction:  # an error of the disk has ended it already
            connection.execute("ROLLBACK")
