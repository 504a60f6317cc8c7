"""An OpenAI-compatible endpoint over HTTP, through aiohttp."""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from chatkeep.core.headers import CALLERS_KEY, HOP
from chatkeep.core.ports import Headers, UpstreamAnswer
from chatkeep.errors import Refusal, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from chatkeep.settings import UpstreamSetting

_AGENT = "chatkeep"
# Decoded already, so neither the coding nor the length of the coded bytes holds any more.
_OF_CODING = frozenset({"content-encoding", "content-length"})

# What aiohttp raises, the first that fits: the border where its errors become ours.
FAILURES: tuple[tuple[type[Exception], type[Refusal]], ...] = (
    (aiohttp.ServerTimeoutError, UpstreamTimeout),
    (asyncio.TimeoutError, UpstreamTimeout),
    (aiohttp.ClientConnectorError, UpstreamUnreachable),
    (aiohttp.ClientProxyConnectionError, UpstreamUnreachable),
    (aiohttp.InvalidURL, UpstreamUnreachable),
    (aiohttp.ClientError, UpstreamFailed),
    (OSError, UpstreamFailed),
)
_CAUGHT = tuple(foreign for foreign, _ in FAILURES)


class HttpUpstream:
    """One upstream and its connections. `hop` names this server, so that a loop is noticed."""

    def __init__(self, setting: UpstreamSetting, hop: str) -> None:
        self.name = setting.name
        self._setting = setting
        self._hop = hop
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
        try:
            response = await self._session().request(
                method,
                self._url(path),
                data=body,
                headers=self._headers(headers),
                allow_redirects=False,
                proxy=self._proxy,
            )
        except _CAUGHT as error:
            raise mapped(error, self.name) from error
        return HttpAnswer(response, self.name)

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = URL(self._setting.base_url + path, encoded=True).update_query(self._setting.query)
            self._urls[path] = url
        return url

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        setting = self._setting
        headers = {name: value for name, value in given.items() if name != CALLERS_KEY}
        headers.update(setting.headers)
        headers["accept-encoding"] = "identity"
        headers[HOP] = self._hop
        key = given.get(CALLERS_KEY) if setting.pass_key else None
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
            )
        return self._opened


class HttpAnswer:
    """An answer whose body is still on its way."""

    def __init__(self, response: aiohttp.ClientResponse, upstream: str) -> None:
        self.status = response.status
        self.headers = _end_to_end(response)
        self._response = response
        self._upstream = upstream

    async def read(self) -> bytes:
        try:
            return await self._response.content.readany()
        except _CAUGHT as error:
            raise mapped(error, self._upstream) from error

    def close(self) -> None:
        self._response.close()


def mapped(error: Exception, upstream: str) -> Refusal:
    """Our error for one of aiohttp's."""
    detail = str(error) or type(error).__name__
    for foreign, ours in FAILURES:
        if isinstance(error, foreign):
            return ours(upstream=upstream, detail=detail)
    return UpstreamFailed(upstream=upstream, detail=detail)


def _proxy(base_url: str) -> str | None:
    """The proxy that the environment names for this address.

    Asked once: aiohttp's own `trust_env` looks it up for each call, and reads .netrc as well.
    """
    parts = urlsplit(base_url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


def _end_to_end(response: aiohttp.ClientResponse) -> Headers:
    dropped = _OF_CODING if "content-encoding" in response.headers else frozenset()
    named = (
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in response.raw_headers
    )
    return [(name, value) for name, value in named if name not in dropped]
