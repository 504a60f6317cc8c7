"""An OpenAI-compatible endpoint over HTTP, through aiohttp."""

import asyncio
import io
import logging
import re
import weakref
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from chatkeep.core.headers import CALLERS_KEY, HOP
from chatkeep.core.keys import PREFIX
from chatkeep.core.ports import Headers, UpstreamAnswer
from chatkeep.errors import Refusal, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from chatkeep.settings import UpstreamSetting
from chatkeep.upstream.coding import Inflater, Undecodable, decoder

_AGENT = "chatkeep"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_IN_ONE_PIECE = 1 << 19
_log = logging.getLogger("chatkeep")
# Decoded already, so neither the coding nor the length of the coded bytes holds any more.
_OF_CODING = frozenset({"content-encoding", "content-length"})

_MIN_STATUS, _MAX_STATUS = 200, 599
# A caller's chatkeep key, cookies and word of other proxies are not for an upstream, even when a
# header of that name is configured to be passed on.
_NEVER_UP = frozenset({CALLERS_KEY, HOP, "authorization", "cookie", "host", "content-length"})

# What aiohttp raises, the first that fits: the border where its errors become ours.
FAILURES: tuple[tuple[type[Exception], type[Refusal], str], ...] = (
    (aiohttp.ConnectionTimeoutError, UpstreamTimeout, "it took too long to accept a connection"),
    (aiohttp.ServerTimeoutError, UpstreamTimeout, "it sent nothing for too long"),
    (TimeoutError, UpstreamTimeout, "it took too long"),
    (aiohttp.ClientConnectorDNSError, UpstreamUnreachable, "its name is not known"),
    (aiohttp.ClientSSLError, UpstreamUnreachable, "no secure connection could be made"),
    (aiohttp.ClientConnectorError, UpstreamUnreachable, "the connection was refused"),
    (aiohttp.InvalidURL, UpstreamUnreachable, "its address is none"),
    (aiohttp.ClientPayloadError, UpstreamFailed, "its answer was cut off"),
    (aiohttp.ServerDisconnectedError, UpstreamFailed, "it closed the connection"),
    (aiohttp.ClientResponseError, UpstreamFailed, "its answer is not HTTP"),
    (aiohttp.ClientError, UpstreamFailed, "the connection broke"),
    (Undecodable, UpstreamFailed, "its answer is not coded as it says"),
    (ValueError, UpstreamFailed, "the call could not be sent"),
    (OSError, UpstreamFailed, "the connection broke"),
)
_CAUGHT = tuple(foreign for foreign, *_ in FAILURES)


class HttpUpstream:
    """One upstream and its connections. `hop` names this server, so that a loop is noticed."""

    def __init__(self, setting: UpstreamSetting, hop: str) -> None:
        self.name = setting.name
        self._setting = setting
        self._hop = hop
        self._own = {name.lower(): value for name, value in setting.headers.items()}
        self._urls: dict[str, URL] = {}
        self._proxy = _proxy(setting.base_url)
        self._opened: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> UpstreamAnswer:
        return await self._call("POST", path, body, headers)

    async def get(self, path: str) -> UpstreamAnswer:
        return await self._call("GET", path, None, {})

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def _call(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> UpstreamAnswer:
        setting = self._setting
        try:
            # Else a head that never ends, or 1xx after 1xx, would go on for ever.
            async with asyncio.timeout(setting.connect_timeout_s + setting.timeout_s):
                response = await self._session().request(
                    method,
                    self._url(path),
                    data=_sendable(body),
                    headers=self._headers(headers),
                    allow_redirects=False,
                    proxy=self._proxy,
                )
        except _CAUGHT as error:
            raise mapped(error, self.name) from error
        if not _MIN_STATUS <= response.status <= _MAX_STATUS:
            response.close()
            raise UpstreamFailed(upstream=self.name, detail=f"its status is {response.status}")
        return HttpAnswer(response, self.name, setting.answer_timeout_s)

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = URL(self._setting.base_url + path, encoded=True).update_query(self._setting.query)
            self._urls[path] = url
        return url

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        setting = self._setting
        headers = {name: value for name, value in given.items() if name not in _NEVER_UP}
        headers.update(self._own)
        headers["accept-encoding"] = "identity"
        headers[HOP] = f"{given[HOP]}, {self._hop}" if HOP in given else self._hop
        key = _callers_key(given) if setting.pass_key else None
        key = key or setting.key
        if key is not None:
            bearer = setting.auth_header.lower() == "authorization"
            headers[setting.auth_header] = f"Bearer {key}" if bearer else key
        return headers

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=self._setting.connect_timeout_s,
                    sock_read=self._setting.timeout_s,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": _AGENT},
                skip_auto_headers=("accept", "content-type"),
                auto_decompress=False,  # ours is bounded, and notices a body cut off
            )
        return self._opened


class HttpAnswer:
    """An answer whose body is still on its way."""

    def __init__(self, response: aiohttp.ClientResponse, upstream: str, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(timeout_s, _give_up, weakref.ref(response))
        self.status = response.status
        self._closed = False
        self._response = response
        self._upstream = upstream
        self._decoder = decoder(response.headers.get("content-encoding", ""))
        self.headers = _headers(response, coded=self._decoder is not None)

    async def read(self) -> bytes:
        try:
            read = self._any() if self._decoder is None else self._decoded(self._decoder)
            data = await read
        except _CAUGHT as error:
            self._deadline.cancel()
            # Of closed answers aiohttp raises one and the same exception each time: it would gather
            # the frames of all of them, and what these hold, for ever.
            raise mapped(error, self._upstream) from error.with_traceback(None)
        if not data:
            self._deadline.cancel()
        return data

    def close(self) -> None:
        self._deadline.cancel()
        self._closed = True
        self._response.close()

    async def _any(self) -> bytes:
        content = self._response.content
        if content.exception() is not None and content._buffer and not self._closed:
            # aiohttp raises before it hands out what had arrived: an upstream's last words.
            return content._read_nowait(-1)
        return await content.readany()

    async def _decoded(self, inflater: Inflater) -> bytes:
        while True:
            data = b"" if inflater.waiting() else await self._any()
            if not data and not inflater.waiting():
                inflater.end()
                return b""
            if decoded := inflater.decode(data):
                return decoded


def _give_up(answering: weakref.ref[aiohttp.ClientResponse]) -> None:
    response = answering()
    if response is not None:
        response.content.set_exception(TimeoutError())
        response.close()


def mapped(error: Exception, upstream: str) -> Refusal:
    """Our error for one of aiohttp's. Its own words may quote what was sent, or tell addresses."""
    _log.info("an upstream failed", extra={"upstream": upstream, "error": type(error).__name__})
    ours, detail = next(
        (ours, detail) for foreign, ours, detail in FAILURES if isinstance(error, foreign)
    )
    return ours(upstream=upstream, detail=detail)


def _sendable(body: bytes | None) -> bytes | io.BytesIO | None:
    # A large one goes piece by piece, so that other calls go on meanwhile.
    return io.BytesIO(body) if body is not None and len(body) > _IN_ONE_PIECE else body


def _callers_key(given: Mapping[str, str]) -> str | None:
    key = given.get(CALLERS_KEY, "")
    return None if key.startswith(PREFIX) else key or None


def _proxy(base_url: str) -> str | None:
    """The proxy that the environment names for this address.

    Asked once: aiohttp's own `trust_env` looks it up for each call, and reads .netrc as well.
    """
    parts = urlsplit(base_url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


def _headers(response: aiohttp.ClientResponse, *, coded: bool) -> Headers:
    """As they came, names in lower case; without those that spoke of the coded bytes."""
    named = [
        (name.decode("latin-1").lower(), _clean(value.decode("latin-1")))
        for name, value in response.raw_headers
    ]
    return [entry for entry in named if entry[0] not in _OF_CODING] if coded else named


def _clean(value: str) -> str:
    # aiohttp takes them in; a server may not send them on.
    return value if value.isprintable() else _CONTROL.sub("", value)
