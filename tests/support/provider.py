"""An upstream under the test's control to the byte: what it received, what it answers, and when.

async with Provider() as provider:
    stream = provider.answer(Stream([first, second], stepped=True))  # to the next request
    ...  # every other request gets the `echo`
    stream.step()
    assert provider.requests[0].body == sent
"""

import asyncio
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from support import echo

Headers = Sequence[tuple[str, str]]

JSON: Headers = (("content-type", "application/json"),)
EVENTS: Headers = (("content-type", "text/event-stream; charset=utf-8"),)
CHUNKED = ("transfer-encoding", "chunked")


@dataclass(frozen=True)
class Received:
    """One request, with its head also as it came over the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]  # order and case as received
    body: bytes  # without the chunked framing, otherwise untouched
    head: bytes
    connection: int  # the same number: the connection was kept alive

    def header(self, name: str) -> str | None:
        found = (value for key, value in self.headers if key.lower() == name)
        return next(found, None)

    def json(self) -> Any:
        return json.loads(self.body)


class Peer(asyncio.StreamReaderProtocol):
    """The client's end of one connection. Sending to one that left raises ConnectionError."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    task: "asyncio.Task[None]"

    def __init__(self, serve: Callable[["Peer"], Coroutine[Any, Any, None]]) -> None:
        super().__init__(asyncio.StreamReader(limit=2**28), self._connected)
        self.gone = asyncio.Event()
        self._serve = serve

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.task = asyncio.get_running_loop().create_task(self._serve(self))

    def eof_received(self) -> bool:
        self.gone.set()
        super().eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)

    async def send(self, data: bytes) -> None:
        self._still_there()
        self.writer.write(data)
        await self.writer.drain()

    async def unless_gone(self, waiting: Coroutine[Any, Any, object]) -> None:
        tasks = [asyncio.create_task(waiting), asyncio.create_task(self.gone.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        self._still_there()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def _still_there(self) -> None:
        if self.gone.is_set():
            raise ConnectionResetError("the peer left")


@runtime_checkable
class Answer(Protocol):
    async def play(self, peer: Peer) -> None: ...


Responder = Callable[[Received], Answer]
A = TypeVar("A", bound=Answer | Responder)


@dataclass
class Plain:
    """A whole answer in one write. Without `content_length` the connection's end is its end."""

    body: bytes
    status: int = 200
    headers: Headers = JSON
    content_length: bool = True

    async def play(self, peer: Peer) -> None:
        length = ("content-length", str(len(self.body)))
        framing = length if self.content_length else ("connection", "close")
        await peer.send(_head(self.status, [*self.headers, framing]) + self.body)
        if not self.content_length:
            peer.close()


@dataclass
class Stream:
    """Chunked; each piece is a write of its own and, when `stepped`, waits for `step()`."""

    pieces: Sequence[bytes]
    status: int = 200
    headers: Headers = EVENTS
    stepped: bool = False
    written: int = field(default=0, init=False)
    disconnected_after: int | None = field(default=None, init=False)  # pieces
    ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _steps: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0), init=False)

    def step(self, pieces: int = 1) -> None:
        for _ in range(pieces):
            self._steps.release()

    async def play(self, peer: Peer) -> None:
        try:
            await peer.send(_head(self.status, [*self.headers, CHUNKED]))
            for piece in self.pieces:
                if self.stepped:
                    await peer.unless_gone(self._steps.acquire())
                await peer.send(_chunk(piece))
                self.written += 1
            await peer.send(_chunk(b""))
        except ConnectionError:
            self.disconnected_after = self.written
            raise
        finally:
            self.ended.set()


@dataclass
class Refuse:
    """Reads the request and closes without a word."""

    reset: bool = False

    async def play(self, peer: Peer) -> None:
        peer.reset() if self.reset else peer.close()


@dataclass
class Hang:
    """Says nothing until released; then plays `then`."""

    then: Answer = field(default_factory=Refuse)
    disconnected: bool = field(default=False, init=False)
    arrived: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _released: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def release(self) -> None:
        self._released.set()

    async def play(self, peer: Peer) -> None:
        self.arrived.set()
        try:
            await peer.unless_gone(self._released.wait())
        except ConnectionError:
            self.disconnected = True
            raise
        finally:
            self.ended.set()
        await self.then.play(peer)


@dataclass
class CutAfter:
    """A stream whose connection closes when `n_bytes` of its pieces were sent."""

    pieces: Sequence[bytes]
    n_bytes: int
    status: int = 200
    headers: Headers = EVENTS

    async def play(self, peer: Peer) -> None:
        await peer.send(_head(self.status, [*self.headers, CHUNKED]))
        left = self.n_bytes
        for piece in self.pieces:
            unsent = max(0, len(piece) - left)
            frame = _chunk(piece)
            await peer.send(frame[: len(frame) - unsent - 2] if unsent else frame)
            left -= len(piece)
            if left <= 0:
                break
        peer.close()


@dataclass
class Raw:
    """Any bytes at all; then closes, or waits for the peer to."""

    data: bytes
    close: bool = True

    async def play(self, peer: Peer) -> None:
        await peer.send(self.data)
        if not self.close:
            await peer.gone.wait()
        peer.close()


@dataclass
class Endless:
    """The same piece again and again, at the peer's pace, up to `cap` bytes."""

    piece: bytes
    cap: int = 2**26
    headers: Headers = EVENTS
    sent: int = field(default=0, init=False)
    disconnected: bool = field(default=False, init=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def play(self, peer: Peer) -> None:
        try:
            await peer.send(_head(200, [*self.headers, CHUNKED]))
            while self.sent < self.cap:
                await peer.send(_chunk(self.piece))
                self.sent += len(self.piece)
            await peer.send(_chunk(b""))
        except ConnectionError:
            self.disconnected = True
            raise
        finally:
            self.ended.set()


class Provider:
    """Listens on 127.0.0.1 while entered. A request it cannot read fails the test at exit."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.url = ""
        self.requests: list[Received] = []
        self._news = asyncio.Event()
        self._script: deque[Answer | Responder] = deque()
        self._default: Answer | Responder = self.echo
        self._echoed = 0
        self._peers: list[Peer] = []

    def answer(self, answer: A) -> A:
        """Plays `answer` to the next request that has none yet."""
        self._script.append(answer)
        return answer

    def always(self, answer: A) -> A:
        """Plays `answer` to every request the script has nothing for."""
        self._default = answer
        return answer

    async def until(self, requests: int) -> None:
        """Returns when that many requests have arrived."""
        while len(self.requests) < requests:
            self._news.clear()
            await self._news.wait()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        scheme = "http" if self._tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        tasks = [peer.task for peer in self._peers]
        for peer in self._peers:
            peer.task.cancel()
            peer.writer.transport.abort()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception) and not error:
                raise outcome
        await self._server.wait_closed()

    def _accept(self) -> Peer:
        return Peer(self._welcome)

    def _welcome(self, peer: Peer) -> Coroutine[Any, Any, None]:
        self._peers.append(peer)
        return self._serve(peer, len(self._peers))

    async def _serve(self, peer: Peer, connection: int) -> None:
        try:
            while not peer.writer.is_closing():
                request = await _read_request(peer.reader, connection)
                self.requests.append(request)
                self._news.set()
                await self._next_answer(request).play(peer)
                if request.header("connection") == "close":
                    peer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the peer left, which the answer being played has noted
        finally:
            peer.close()

    def _next_answer(self, request: Received) -> Answer:
        answer = self._script.popleft() if self._script else self._default
        return answer if isinstance(answer, Answer) else answer(request)

    def echo(self, request: Received) -> Answer:
        path = request.target.partition("?")[0]
        match request.method, path:
            case "POST", "/v1/chat/completions":
                return self._echoed_completion(request.json())
            case "GET", "/v1/models":
                return Plain(echo.models())
            case _:
                return Plain(echo.invalid_url(request.method, path), 404)

    def _echoed_completion(self, asked: Mapping[str, Any]) -> Answer:
        self._echoed += 1
        if asked.get("stream"):
            return Stream(echo.events(asked, self._echoed))
        return Plain(echo.completion(asked, self._echoed))


@contextmanager
def nobody() -> Iterator[str]:
    """The url of a port that refuses connections: it is taken, but nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def _head(status: int, headers: Headers) -> bytes:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received:
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = start.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name, value.strip()) for name, _, value in pairs)
    body = await _read_body(reader, {name.lower(): value for name, value in headers})
    return Received(method, target, headers, body, head, connection)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" not in headers:
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return bytes(body)
