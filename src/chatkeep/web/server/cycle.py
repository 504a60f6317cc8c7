"""One request and its answer on a connection: uvicorn's, with a cheaper way out.

A whole answer is one write: its head waits for the first of its body. uvicorn looks at each header
with two patterns, which costs more than all else a small answer needs; here the head is looked at
once. Who has the cycle's own `send` answers past ASGI's messages, by `begin` and `write`.
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.types import Message, Receive, Send
from uvicorn._types import HTTPDisconnectEvent, HTTPRequestEvent, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from chatkeep.core.proxy.disconnect import Disconnect
from chatkeep.core.wire.headers import Headers

REFUSED = "refused"  # in a scope's state: why the request, or the rest of it, could not be read
_BODILESS = (204, 304)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LF, _CR, _NUL = b"\n\r\0"  # asking for an int is several times quicker than for bytes


class Cycle(RequestResponseCycle):
    """Begins with all that does not differ from request to request as the class has it."""

    logger = logging.getLogger("uvicorn.error")
    disconnected = response_started = response_complete = False
    more_body = True
    chunked_encoding = None
    expected_content_length = 0
    _head = b""
    _came = False
    _waiting: asyncio.Future[None] | None = None
    _disconnect: Disconnect | None = None

    def __init__(  # not uvicorn's, which sets all of it each time
        self,
        scope: HTTPScope,
        transport: asyncio.Transport,
        flow: FlowControl,
        default_headers: list[tuple[bytes, bytes]],
        on_response: Callable[[], None],
        *,
        expect_100_continue: bool,
        keep_alive: bool,
    ) -> None:
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.default_headers = default_headers
        self.on_response = on_response
        self.waiting_for_100_continue = expect_100_continue
        self.keep_alive = keep_alive
        self.body = bytearray()

    def set_disconnect(self, disconnect: Disconnect | None) -> None:
        """Who is notified of the client's disconnect, at once when it has happened already."""
        self._disconnect = disconnect
        if self.disconnected and disconnect is not None:
            disconnect.notify()

    def left(self) -> None:
        """The client has."""
        self.disconnected = not self.response_complete
        self.told()
        if self._disconnect is not None:
            self._disconnect.notify()

    def told(self) -> None:
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

    async def receive(self) -> HTTPRequestEvent | HTTPDisconnectEvent:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(_CONTINUE)
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            if not self._came:
                self._waiting = asyncio.get_running_loop().create_future()
                await self._waiting
            self._came = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]  # uvicorn names every kind
        if message["type"] == "http.response.start":
            self._begin_as_told(message["status"], message["headers"])
        else:
            await self.write(message.get("body", b""), more=message.get("more_body", False))

    def begin(self, status: int, headers: Headers, length: int | None) -> None:
        """The head of an answer; one of a length has a header that says it.

        Raises ValueError for what would not stay one header.
        """
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [*map(b": ".join, self.default_headers), *map(b": ".join, headers)]
        text = b"".join(lines)
        if _LF in text or _CR in text or _NUL in text:
            raise ValueError("a header of an answer has a line end in it")
        if not self.keep_alive:
            lines.append(b"connection: close")
        if length is not None:
            self.expected_content_length = length
        elif self.scope["method"] != "HEAD" and status not in _BODILESS:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked")
        self._head = STATUS_LINE[status] + b"\r\n".join((*lines, b"", b""))

    async def write(self, body: bytes, *, more: bool) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = _chunk(body, more=more)
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise ValueError("an answer is longer than it said")
        if self._head or body:
            self.transport.write(self._head + body)
            self._head = b""
        if not more:
            self._end()

    def _begin_as_told(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
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
        if self.expected_content_length:
            raise ValueError("an answer is shorter than it said")
        self.response_complete = True
        self.told()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


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
