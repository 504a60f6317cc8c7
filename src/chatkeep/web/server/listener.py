"""Accepts the connections of a listening socket, all that wait at once.

uvloop accepts one a turn of its loop: of hundreds that come together beside busy ones, the last
would wait seconds for its turn.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from chatkeep.web.server.protocol import Protocol

_AT_ONCE = 128  # then those that are there already have their turn
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger("chatkeep")


class Listener:
    """Hands each connection to a protocol of its own until closed; the socket stays its owner's.

    When there are no more open files to be had, it tries again after `retry_s`.
    """

    def __init__(
        self, listening: socket.socket, protocol: Callable[[], Protocol], retry_s: float = 1.0
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._protocol = protocol
        self._retry_s = retry_s
        self._retry: asyncio.TimerHandle | None = None
        self._beginning: set[asyncio.Task[None]] = set()
        self._closed = False
        listening.setblocking(False)
        self._listen()

    def close(self) -> None:
        self._closed = True
        self._loop.remove_reader(self._listening)
        if self._retry is not None:
            self._retry.cancel()

    async def wait_closed(self) -> None:
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _listen(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest(error)
                    return
                continue  # it has left already
            task = self._loop.create_task(self._begin(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    def _rest(self, error: OSError) -> None:
        """The socket would go on saying that connections wait, and nothing else would run."""
        _log.error("connections cannot be accepted for now", extra={"error": str(error)})
        self._loop.remove_reader(self._listening)
        self._retry = self._loop.call_later(self._retry_s, self._listen)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            _, protocol = await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it has left already
            connection.close()
            return
        if self._closed:
            protocol.shutdown()
