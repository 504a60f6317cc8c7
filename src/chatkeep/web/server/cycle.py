"""One request and its answer on a connection.

A whole answer is one write: its head waits for the first of its body, and is looked at once for all
headers. Who has the cycle's own `send` answers past ASGI's messages, by `begin` and `write`.
"""

import asyncio
import http
import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatkeep.core.proxy.disconnect import Disconnect
from chatkeep.core.wire.headers import Headers
from chatkeep.web.server.flow import Flow

REFUSED = "refused"  # in a scope's state: why the request, or the rest of it, could not be read
_BODILESS = (204, 304)
_PHRASES = {status.value: status.phrase for status in http.HTTPStatus}
_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode()
    for status in range(100, 600)
}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_FAILED = b"Internal Server Error"
_LF, _CR, _NUL = b"\n\r\0"  # asking for an int is several times quicker than for bytes

_log = logging.getLogger("chatkeep")


class Cycle:
    """Begins with all that does not differ from request to request as the class has it."""

    disconnected = response_started = response_complete = False
    more_body = True
    _chunked = False
    _promised = 0  # bytes of the answer that its length says are to come
    _head = b""
    _came = False
    _waiting: asyncio.Future[None] | None = None
    _disconnect: Disconnect | None = None

    def __init__(
        self,
        scope: Scope,
        transport: asyncio.Transport,
        flow: Flow,
        headers: Headers,
        on_complete: Callable[[], None],
        *,
        expect_100_continue: bool,
        keep_alive: bool,
    ) -> None:
        """`headers` are those of every answer."""
        self.scope = scope
        self.transport = transport
        self.keep_alive = keep_alive
        self.body = bytearray()
        self._flow = flow
        self._headers = headers
        self._on_complete = on_complete
        self._expects_continue = expect_100_continue

    async def run(self, app: ASGIApp) -> None:
        """Has the application answer; an answer that it leaves unfinished breaks off."""
        try:
            await app(self.scope, self.receive, self.send)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # the outermost edge
            _log.error("a request failed in the server", exc_info=error)
            await self._fail()
        else:
            await self._check_answered()
        finally:
            self._on_complete = _nothing  # which else would hold the connection, and it this

    def set_disconnect(self, disconnect: Disconnect | None) -> None:
        """Who is notified of the client's disconnect, at once when it has happened already."""
        self._disconnect = disconnect
        if self.disconnected and disconnect is not None:
            disconnect.notify()

    def disconnect(self) -> None:
        """The client has left."""
        self.disconnected = not self.response_complete
        self.notify()
        if self._disconnect is not None:
            self._disconnect.notify()

    def notify(self) -> None:
        """More of the body is there, or all of it, or nobody waits for more."""
        self._came = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def arrived(self) -> bytes:
        """The body, when it came whole and nothing was read of it before; else b""."""
        if self.more_body or self.disconnected or self.response_complete:
            return b""
        body, self.body = bytes(self.body), bytearray()
        return body

    async def receive(self) -> Message:
        if self._expects_continue and not self.transport.is_closing():
            self.transport.write(_CONTINUE)
            self._expects_continue = False
        if not self.disconnected and not self.response_complete:
            self._flow.resume_reading()
            if not self._came:
                self._waiting = asyncio.get_running_loop().create_future()
                await self._waiting
            self._came = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begin_from_message(message["status"], message["headers"])
        else:
            await self.write(message.get("body", b""), more=message.get("more_body", False))

    def begin(self, status: int, headers: Headers, length: int | None) -> None:
        """The head of an answer; one of a length has a header that says it.

        Raises ValueError for what would not stay one header.
        """
        self.response_started = True
        self._expects_continue = False
        lines = [*map(b": ".join, self._headers), *map(b": ".join, headers)]
        text = b"".join(lines)
        if _LF in text or _CR in text or _NUL in text:
            raise ValueError("a header of an answer has a line end in it")
        if not self.keep_alive:
            lines.append(b"connection: close")
        if length is not None:
            self._promised = length
        elif self.scope["method"] != "HEAD" and status not in _BODILESS:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked")
        self._head = _STATUS_LINES[status] + b"\r\n".join((*lines, b"", b""))

    async def write(self, body: bytes, *, more: bool) -> None:
        if self._flow.writing_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            return
        if self.scope["method"] == "HEAD":
            self._promised = 0
            body = b""
        elif self._chunked:
            body = _chunk(body, more=more)
        else:
            self._promised -= len(body)
            if self._promised < 0:
                raise ValueError("an answer is longer than it said")
        if self._head or body:
            self.transport.write(self._head + body)
            self._head = b""
        if not more:
            self._end()

    def _begin_from_message(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        length: int | None = None
        passed: list[tuple[bytes, bytes]] = []
        for name, value in headers:
            if name == b"connection" and b"close" in value.lower():
                self.keep_alive = False  # which has a line of its own
                continue
            if name == b"content-length":
                length = int(value)
            passed.append((name, value))
        self.begin(status, passed, length)

    def _end(self) -> None:
        if self._promised:
            raise ValueError("an answer is shorter than it said")
        self.response_complete = True
        self.notify()
        if not self.keep_alive:
            self.transport.close()
        self._on_complete()

    async def _check_answered(self) -> None:
        if self.response_complete or self.disconnected:
            return
        if not self.response_started:
            _log.error("a request was left without an answer")
        await self._fail()

    async def _fail(self) -> None:
        """Tells the client, by an answer of its own or by breaking off the one that began."""
        if self.response_started:
            self.transport.close()
            return
        self.keep_alive = False
        length = len(_FAILED)
        headers = (
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % length),
        )
        self.begin(500, headers, length)
        await self.write(_FAILED, more=False)


class Messages:
    """The way out for whoever stands between and wants to see ASGI's messages."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None

    def begin(self, status: int, headers: Headers, length: int | None) -> None:
        self._start = {"type": "http.response.start", "status": status, "headers": headers}

    async def write(self, body: bytes, *, more: bool) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


WayOut = Cycle | Messages


def way_out(send: Send) -> WayOut:
    """Past the messages when it is the cycle's own `send`, with nobody between."""
    return cycle_of(send) or Messages(send)


def cycle_of(own: Receive | Send) -> Cycle | None:
    """The cycle whose own `receive` or `send` this is."""
    owner = getattr(own, "__self__", None)
    return owner if isinstance(owner, Cycle) else None


def _chunk(body: bytes, *, more: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk if more else chunk + b"0\r\n\r\n"


def _nothing() -> None:
    pass
