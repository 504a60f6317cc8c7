"""The connections to one upstream: opened when none is free, kept for the next call."""

import asyncio
import socket
import ssl
from base64 import b64encode
from typing import NamedTuple, Self
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohappyeyeballs

from chatkeep.settings.upstreams import LOOPBACK
from chatkeep.upstream.http.connection import Closed, Connection, Exchange
from chatkeep.upstream.http.timeouts import Timeouts

KEPT_S = 15.0  # the longer, the more often one is used that the upstream is just closing
_NEXT_ADDRESS_S = 0.25  # until another address of a host is tried beside the first
_PORTS = {"http": 80, "https": 443}
_MAX_PROXY_HEAD = 1 << 14


class ConnectTimeout(TimeoutError):
    """It took too long to get a connection."""


class NoConnection(ConnectionError):
    """No connection could be made."""


class NoProxy(ConnectionError):
    """The proxy named in the environment is none that is spoken to, or does not let us through."""


class Connections:
    """`url` says where to; connections are kept for `kept_s` after a call, if `reuse` is set."""

    def __init__(
        self, url: str, connect_timeout_s: float, *, reuse: bool = True, kept_s: float = KEPT_S
    ) -> None:
        self._address = Address.of(urlsplit(url))
        self._proxy = Proxy.of(urlsplit(url))
        self._tls = _tls() if self._address.tls else None
        self._connect_timeout_s = connect_timeout_s
        self._reuse = reuse
        self._kept_s = kept_s
        self._open: set[Connection] = set()
        self._free: dict[Connection, None] = {}  # the one that was used last is the last
        self._ageing: asyncio.TimerHandle | None = None
        self._timeouts = Timeouts()

    def first_lines(self, method: str, target: str) -> bytes:
        """How a request begins that is sent there."""
        address, proxy = self._address, self._proxy
        if proxy is not None and not address.tls:
            target = f"http://{address.name}{target}"
        lines = f"{method} {target} HTTP/1.1\r\nhost: {address.name}\r\n".encode("ascii")
        return lines if proxy is None or address.tls else lines + proxy.authorization

    async def ask(
        self, head: bytes, body: bytes, deadline: float, read_timeout_s: float, *, repeatable: bool
    ) -> Exchange:
        """Sends a request; returns when the head of its answer is there.

        One that is `repeatable` is sent again when the upstream closes a kept connection on it.
        """
        while self._free:
            connection, _ = self._free.popitem()
            if connection.transport.is_closing():
                continue
            try:
                return await connection.ask(head, body, deadline, read_timeout_s)
            except Closed:
                if not repeatable:
                    raise
        connection = await self._opened(deadline)
        return await connection.ask(head, body, deadline, read_timeout_s)

    async def aclose(self) -> None:
        for connection in tuple(self._open):
            connection.drop()
        if self._ageing is not None:
            self._ageing.cancel()
        self._timeouts.end()
        await asyncio.sleep(0)  # then they are closed

    async def _opened(self, deadline: float) -> Connection:
        latest = asyncio.get_running_loop().time() + self._connect_timeout_s
        try:
            async with asyncio.timeout_at(min(deadline, latest)):
                return await self._connect()
        except TimeoutError as error:
            raise ConnectTimeout from error
        except (NoProxy, socket.gaierror, ssl.SSLError):
            raise
        except OSError as error:
            raise NoConnection from error

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        host, port = (self._proxy or self._address)[:2]
        if not host:
            raise NoProxy
        addresses = await loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S
        )
        try:
            if self._proxy is not None and self._tls is not None:
                await self._proxy.let_through(sock, self._address)
            _, connection = await loop.create_connection(
                lambda: Connection(self._freed, self._lost, self._timeouts),
                sock=sock,
                ssl=self._tls,
                server_hostname=None if self._tls is None else self._address.host,
            )
        except BaseException:
            sock.close()
            raise
        self._open.add(connection)
        return connection

    def _freed(self, connection: Connection) -> None:
        if not self._reuse:
            connection.drop()
            return
        connection.idle_since = connection.loop.time()
        self._free[connection] = None
        if self._ageing is None:
            self._ageing = connection.loop.call_later(self._kept_s, self._drop_old)

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._free.pop(connection, None)

    def _drop_old(self) -> None:
        loop = asyncio.get_running_loop()
        old = [one for one in self._free if one.idle_since <= loop.time() - self._kept_s]
        for connection in old:
            del self._free[connection]
            connection.drop()
        self._ageing = loop.call_later(self._kept_s, self._drop_old) if self._free else None


class Address(NamedTuple):
    """`name` is what a Host header says."""

    host: str
    port: int
    name: str
    tls: bool

    @classmethod
    def of(cls, url: SplitResult) -> Self:
        host = url.hostname or ""
        if not host.isascii():
            host = host.encode("idna").decode()
        name = f"[{host}]" if ":" in host else host
        usual = _PORTS[url.scheme]
        port = url.port or usual
        return cls(host, port, name if port == usual else f"{name}:{port}", url.scheme == "https")


class Proxy(NamedTuple):
    """`authorization` is a line of a head, or empty."""

    host: str
    port: int
    authorization: bytes

    @classmethod
    def of(cls, url: SplitResult) -> Self | None:
        """The proxy that the environment names for this URL; this machine needs none."""
        host = url.hostname or ""
        named = getproxies().get(url.scheme)
        if named is None or host in LOOPBACK or proxy_bypass(host):
            return None
        parts = urlsplit(named if "://" in named else f"http://{named}")
        user, at, _ = parts.netloc.rpartition("@")
        basic = b64encode(unquote(user).encode())
        line = b"proxy-authorization: Basic %b\r\n" % basic if at else b""
        # One of another kind is told of when it is needed, with its upstream's name.
        spoken_to = parts.hostname if parts.scheme == "http" else None
        return cls(spoken_to or "", parts.port or _PORTS["http"], line)

    async def let_through(self, sock: socket.socket, address: Address) -> None:
        """Has the proxy connect the socket with the address. Raises NoProxy."""
        loop = asyncio.get_running_loop()
        there = f"[{address.host}]" if ":" in address.host else address.host
        there = f"{there}:{address.port}"
        line = f"CONNECT {there} HTTP/1.1\r\nhost: {there}\r\n"
        await loop.sock_sendall(sock, line.encode() + self.authorization + b"\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):  # the other end says nothing before we do
            data = await loop.sock_recv(sock, _MAX_PROXY_HEAD)
            head += data
            if not data or len(head) > _MAX_PROXY_HEAD:
                raise NoProxy
        if head.split(b" ", 2)[1:2] != [b"200"]:
            raise NoProxy


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
