"""The connections to upstreams: when they are used again, and ways through proxies and TLS."""

import asyncio
import contextlib
import math
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.calls import named
from support.data import DATA
from support.provider import Peer, Plain, Provider, Raw, Refuse, Stream, nobody
from support.refusals import create

from chatkeep.core.proxy.call import read_whole
from chatkeep.errors import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from chatkeep.upstream.http.client import HttpUpstream
from chatkeep.upstream.http.connections import Connections

pytestmark = pytest.mark.usefixtures("nothing_left_open")

TLS = DATA / "tls"
FAR = "http://upstream.test/v1"
FAR_TLS = "https://upstream.test/v1"
OK = Plain(b'{"id":"x","choices":[]}')
LARGE = 8 << 20
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NO_PROXY = "the proxy that the environment names does not lead to it"


@asynccontextmanager
async def before(url: str, **setting: Any) -> AsyncIterator[HttpUpstream]:
    upstream = HttpUpstream(named("a", url, **setting), "test-instance")
    try:
        yield upstream
    finally:
        await upstream.aclose()


async def answer_of(upstream: HttpUpstream, body: bytes = create()) -> tuple[int, bytes]:
    answer = await upstream.post("/chat/completions", body, {})
    return answer.status, (await read_whole(answer, 1 << 26))[0]


def connections(provider: Provider) -> list[int]:
    return [request.connection for request in provider.requests]


@dataclass
class Closing:
    """Answers, and closes the connection once another request is on its way."""

    async def play(self, peer: Peer) -> None:
        await OK.play(peer)
        await peer.reader.readexactly(1)
        peer.close()


@asynccontextmanager
async def serving(handle: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The host and port of a server that does this with each connection."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_call_is_not_sent_twice_when_the_connection_is_closed_on_it(
    provider: Provider,
) -> None:
    provider.answer(Closing())
    async with before(provider.url) as upstream:
        await answer_of(upstream)
        with pytest.raises(UpstreamFailed, match="it closed the connection"):
            await answer_of(upstream)
        assert (await answer_of(upstream))[0] == 200
    assert connections(provider) == [1, 2]


async def test_what_changes_nothing_is_asked_again_when_the_connection_is_closed_on_it(
    provider: Provider,
) -> None:
    provider.answer(Closing())
    async with before(provider.url) as upstream:
        await answer_of(upstream)
        answer = await upstream.get("/models")
        assert b'"object": "list"' in (await read_whole(answer, 1 << 20))[0]
    assert connections(provider) == [1, 2]


async def test_a_connection_that_was_closed_after_its_answer_is_not_used_again(
    provider: Provider,
) -> None:
    provider.answer(Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"))
    async with before(provider.url) as upstream, before(provider.url) as another:
        assert await answer_of(upstream) == (200, b"{}")
        await answer_of(another)  # by then the end of the first has come
        assert (await answer_of(upstream))[0] == 200
    assert connections(provider) == [1, 2, 3]


async def test_a_new_connection_that_is_closed_is_not_tried_again(provider: Provider) -> None:
    provider.always(Refuse())
    async with before(provider.url) as upstream:
        with pytest.raises(UpstreamFailed):
            await upstream.get("/models")
    assert connections(provider) == [1]


async def test_a_connection_nobody_uses_is_closed() -> None:
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        ended.set()

    async with serving(answer) as there:
        kept = Connections(f"http://{there}", 10, kept_s=0.01)
        head = kept.first_lines("GET", "/") + b"\r\n"
        exchange = await kept.ask(head, b"", math.inf, math.inf, repeatable=False)
        assert (exchange.status, await exchange.read()) == (204, b"")
        await ended.wait()
        await kept.aclose()


@pytest.mark.parametrize("value", ["a\r\nx-more: 1", "a\nb", "a\rb", "a\0b", "a\r\n\r\nGET / "])
async def test_a_header_cannot_become_two(provider: Provider, value: str) -> None:
    for setting in ({"headers": {"x-own": value}}, {"key": value}):
        async with before(provider.url, **setting) as upstream:
            with pytest.raises(UpstreamFailed, match="the call could not be sent"):
                await answer_of(upstream)
    assert provider.requests == []


async def test_headers_go_up_as_the_bytes_they_came_as_and_configured_ones_in_utf8(
    provider: Provider,
) -> None:
    async with before(provider.url, headers={"x-own": "\u4e2d"}) as upstream:
        await upstream.post("/chat/completions", create(), {b"x-callers": b"\xe9"})
    head = provider.requests[0].head
    assert b"x-callers: \xe9\r\n" in head
    assert "x-own: \u4e2d\r\n".encode() in head


async def test_a_large_request_goes_up_whole(provider: Provider) -> None:
    body = bytes(range(256)) * (LARGE // 256)
    provider.always(OK)
    async with before(provider.url) as upstream:
        for _ in range(2):
            assert (await answer_of(upstream, body))[0] == 200
    assert [request.body == body for request in provider.requests] == [True, True]
    assert connections(provider) == [1, 1]


async def test_an_answer_that_comes_before_all_was_sent_is_the_answer() -> None:
    ended = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass
        writer.close()
        ended.set()

    async with serving(refuse) as there, before(f"http://{there}/v1") as upstream:
        assert await answer_of(upstream, bytes(LARGE)) == (413, b"no")
        await ended.wait()


async def test_an_upstream_that_does_not_take_a_request_is_given_up() -> None:
    given_up, ended = asyncio.Event(), asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await given_up.wait()
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass
        writer.close()
        ended.set()

    hasty = {"timeout_s": 0.2, "connect_timeout_s": 0.2}
    async with serving(stall) as there, before(f"http://{there}/v1", **hasty) as upstream:
        with pytest.raises(UpstreamTimeout):
            await answer_of(upstream, bytes(LARGE))
        given_up.set()
        await ended.wait()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One without proxies."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def proxy_at(url: str, user: str = "") -> str:
    return f"http://{user}{urlsplit(url).netloc}"


async def test_calls_go_by_the_proxy_the_environment_names(
    provider: Provider, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("http_proxy", proxy_at(provider.url, "me:se%20cret@"))
    provider.always(OK)
    async with before(FAR, key="k") as upstream:
        assert await answer_of(upstream) == (200, OK.body)
        assert await answer_of(upstream) == (200, OK.body)
    request = provider.requests[1]
    assert request.target == "http://upstream.test/v1/chat/completions"
    assert request.header("host") == "upstream.test"
    assert request.header("authorization") == "Bearer k"
    wanted = b64encode(b"me:se cret").decode()
    assert request.header("proxy-authorization") == f"Basic {wanted}"
    assert connections(provider) == [1, 1]


@pytest.mark.parametrize("excepted", ["127.0.0.2", "10.0.0.1, 127.0.0.2", "*"])
async def test_an_excepted_upstream_is_called_directly(
    provider: Provider, environment: pytest.MonkeyPatch, excepted: str
) -> None:
    environment.setenv("http_proxy", proxy_at(provider.url))
    environment.setenv("no_proxy", excepted)
    with nobody() as nowhere:
        async with before(nowhere.replace("127.0.0.1", "127.0.0.2")) as upstream:
            with pytest.raises(UpstreamUnreachable, match="the connection was refused"):
                await answer_of(upstream)
    assert provider.requests == []


async def test_this_machine_is_called_directly(
    provider: Provider, environment: pytest.MonkeyPatch
) -> None:
    with nobody() as nowhere:
        environment.setenv("http_proxy", proxy_at(nowhere))
        async with before(provider.url) as upstream:
            assert (await answer_of(upstream, create()))[0] == 200


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://"])
async def test_a_proxy_that_is_not_spoken_to_is_an_unreachable_upstream(
    environment: pytest.MonkeyPatch, proxy: str
) -> None:
    environment.setenv("http_proxy", proxy)
    async with before(FAR) as upstream:
        with pytest.raises(UpstreamUnreachable, match=NO_PROXY):
            await answer_of(upstream)


@dataclass
class Tunnel:
    """A proxy that leads every CONNECT to one place, or answers with something else."""

    there: str
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    asked: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        host, _, port = self.there.rpartition(":")
        onward, back = await asyncio.open_connection(host, port)
        writer.write(self.answer)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_copied(reader, back), _copied(onward, writer))


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@pytest.fixture
async def secure(anyio_backend: object) -> AsyncIterator[Provider]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(TLS / "server.pem")
    async with Provider(tls) as provider:
        yield provider


@pytest.fixture
def trusting(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which the tests' own authority is trusted."""
    environment.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    return environment


async def test_an_upstream_nobody_vouches_for_is_not_called(
    secure: Provider, environment: pytest.MonkeyPatch
) -> None:
    async with before(secure.url) as upstream:
        with pytest.raises(UpstreamUnreachable, match="no secure connection could be made"):
            await answer_of(upstream)
    assert secure.requests == []


async def test_an_upstream_vouched_for_under_another_name_is_not_called(
    secure: Provider, trusting: pytest.MonkeyPatch
) -> None:
    tunnel = Tunnel(urlsplit(secure.url).netloc)
    async with serving(tunnel.handle) as proxy:
        trusting.setenv("https_proxy", f"http://{proxy}")
        async with before("https://other.test/v1") as upstream:
            with pytest.raises(UpstreamUnreachable, match="no secure connection could be made"):
                await answer_of(upstream)
    assert secure.requests == []


@pytest.mark.usefixtures("trusting")
async def test_an_upstream_of_an_own_authority_is_called_over_tls(secure: Provider) -> None:
    body = bytes(range(256)) * (LARGE // 256)
    secure.always(OK)
    async with before(secure.url) as upstream:
        assert (await answer_of(upstream))[0] == 200
        assert await answer_of(upstream, body) == (200, OK.body)
    assert secure.requests[1].body == body
    assert connections(secure) == [1, 1]


@pytest.mark.usefixtures("trusting")
async def test_a_stream_over_tls_comes_as_it_is_written(secure: Provider) -> None:
    events = [b"data: %d\n\n" % number for number in range(3)]
    stream = secure.answer(Stream(events, stepped=True))
    async with before(secure.url) as upstream:
        answer = await upstream.post("/chat/completions", b"{}", {})
        for event in events:
            stream.step()
            assert await answer.read() == event
        answer.close()
    await stream.ended.wait()


async def test_tls_goes_through_a_proxy_to_the_upstream_itself(
    secure: Provider, trusting: pytest.MonkeyPatch
) -> None:
    tunnel = Tunnel(urlsplit(secure.url).netloc)
    secure.always(OK)
    async with serving(tunnel.handle) as proxy:
        trusting.setenv("https_proxy", f"http://me:secret@{proxy}")
        async with before(FAR_TLS, key="k") as upstream:
            assert (await answer_of(upstream))[0] == 200
            assert (await answer_of(upstream))[0] == 200
    (asked,) = tunnel.asked
    assert asked.startswith(b"CONNECT upstream.test:443 HTTP/1.1\r\nhost: upstream.test:443\r\n")
    assert b"proxy-authorization: Basic %b\r\n" % b64encode(b"me:secret") in asked
    request = secure.requests[0]
    assert (request.target, request.header("host")) == ("/v1/chat/completions", "upstream.test")
    assert (request.header("proxy-authorization"), request.header("authorization")) == (
        None,
        "Bearer k",
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000,
    ],
    ids=["407", "502", "nonsense", "endless"],
)
async def test_a_proxy_that_does_not_let_through_is_an_unreachable_upstream(
    secure: Provider, trusting: pytest.MonkeyPatch, answer: bytes
) -> None:
    tunnel = Tunnel(urlsplit(secure.url).netloc, answer)
    async with serving(tunnel.handle) as proxy:
        trusting.setenv("https_proxy", f"http://{proxy}")
        async with before(FAR_TLS) as upstream:
            with pytest.raises(UpstreamUnreachable, match=NO_PROXY):
                await answer_of(upstream)
    assert secure.requests == []
