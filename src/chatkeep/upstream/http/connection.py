"""One HTTP/1.1 connection to an upstream, and what is asked over it, one thing at a time.

    Connection.ask ─▶ Exchange: status, headers ─▶ read, read, b""

llhttp takes the answers apart. Why no client library does this: docs/performance.md.
"""

import asyncio
import math
import socket
from collections.abc import Callable

import httptools

from chatkeep.core.wire.headers import CONTROLS
from chatkeep.upstream.http.timeouts import Timeouts

_MAX_QUIET = 1 << 16  # bytes on end that are no body: a head, trailers, what is between chunks
_MAX_UNREAD = 1 << 18  # bytes of body from which on the upstream has to wait for the reader
_IN_ONE_PIECE = 1 << 19  # a larger body is sent piece by piece, so that other calls go on meanwhile
_PIECE = 1 << 17
_SWITCHING = 101


class NotHttp(ConnectionError):
    """What came is not HTTP, or a head without end."""


class Closed(ConnectionError):
    """The connection ended before an answer began, or was closed by us."""


class CutOff(ConnectionError):
    """The connection ended before the answer did."""


class Connection(asyncio.Protocol):
    """`free` is told when it can be used again, `lost` when it is gone."""

    transport: asyncio.Transport

    def __init__(
        self,
        free: Callable[["Connection"], object],
        lost: Callable[["Connection"], object],
        timeouts: Timeouts,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.timeouts = timeouts
        self.idle_since = 0.0  # in the loop's time
        self._free = free
        self._lost = lost
        self._exchange: Exchange | None = None
        self._sending: asyncio.Task[None] | None = None
        self._full: asyncio.Future[None] | None = None

    async def ask(
        self, head: bytes, body: bytes, deadline: float, read_timeout_s: float
    ) -> "Exchange":
        """Sends a request; returns when the head of the answer is there.

        Raises ConnectionError and TimeoutError.
        """
        exchange = self._exchange = Exchange(self, deadline, read_timeout_s)
        try:
            if len(body) <= _IN_ONE_PIECE:
                self.transport.writelines((head, body))
            else:
                self.transport.write(head)
                self._sending = asyncio.create_task(self._send(body))
            while exchange.status < 0:
                await exchange.news()
        except BaseException:
            exchange.close()
            raise
        return exchange

    def answered(self, *, reusable: bool) -> None:
        """All of the answer is there."""
        self._exchange = None
        if reusable and (self._sending is None or self._sending.done()):
            self._sending = None
            self.transport.resume_reading()
            self._free(self)
        else:
            self.drop()

    def drop(self) -> None:
        self._exchange = None
        if self._sending is not None:
            self._sending.cancel()
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's is one in all but name
        # Else a path that is forgotten during a long silence is never noticed.
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:  # nobody asked
            self.drop()
        else:
            self._exchange.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.ended(exc)
        if self._sending is not None:
            self._sending.cancel()
        self._lost(self)

    def pause_writing(self) -> None:
        self._full = self.loop.create_future()

    def resume_writing(self) -> None:
        if self._full is not None and not self._full.done():
            self._full.set_result(None)
        self._full = None

    async def _send(self, body: bytes) -> None:
        for start in range(0, len(body), _PIECE):
            self.transport.write(body[start : start + _PIECE])
            if self._full is not None:
                await self._full


class Exchange:
    """One request and its answer. What came before it broke off is read before that is told.

    `status` is -1 until the head is there.
    """

    # For the parser, which would look for them in vain, and that takes longer than parsing a head.
    on_status = on_chunk_header = on_chunk_complete = None

    __slots__ = (
        "_complete",
        "_connection",
        "_failure",
        "_loop",
        "_news",
        "_parser",
        "_pieces",
        "_quiet",
        "_reusable",
        "_unread",
        "deadline",
        "headers",
        "last_received",
        "read_timeout_s",
        "status",
    )

    def __init__(self, connection: Connection, deadline: float, read_timeout_s: float) -> None:
        self.status = -1
        self.headers: list[tuple[bytes, bytes]] = []  # as an UpstreamAnswer has them
        self.deadline, self.read_timeout_s = deadline, read_timeout_s
        self._connection: Connection | None = connection  # until one of the two is done
        self._loop = connection.loop
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._complete = self._reusable = False
        self._pieces: list[bytes] = []
        self._unread = self._quiet = 0
        self._failure: Exception | None = None
        self._news: asyncio.Future[None] | None = None
        self._wait()

    def until(self, deadline: float) -> None:
        """Sets when all of the answer must be there, in the loop's time."""
        self.deadline = deadline
        if self._connection is not None:
            self._connection.timeouts.watch(self)

    def news(self) -> "asyncio.Future[None]":
        """Is done when something has changed; only one at a time can wait for it."""
        if self._failure is not None:
            raise self._failure
        self._news = self._loop.create_future()
        return self._news

    async def read(self) -> bytes:
        """The next bytes of the body as they came, b"" at the end."""
        while (data := self.read_nowait()) is None:
            await self.news()
        return data

    def read_nowait(self) -> bytes | None:
        """What `read` gives, None when there is nothing before the next news."""
        pieces = self._pieces
        if not pieces:
            return b"" if self._complete and self._failure is None else None
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._unread > _MAX_UNREAD and self._connection is not None:
            self._wait()
            self._connection.transport.resume_reading()
        self._unread = 0
        return data

    def arrived(self) -> bytes:
        """What `read` would give until its end, when that is there; else b""."""
        if not self._complete or self._failure is not None:
            return b""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data

    def close(self) -> None:
        """Drops the connection when not all of the answer is there. May be repeated."""
        self._pieces.clear()
        self.give_up(Closed())

    def feed(self, data: bytes) -> None:
        self.last_received = self._loop.time()
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            if not self._complete:
                self.give_up(NotHttp(str(error)))
        if self._complete:
            self._finish()
        elif self._quiet > _MAX_QUIET:
            self.give_up(NotHttp("its head does not end"))
        elif self._unread > _MAX_UNREAD and self._connection is not None:
            self.last_received = math.inf  # it is us who let the upstream wait
            self._connection.transport.pause_reading()
        self._wake()

    def ended(self, error: Exception | None) -> None:
        """The connection is gone."""
        if error is None and self.status >= 0 and not self._has_length():
            self._complete = True
            self._finish()
            self._wake()
        else:
            failure = Closed() if self.status < 0 else CutOff()
            failure.__cause__ = error
            self.give_up(failure)

    def on_message_begin(self) -> None:
        if self._complete:
            raise NotHttp("there is more than the answer")  # and it is nobody's

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status < 0:  # else it is a trailer
            self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self._clean()
        if self._quiet > _MAX_QUIET and self._head_size() > _MAX_QUIET:
            raise NotHttp("its head is too large")
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != _SWITCHING:  # provisional
            self.headers.clear()
        else:
            self.status = status

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._unread += len(body)
        self._quiet = 0

    def on_message_complete(self) -> None:
        if self.status >= 0:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()

    def _finish(self) -> None:
        connection = self._detached()
        if connection is not None:
            connection.answered(reusable=self._reusable)

    def give_up(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        connection = self._detached()
        if connection is not None:
            connection.drop()
        self._wake()

    def _detached(self) -> Connection | None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.timeouts.leave(self)
            del self._parser  # which knows us
        return connection

    def _clean(self) -> None:
        """Takes control characters away: they are taken in, but a server may not send them on."""
        values = b"".join([value for _, value in self.headers])
        if len(values.translate(None, CONTROLS)) < len(values):
            if b"\0" in values:
                raise NotHttp("a header has a NUL in it")
            self.headers = [(name, value.translate(None, CONTROLS)) for name, value in self.headers]

    def _head_size(self) -> int:
        return sum(len(name) + len(value) for name, value in self.headers)

    def _has_length(self) -> bool:
        return any(
            name == b"content-length"
            or (name == b"transfer-encoding" and b"chunked" in value.lower())
            for name, value in self.headers
        )

    def _wait(self) -> None:
        self.last_received = self._loop.time()
        if self._connection is not None:
            self._connection.timeouts.watch(self)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
