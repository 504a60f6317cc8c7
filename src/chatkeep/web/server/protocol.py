"""HTTP/1.1 on one connection: limits on what a client may send, and every refusal in the envelope.

What cannot be read as a request becomes one all the same, with its refusal in the scope's state:
the application answers it like any other, in turn, and then the connection ends.
"""

import asyncio
from collections import deque
from typing import Literal, cast

import httptools

from chatkeep.errors import MalformedRequest, Refusal, RequestTimeout, TooManyConnections
from chatkeep.web.server import head
from chatkeep.web.server.connections import Connections
from chatkeep.web.server.cycle import REFUSED, Cycle
from chatkeep.web.server.deadline import Deadline
from chatkeep.web.server.flow import Flow

MAX_PIPELINED = 16
_SLICE = 1 << 16  # read at once, so that what is held of an unfinished head stays small
_HELD_BODY = 1 << 16  # of a body that nobody reads, before its client has to wait
_BODY_STEP = 1 << 20  # each that arrives gives the client its time anew
_READ_ON = 10  # times as long a client may leave its answer unread
_LINGER_S = 1.0  # for the client to read a refusal before a reset could take it away

_Stage = Literal["between", "head", "body"]


class Protocol(asyncio.Protocol):
    """One connection of a client; its `on_` methods are what httptools calls."""

    _transport: asyncio.Transport
    _flow: Flow
    _client: head.Address
    _server: head.Address
    _cycle: Cycle  # of the request read last

    def __init__(
        self, connections: Connections, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._connections = connections
        self._loop = loop or asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # A request sent ahead of an answer that ends the connection is no error: nobody reads it.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._deadline = Deadline(self._loop, self._late)
        self._pipeline: deque[Cycle] = deque()
        self._url = b""
        self._headers: head.Entries = []
        self._expects_continue = False
        self._stage: _Stage = "between"
        self._begun = self._refused = self._turned_away = False
        self._slice = 0  # length of what is being parsed
        self._quiet = 0  # bytes parsed since the message began, or since the last of its body
        self._received = 0  # of the body
        self._instead = b""  # a head to parse in the place of the one just read
        self._due_for: tuple[int, _Stage, int] | None = (0, "between", 0)
        self._heads = 0  # read to their end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        unread_s = self._connections.client_timeout_s * _READ_ON
        self._flow = Flow(self._transport, self._loop, unread_s)
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        open_ones = self._connections.state.connections
        if len(open_ones) < self._connections.max_open:
            open_ones.add(self)
            self._deadline.set(self._connections.client_timeout_s)
        else:
            self._turn_away()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.state.connections.discard(self)
        self._connections.turned_away -= self._turned_away
        self._flow.resume_writing()
        if exc is None:
            self._transport.close()
        del self._parser  # which else would hold this, and this it
        self._deadline.end()
        if self._begun:
            self._cycle.disconnect()

    def shutdown(self) -> None:
        """Ends the connection, after the answer it owes."""
        if self._begun and not self._cycle.response_complete:
            self._cycle.keep_alive = False
        else:
            self._transport.close()

    def pause_writing(self) -> None:
        self._flow.pause_writing()

    def resume_writing(self) -> None:
        self._flow.resume_writing()

    def _turn_away(self) -> None:
        self._turned_away = True
        self._connections.turned_away += 1
        if self._connections.turned_away > self._connections.max_open:
            self._transport.abort()
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
                self._parser.feed_data(data)
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
        if self._quiet > 2 * head.MAX_BYTES or len(self._headers) > head.MAX_ENTRIES:
            raise head.too_large()

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._expects_continue = False
        self._stage = "head"
        self._quiet = self._received = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if len(self._headers) > head.MAX_ENTRIES or (
            self._quiet + self._slice > head.MAX_BYTES
            and head.size(self._url, self._headers) > head.MAX_BYTES
        ):
            raise head.too_large()
        if len(self._pipeline) >= MAX_PIPELINED:
            raise MalformedRequest(why="too many requests were sent ahead of their answers")
        method, version = self._parser.get_method(), self._parser.get_http_version()
        head.check_framing(method, version, self._headers)
        if self._parser.should_upgrade():
            self._instead = head.without_upgrade(method, self._url, self._headers)
            return
        self._begin(
            method, version, keep_alive=version != "1.0" and self._parser.should_keep_alive()
        )
        self._headers = []  # for trailers, which nobody reads: they must not pass for headers
        self._stage = "body"
        self._heads += 1
        self._quiet = -self._slice  # what is being parsed may hold the whole head

    def on_body(self, body: bytes) -> None:
        self._quiet = -self._slice
        self._received += len(body)
        cycle = self._cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > _HELD_BODY:
                self._flow.pause_reading()
            cycle.notify()

    def on_message_complete(self) -> None:
        if not self._instead:
            self._stage = "between"
            self._cycle.more_body = False
            self._cycle.notify()
            if not self._pipeline:
                self._flow.resume_reading()  # else a client that leaves is not noticed

    def _begin(self, method: bytes, version: str, *, keep_alive: bool) -> None:
        """Has the request answered, after those that came before it."""
        scope = head.scope(method, version, self._url, self._headers, self._client, self._server)
        at_once = not self._begun or self._cycle.response_complete
        self._begun = True
        self._cycle = Cycle(
            scope,
            self._transport,
            self._flow,
            self._connections.state.default_headers,
            self._answered,
            expect_100_continue=self._expects_continue,
            keep_alive=keep_alive,
        )
        if at_once:
            self._start(self._cycle)
        else:
            self._flow.pause_reading()
            self._pipeline.append(self._cycle)

    def _start(self, cycle: Cycle) -> None:
        tasks = self._connections.state.tasks
        task = self._loop.create_task(cycle.run(self._connections.app))
        task.add_done_callback(tasks.discard)
        tasks.add(task)

    def _answered(self) -> None:
        """The request whose turn it was has its whole answer."""
        if self._transport.is_closing():
            return
        self._flow.resume_reading()
        if self._pipeline:
            self._start(self._pipeline.popleft())
        elif self._stage == "between":
            self._due_for = None
            self._deadline.set(self._connections.keep_alive_s)

    def _keep_time(self) -> None:
        """A client has its time for a head, and for each step of a body that somebody wants."""
        if self._stage == "between" and self._heads and not self._cycle.response_complete:
            self._deadline.clear()
            return
        unwanted = self._stage != "body" or self._cycle.response_complete
        step = 0 if unwanted else self._received // _BODY_STEP
        wanted = (self._heads, self._stage, step)
        if self._due_for != wanted:
            self._due_for = wanted
            self._deadline.set(self._connections.client_timeout_s)

    def _late(self) -> None:
        if self._flow.reading_paused:  # it is us who keep the client waiting
            self._deadline.set(self._connections.client_timeout_s)
        elif self._stage == "between" or (self._stage == "body" and self._cycle.response_complete):
            self._transport.close()
        else:
            self._refuse(RequestTimeout(seconds=f"{self._connections.client_timeout_s:g}"))

    def _refuse(self, error: Refusal) -> None:
        """Has the application answer so, after what it owes; nothing more is read."""
        self._refused = True
        self._deadline.clear()
        if self._stage != "body":
            self.on_message_begin()
            self._begin(b"", "1.1", keep_alive=False)  # of nothing, for what is no request
        cycle = self._cycle
        cycle.scope["state"][REFUSED] = error
        cycle.transport = _HalfClosing(self._transport, self._loop)
        cycle.keep_alive = cycle.more_body = False
        cycle.notify()
        if cycle.response_complete:
            cycle.transport.close()


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


def _address(of_socket: tuple[str, int] | None) -> head.Address:
    """Host and port; IPv6's has more."""
    return None if of_socket is None else of_socket[:2]
