"""An OpenAI-compatible endpoint over HTTP."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Coroutine, Mapping
from typing import Any

from chatkeep.core.ports.upstream import UpstreamAnswer
from chatkeep.core.wire.headers import Headers, get, without
from chatkeep.errors import Refusal, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from chatkeep.settings.upstreams import UpstreamSetting
from chatkeep.upstream.http.coding import Inflater, Undecodable, decoder
from chatkeep.upstream.http.connection import Closed, CutOff, Exchange, NotHttp
from chatkeep.upstream.http.connections import Connections, ConnectTimeout, NoConnection, NoProxy
from chatkeep.upstream.http.heads import Heads
from chatkeep.upstream.http.timeouts import ReadTimeout

_log = logging.getLogger("chatkeep")
# Decoded already, so neither the coding nor the length of the coded bytes holds any more.
_OF_CODING = frozenset({b"content-encoding", b"content-length"})

_MIN_STATUS, _MAX_STATUS = 200, 599
# What a call can fail with, the first that fits: the border where such errors become ours.
FAILURES: tuple[tuple[type[Exception], type[Refusal], str], ...] = (
    (ConnectTimeout, UpstreamTimeout, "it took too long to accept a connection"),
    (ReadTimeout, UpstreamTimeout, "it sent nothing for too long"),
    (TimeoutError, UpstreamTimeout, "it took too long"),
    (socket.gaierror, UpstreamUnreachable, "its name is not known"),
    (ssl.SSLError, UpstreamUnreachable, "no secure connection could be made"),
    (NoProxy, UpstreamUnreachable, "the proxy that the environment names does not lead to it"),
    (NoConnection, UpstreamUnreachable, "the connection was refused"),
    (CutOff, UpstreamFailed, "its answer was cut off"),
    (Closed, UpstreamFailed, "it closed the connection"),
    (NotHttp, UpstreamFailed, "its answer is not HTTP"),
    (Undecodable, UpstreamFailed, "its answer is not coded as it says"),
    (ValueError, UpstreamFailed, "the call could not be sent"),
    (OSError, UpstreamFailed, "the connection broke"),
)
_CAUGHT = tuple(foreign for foreign, *_ in FAILURES)


class HttpUpstream:
    """One upstream and its connections. `hop` names this server, so that a loop is noticed.

    With `reuse` unset each call has a connection of its own. That nobody is there is logged unless
    `expected`.
    """

    def __init__(
        self, setting: UpstreamSetting, hop: str, *, reuse: bool = True, expected: bool = False
    ) -> None:
        self.name = setting.name
        self._setting = setting
        self._log_level = logging.DEBUG if expected else logging.INFO
        self._connections = Connections(setting.base_url, setting.connect_timeout_s, reuse=reuse)
        self._heads = Heads(setting, hop, self._connections)

    def post(
        self, path: str, body: bytes, headers: Mapping[bytes, bytes]
    ) -> Coroutine[Any, Any, UpstreamAnswer]:
        return self._call("POST", path, body, headers)

    def get(self, path: str) -> Coroutine[Any, Any, UpstreamAnswer]:
        return self._call("GET", path, b"", {})

    async def aclose(self) -> None:
        await self._connections.aclose()

    async def _call(
        self, method: str, path: str, body: bytes, headers: Mapping[bytes, bytes]
    ) -> UpstreamAnswer:
        setting = self._setting
        loop = asyncio.get_running_loop()
        try:
            exchange = await self._connections.ask(
                self._heads.head(method, path, len(body), headers),
                body,
                # Else a head that never ends, or 1xx after 1xx, would go on for ever.
                deadline=loop.time() + setting.connect_timeout_s + setting.timeout_s,
                read_timeout_s=setting.timeout_s,
                repeatable=method == "GET",
            )
        except _CAUGHT as error:
            raise mapped(error, self.name, self._log_level) from _without_frames(error)
        if not _MIN_STATUS <= exchange.status <= _MAX_STATUS:
            exchange.close()
            raise UpstreamFailed(upstream=self.name, detail=f"its status is {exchange.status}")
        exchange.until(loop.time() + setting.answer_timeout_s)
        return HttpAnswer(exchange, self.name)


class HttpAnswer:
    """An answer whose body is still on its way."""

    def __init__(self, exchange: Exchange, upstream: str) -> None:
        self.status = exchange.status
        self._exchange = exchange
        self._upstream = upstream
        self.headers: Headers = exchange.headers
        self._decoder = decoder(get(self.headers, b"content-encoding"))
        if self._decoder is not None:
            self.headers = without(self.headers, _OF_CODING)

    async def read(self) -> bytes:
        try:
            if self._decoder is not None:
                return await self._decoded(self._decoder)
            # Without an await for what is there already: each chunk of a stream comes by here.
            while (data := self._exchange.read_nowait()) is None:
                await self._exchange.news()
            return data
        except _CAUGHT as error:
            raise mapped(error, self._upstream) from _without_frames(error)

    def arrived(self) -> bytes:
        return self._exchange.arrived() if self._decoder is None else b""

    def close(self) -> None:
        self._exchange.close()

    async def _decoded(self, inflater: Inflater) -> bytes:
        while True:
            data = b"" if inflater.waiting() else await self._exchange.read()
            if not data and not inflater.waiting():
                inflater.end()
                return b""
            if decoded := inflater.decode(data):
                return decoded


def mapped(error: Exception, upstream: str, log_level: int = logging.INFO) -> Refusal:
    """Our error for another one. Its own words may quote what was sent, or tell addresses."""
    told = {"upstream": upstream, "error": type(error).__name__}
    _log.log(log_level, "an upstream failed", extra=told)
    ours, detail = next(
        (ours, detail) for foreign, ours, detail in FAILURES if isinstance(error, foreign)
    )
    return ours(upstream=upstream, detail=detail)


def _without_frames(error: Exception) -> Exception:
    # The exchange remembers the error, whose frames would hold it and the whole call in a circle.
    return error.with_traceback(None)
