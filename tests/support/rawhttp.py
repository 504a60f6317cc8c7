"""HTTP by hand, for tests that look at bytes: every byte sent is the test's, and each is seen back.

async with connected(chatkeep.url) as wire:
    wire.send(post("/v1/chat/completions", body, key))
    head = await wire.head()
    piece = await wire.piece()  # one write of the server's, when the answer is chunked
    wire.leave()
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Head:
    status: int
    headers: tuple[tuple[str, str], ...]  # names in lower case, order and repetitions as received

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def __getitem__(self, name: str) -> str:
        """The value of a header that must be there exactly once."""
        (value,) = self.all(name)
        return value


@dataclass(frozen=True)
class Reply:
    """A whole answer. `complete` is False when the connection ended before its framing did."""

    head: Head
    body: bytes
    complete: bool


class Wire:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def line(self) -> bytes:
        return await self._reader.readuntil(b"\n")

    async def head(self) -> Head:
        """The next head, leaving out those of status 100."""
        while True:
            text = (await self._reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1")
            first, *lines = text.split("\r\n")
            pairs = (line.partition(":") for line in lines)
            headers = tuple((name.lower(), value.strip()) for name, _, value in pairs)
            head = Head(int(first.split(" ")[1]), headers)
            if head.status != 100:
                return head

    async def piece(self) -> bytes:
        """The next chunk of a chunked answer, b"" for its end.

        Raises IncompleteReadError when the server breaks off.
        """
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        return (await self._reader.readexactly(size + 2))[:-2]

    async def until(self, wanted: bytes) -> bytes:
        """The pieces up to the one with which `wanted` has come."""
        got = b""
        while wanted not in got:
            piece = await self.piece()
            assert piece, f"the answer ended without {wanted!r}: {got!r}"
            got += piece
        return got

    async def reply(self) -> Reply:
        head = await self.head()
        pieces: list[bytes] = []
        try:
            if head.all("transfer-encoding"):
                while piece := await self.piece():
                    pieces.append(piece)
            else:
                pieces.append(await self._reader.readexactly(int(head.all("content-length")[0])))
        except asyncio.IncompleteReadError as error:
            return Reply(head, b"".join([*pieces, error.partial]), complete=False)
        return Reply(head, b"".join(pieces), complete=True)

    def waiting(self) -> bytes:
        """What has arrived and was not read yet."""
        return bytes(self._reader._buffer)  # type: ignore[attr-defined]  # no public way to peek

    def end(self) -> None:
        """Says that nothing more will be sent."""
        self._writer.write_eof()

    def leave(self) -> None:
        """Closes the connection at once, whatever is still on its way."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def closed(self) -> bool:
        """Whether the server closes without sending anything more."""
        try:
            return await self._reader.read() == b""
        except ConnectionResetError:
            return True  # it closes with something of ours unread


@asynccontextmanager
async def connected(url: str, limit: int = 2**26) -> AsyncIterator[Wire]:
    """`limit` is about how much is taken in before it is read."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=limit)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def post(
    path: str, body: bytes, key: str | None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A POST of these bytes with exactly the headers needed and those given."""
    length = {"content-length": str(len(body))}
    return head_of("POST", path, key, {**length, **(headers or {})}) + body


def get(path: str, key: str | None, headers: Mapping[str, str] | None = None) -> bytes:
    return head_of("GET", path, key, headers or {})


def head_of(method: str, path: str, key: str | None, headers: Mapping[str, str]) -> bytes:
    bearer = {} if key is None else {"authorization": f"Bearer {key}"}
    named = {"host": "chatkeep.test", **bearer, **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


async def asked(url: str, request: bytes) -> Reply:
    """The answer to one request on a connection of its own."""
    async with connected(url) as wire:
        wire.send(request)
        return await wire.reply()
