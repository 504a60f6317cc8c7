"""uvicorn's HTTP protocol, with limits on what a client may send and every refusal in the envelope.

What cannot be read as a request becomes one all the same, with its refusal in the scope's state:
the application answers it like any other, in turn, and then the connection ends. This file relies
on uvicorn's insides; tests/api/test_framing.py would notice if they changed.
"""

import asyncio
from typing import Any, Literal
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn._types import ASGIVersions, HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from chatkeep.errors import (
    HeadTooLarge,
    MalformedRequest,
    Refusal,
    RequestTimeout,
    TooManyConnections,
)
from chatkeep.web.server.cycle import REFUSED, Cycle

MAX_HEAD_BYTES = 1 << 16
MAX_HEADERS = 200
MAX_PIPELINED = 16
_SLICE = 1 << 16  # read at once, so that what is held of an unfinished head stays small
_BODY_STEP = 1 << 20  # each that arrives gives the client its time anew
_READ_ON = 10  # times as long a client may leave its answer unread
_LINGER_S = 1.0  # for the client to read a refusal before a reset could take it away
_FRAGMENT = ord("#")
_ASGI: ASGIVersions = {"version": "3.0", "spec_version": "2.3"}

_Stage = Literal["between", "head", "body"]


class Config(uvicorn.Config):
    """uvicorn's, and the limits of this file."""

    client_timeout_s: float
    max_connections: int
    turned_away = 0  # connections beyond them that are being told so


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    config: Config
    cycle: Cycle

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._stage: _Stage = "between"
        self._refused = self._turned_away = False
        self._slice = 0  # length of what is being parsed
        self._quiet = 0  # bytes parsed since the message began, or since the last of its body
        self._received = 0  # of the body
        self._instead = b""  # a head to parse in the place of the one just read
        self._due: float | None = None  # when what the client owes is late, in the loop's time
        self._due_for: tuple[int, _Stage, int] | None = (0, "between", 0)
        self._timer: asyncio.TimerHandle | None = None  # goes off when that is due, or before
        self._timer_due = 0.0
        self._unread: asyncio.TimerHandle | None = None
        self._heads = 0  # read to their end

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self.config.max_connections:
            self._turn_away()
        else:
            self._expect(self.config.client_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Does what uvicorn does, but for its event that tells of a body."""
        self.connections.discard(self)
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]  # as uvicorn has it
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
        self._clear_unread()
        self.config.turned_away -= self._turned_away
        if self.cycle is not None:
            self.cycle.left()

    def _turn_away(self) -> None:
        self.connections.discard(self)
        self._turned_away = True
        self.config.turned_away += 1
        if self.config.turned_away > self.config.max_connections:
            self.transport.abort()
        else:
            self._refuse(TooManyConnections(headers=(("retry-after", "1"),)))

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            if len(data) <= _SLICE:
                self._parse(data)
            else:
                for start in range(0, len(data), _SLICE):
                    self._parse(data[start : start + _SLICE])
        except Refusal as error:
            self._refuse(error)
        else:
            self._keep_time()

    def _parse(self, data: bytes) -> None:
        while data:
            self._slice = len(data)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._instead + data[upgrade.args[0] :]
                self._instead = b""
                continue
            except httptools.HttpParserError as error:
                if isinstance(error.__context__, Refusal):
                    raise error.__context__ from error
                raise MalformedRequest(why="it is not valid HTTP") from error
            self._quiet += len(data)
            break
        if self._stage != "between":
            self._check_held()

    def _check_held(self) -> None:
        """Of a head, or of what surrounds the pieces of a body, that goes on and on."""
        if self._quiet > 2 * MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            raise HeadTooLarge(limit=MAX_HEAD_BYTES, headers_limit=MAX_HEADERS)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._stage = "head"
        self._quiet = self._received = 0

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_HEADERS or (
            self._quiet + self._slice > MAX_HEAD_BYTES and self._head_size() > MAX_HEAD_BYTES
        ):
            raise HeadTooLarge(limit=MAX_HEAD_BYTES, headers_limit=MAX_HEADERS)
        if len(self.pipeline) >= MAX_PIPELINED:
            raise MalformedRequest(why="too many requests were sent ahead of their answers")
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._check_framing(method, version)
        if self.parser.should_upgrade():
            self._instead = self._without_upgrade()
            return
        self._describe(method.decode("ascii"), version)
        self._begin(keep_alive=version != "1.0" and self.parser.should_keep_alive())
        self.headers = []  # for trailers, which nobody reads: they must not pass for headers
        self._stage = "body"
        self._heads += 1
        self._quiet = -self._slice  # what is being parsed may hold the whole head

    def on_body(self, body: bytes) -> None:
        self._quiet = -self._slice
        self._received += len(body)
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.told()

    def on_message_complete(self) -> None:
        if not self._instead:
            self._stage = "between"
            self.cycle.more_body = False
            self.cycle.told()
            if not self.pipeline:
                self.flow.resume_reading()  # else a client that leaves is not noticed

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._stage == "between":
            self._due_for = None
            self._expect(self.timeout_keep_alive)

    def _describe(self, method: str, version: str) -> None:
        if self.url.startswith(b"/") and _FRAGMENT not in self.url:
            raw_path, _, query = self.url.partition(b"?")
        else:
            url = httptools.parse_url(self.url)
            raw_path, query = url.path, url.query or b""
        path = raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        self.scope = self._scope(method, version, path, raw_path, query)

    def _scope(
        self, method: str, version: str, path: str = "", raw_path: bytes = b"", query: bytes = b""
    ) -> HTTPScope:
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": "",
            "headers": self.headers,
            "state": {},
            "method": method,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
        }

    def _begin(self, *, keep_alive: bool) -> None:
        """Has the request answered, after those that came before it."""
        before = self.cycle
        self.cycle = Cycle(
            self.scope,
            self.transport,
            self.flow,
            self.server_state.default_headers,
            self.on_response_complete,
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
        )
        if self._heads == 0 or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _without_upgrade(self) -> bytes:
        """The head once more, staying with HTTP/1.1. Java's client offers HTTP/2 with each call.

        httptools would leave the body of such a request to another protocol.
        """
        start = b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), self.url)
        kept = (entry for entry in self.headers if entry[0] != b"upgrade")
        return start + b"".join(b"%b: %b\r\n" % entry for entry in kept) + b"\r\n"

    def _check_framing(self, method: bytes, version: str) -> None:
        """What llhttp lets pass and two servers in a row could take differently."""
        if method == b"CONNECT":
            raise MalformedRequest(why="this server is no proxy")
        if version not in ("1.1", "1.0"):
            raise MalformedRequest(why=f"HTTP {version} is not spoken here")
        names = [name for name, _ in self.headers]
        if b"transfer-encoding" in names:
            coding = self.headers[names.index(b"transfer-encoding")][1]  # llhttp refuses a second
            if coding.lower() != b"chunked" or version == "1.0":
                raise MalformedRequest(why="its Transfer-Encoding is not supported")
        hosts = names.count(b"host")
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise MalformedRequest(why="it must have one Host header")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._clear_unread()
        wait_s = self.config.client_timeout_s * _READ_ON
        self._unread = self.loop.call_later(wait_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._clear_unread()

    def _keep_time(self) -> None:
        """A client has its time for a head, and for each step of a body that somebody wants."""
        if self._stage == "between" and self._heads and not self.cycle.response_complete:
            self._due = None
            return
        unwanted = self._stage != "body" or self.cycle.response_complete
        step = 0 if unwanted else self._received // _BODY_STEP
        wanted = (self._heads, self._stage, step)
        if self._due_for != wanted:
            self._due_for = wanted
            self._expect(self.config.client_timeout_s)

    def _expect(self, seconds: float) -> None:
        """Gives the client so long for what comes next. One timer a connection does: it goes off
        too early rather than being set for each request."""
        self._due = self.loop.time() + seconds
        if self._timer is None:
            self._set_timer(self._due)
        elif self._due < self._timer_due:
            self._timer.cancel()
            self._set_timer(self._due)

    def _set_timer(self, due: float) -> None:
        self._timer = self.loop.call_at(due, self._went_off)
        self._timer_due = due

    def _went_off(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._due > self._timer_due:
            self._set_timer(self._due)
        else:
            self._late()

    def _clear_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _late(self) -> None:
        if self.flow.read_paused:
            self._expect(self.config.client_timeout_s)  # it is us who keep the client waiting
        elif self._stage == "between" or (self._stage == "body" and self.cycle.response_complete):
            self.transport.close()
        else:
            self._refuse(RequestTimeout(seconds=f"{self.config.client_timeout_s:g}"))

    def _refuse(self, error: Refusal) -> None:
        """Has the application answer so, after what it owes; nothing more is read."""
        self._refused = True
        self._due = None
        if self._stage != "body":
            self._begin_refused()
        cycle = self.cycle
        cycle.scope["state"][REFUSED] = error
        cycle.transport = _HalfClosing(self.transport, self.loop)
        cycle.keep_alive = cycle.more_body = False
        cycle.told()
        if cycle.response_complete:
            cycle.transport.close()

    def _begin_refused(self) -> None:
        """A request of nothing, for a refusal that has none."""
        self.on_message_begin()
        self.scope = self._scope("", "1.1")
        self._begin(keep_alive=False)


class _HalfClosing(asyncio.Transport):
    """Lets the client read the last answer while what it still sends is thrown away."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.write_eof()
            self._loop.call_later(_LINGER_S, self._transport.close)
