"""Requests that are no good HTTP: refused in the envelope, and the server serves on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import chatkeep_server
from support.chatkeep_server import KEY, Chatkeep
from support.provider import Provider, Stream
from support.rawhttp import PATH, Wire, chunked, connected, get, head_of, post
from support.refusals import Refusal, assert_refusal, create

from chatkeep.web.server import protocol

CHUNKED = {"transfer-encoding": "chunked"}
START = head_of("POST", PATH, KEY, {})[:-2]
NOT_HTTP = Refusal("MalformedRequest", "The request could not be read: it is not valid HTTP.")
TOO_LARGE = Refusal(
    "HeadTooLarge",
    "The request's URL and headers are more than the 65536 bytes or 200 headers this server"
    " accepts.",
)
LATE = Refusal("RequestTimeout", "The request did not arrive within 0.3 seconds.")
FULL = Refusal("TooManyConnections", "The server has as many connections as it accepts. Try again.")
HEALTHY = b'{"status":"ok"}'


def malformed(why: str) -> Refusal:
    return Refusal("MalformedRequest", f"The request could not be read: {why}.")


async def assert_refused_and_closed(url: str, sent: bytes, wanted: Refusal) -> None:
    async with connected(url) as wire:
        wire.send(sent)
        assert_refusal(await wire.reply(), wanted)
        assert await wire.closed()
    await assert_serves(url)


async def assert_serves(url: str) -> None:
    async with connected(url) as wire:
        wire.send(get("/healthz", None))
        assert (await wire.reply()).body == HEALTHY


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"get / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"MAKE / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET http://a HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.9\r\nhost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
        b"GET / HTTP/1.1\nhost: a\n\n",
        START + b"x\r\n\r\n",
        START + b": a\r\n\r\n",
        START + b"x y: a\r\n\r\n",
        START + b"x : a\r\n\r\n",
        START + b"x: a\r\n b\r\n\r\n",
        START + b"x: a\ny: b\r\n\r\n",
        START + b"x: a\rb\r\n\r\n",
        START + b"x: a\0b\r\n\r\n",
        START + b"content-length: many\r\n\r\n",
        START + b"content-length: -1\r\n\r\n",
        START + b"content-length: +2\r\n\r\n{}",
        START + b"content-length: 0x2\r\n\r\n{}",
        START + b"content-length: 2, 2\r\n\r\n{}",
        START + b"content-length: 99999999999999999999\r\n\r\n{}",
        START + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
        START + b"content-length: 2\r\ncontent-length: 20\r\n\r\n{}",
        START + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        START + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        START + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        START + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        START + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        START + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=lambda sent: sent.removeprefix(START)[:60],
)
async def test_a_head_that_could_be_read_in_two_ways_is_not_read(
    chatkeep: Chatkeep, provider: Provider, sent: bytes
) -> None:
    await assert_refused_and_closed(chatkeep.url, sent, NOT_HTTP)
    assert provider.requests == []


@pytest.mark.parametrize(
    "framing",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"2 \r\n{}\r\n0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"2;a\n{}\r\n0\r\n\r\n",
        b"2\r\n{}}\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"2\r\n{}\r\n0\r\ncontent-length: 5\r\n\r\n",
        b"2\r\n{}\r\n0\r\nx y: z\r\n\r\n",
    ],
)
async def test_chunks_that_cannot_be_told_apart_are_the_clients_fault(
    chatkeep: Chatkeep, provider: Provider, framing: bytes
) -> None:
    head = head_of("POST", PATH, chatkeep.key, CHUNKED)
    await assert_refused_and_closed(chatkeep.url, head + framing, NOT_HTTP)
    assert provider.requests == []


TRANSFER_CODING = malformed("its Transfer-Encoding is not supported")
ONE_HOST = malformed("it must have one Host header")


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (START + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", TRANSFER_CODING),
        (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", TRANSFER_CODING),
        (b"GET / HTTP/1.1\r\n\r\n", ONE_HOST),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", ONE_HOST),
        (b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", malformed("this server is no proxy")),
        (b"GET /\r\n\r\n", malformed("HTTP 0.9 is not spoken here")),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", malformed("HTTP 2.0 is not spoken here")),
    ],
    ids=["coded chunks", "chunks in 1.0", "no host", "two hosts", "tunnel", "0.9", "2.0"],
)
async def test_what_another_server_would_read_otherwise_is_refused(
    chatkeep: Chatkeep, sent: bytes, wanted: Refusal
) -> None:
    await assert_refused_and_closed(chatkeep.url, sent, wanted)


@pytest.mark.parametrize(
    "sent",
    [
        START + b"x: " + b"y" * 1_000_000,
        START + b"x: " + b"y" * 70_000 + b"\r\n\r\n",
        START + b"a:\r\n" * 100_000,
        START + b"x: y\r\n" * 200 + b"\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /?" + b"x" * 1_000_000,
        START + b"transfer-encoding: chunked\r\n\r\n1;" + b"x" * 300_000,
        START + b"transfer-encoding: chunked\r\n\r\n0\r\nx: " + b"y" * 300_000,
        START + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 300,
    ],
    ids=[
        "endless header",
        "long header",
        "endless headers",
        "many headers",
        "long path",
        "endless query",
        "endless chunk extension",
        "endless trailer",
        "many trailers",
    ],
)
async def test_a_head_has_limits(chatkeep: Chatkeep, sent: bytes) -> None:
    await assert_refused_and_closed(chatkeep.url, sent, TOO_LARGE)


@pytest.mark.parametrize("target", ["/healthz?" + "x" * 60_000, "/healthz"])
async def test_a_head_within_its_limits_is_read(chatkeep: Chatkeep, target: str) -> None:
    headers = {f"x-{number}": "y" for number in range(150)}
    async with connected(chatkeep.url) as wire:
        wire.send(post("/v1/nowhere", b"x" * 100_000, None) + get(target, None, headers))
        assert (await wire.reply()).head.status == 404
        assert (await wire.reply()).body == HEALTHY


async def test_a_trailer_does_not_pass_for_a_header(chatkeep: Chatkeep, provider: Provider) -> None:
    trailer = b"0\r\nx-chatkeep-store: true\r\nauthorization: Bearer other\r\n\r\n"
    framed = chunked(create()).removesuffix(b"0\r\n\r\n") + trailer
    async with connected(chatkeep.url) as wire:
        # Both at once: the second waits while its trailers have come already.
        wire.send((head_of("POST", PATH, chatkeep.key, CHUNKED) + framed) * 2)
        for _ in range(2):
            reply = await wire.reply()
            assert (reply.head.status, reply.head["x-chatkeep-stored"][:2]) == (200, "no")


async def test_what_follows_an_answered_request_is_refused_after_it(chatkeep: Chatkeep) -> None:
    async with connected(chatkeep.url) as wire:
        wire.send(get("/healthz", None) * 3 + b"nonsense\r\n\r\n" + get("/healthz", None))
        for _ in range(3):
            assert (await wire.reply()).body == HEALTHY
        assert_refusal(await wire.reply(), NOT_HTTP)
        assert await wire.closed()


async def test_requests_sent_ahead_are_answered_in_order(chatkeep: Chatkeep) -> None:
    paths = [f"/v1/nowhere/{number}" for number in range(protocol.MAX_PIPELINED)]
    async with connected(chatkeep.url) as wire:
        wire.send(b"".join(get(path, None) for path in paths))
        for path in paths:
            assert f"(GET {path})".encode() in (await wire.reply()).body


async def test_too_many_requests_sent_ahead_end_the_connection(chatkeep: Chatkeep) -> None:
    async with connected(chatkeep.url) as wire:
        wire.send(get("/healthz", None) * 10_000)
        for _ in range(protocol.MAX_PIPELINED + 1):
            assert (await wire.reply()).body == HEALTHY
        why = "too many requests were sent ahead of their answers"
        assert_refusal(await wire.reply(), malformed(why))
        assert await wire.closed()


async def test_an_upgrade_is_passed_over(chatkeep: Chatkeep, provider: Provider) -> None:
    upgrade = {"connection": "upgrade, http2-settings", "upgrade": "h2c", "http2-settings": "AAM"}
    async with connected(chatkeep.url) as wire:
        wire.send(post(PATH, create(), chatkeep.key, upgrade) + get("/healthz", None, upgrade))
        assert (await wire.reply()).head.status == 200
        assert (await wire.reply()).body == HEALTHY
        wire.send(get("/healthz", None))
        assert (await wire.reply()).body == HEALTHY
    assert [request.body for request in provider.requests] == [create()]


@pytest.fixture
async def hasty(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    """A server that gives its clients little time."""
    async with chatkeep_server.chatkeep(tmp_path, provider.url, client_timeout_s=0.3) as one:
        yield one


@pytest.mark.parametrize(
    "sent",
    [
        b"G",
        START,
        START + b"content-length: 5\r\n\r\n",
        START + b"content-length: 5\r\n\r\n{",
        START + b"transfer-encoding: chunked\r\n\r\n5\r\n{",
    ],
    ids=["method", "head", "no body", "body", "chunk"],
)
async def test_a_request_that_does_not_arrive_is_given_up(hasty: Chatkeep, sent: bytes) -> None:
    await assert_refused_and_closed(hasty.url, sent, LATE)


async def drip(wire: Wire, piece: bytes) -> None:
    while True:
        wire.send(piece)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (START, b"x: y\r\n"),
        (START + b"content-length: 10000\r\n\r\n", b"{"),
        (START + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
        (START + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
    ],
    ids=["headers", "body", "chunks", "trailers"],
)
async def test_sending_a_little_at_a_time_wins_no_time(
    hasty: Chatkeep, start: bytes, piece: bytes
) -> None:
    async with connected(hasty.url) as wire:
        wire.send(start)
        dripping = asyncio.create_task(drip(wire, piece))
        try:
            assert_refusal(await wire.reply(), LATE)
            assert await wire.closed()
        finally:
            dripping.cancel()


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\n\n"], ids=["nothing", "a line", "lines"])
@pytest.mark.parametrize("before", [0, 1])
async def test_a_connection_without_a_request_is_closed(
    hasty: Chatkeep, before: int, sent: bytes
) -> None:
    async with connected(hasty.url) as wire:
        for _ in range(before if sent else 0):  # which earns it the time of a kept connection
            wire.send(get("/healthz", None))
            await wire.reply()
        wire.send(sent)
        assert await wire.closed()


async def test_blank_lines_win_no_time(hasty: Chatkeep) -> None:
    async with connected(hasty.url) as wire:
        dripping = asyncio.create_task(drip(wire, b"\r\n"))
        try:
            assert await wire.closed()
        finally:
            dripping.cancel()


async def test_a_body_nobody_wants_does_not_keep_the_connection(hasty: Chatkeep) -> None:
    async with connected(hasty.url) as wire:
        wire.send(head_of("POST", "/v1/nowhere", None, {"content-length": "99999999"}))
        assert (await wire.reply()).head.status == 404
        dripping = asyncio.create_task(drip(wire, b"x" * 100_000))
        try:
            assert await wire.closed()
        finally:
            dripping.cancel()


async def test_an_answer_that_takes_long_is_no_fault_of_the_client(
    hasty: Chatkeep, provider: Provider
) -> None:
    stream = provider.answer(Stream([b"data: 1\n\n", b"data: [DONE]\n\n"], stepped=True))
    async with connected(hasty.url) as wire:
        wire.send(post(PATH, create(stream=True), hasty.key))
        # A second request ahead, whose body finds no room until the first is answered.
        wire.send(post(PATH, create(user="x" * 1_000_000), hasty.key))
        await wire.head()
        stream.step()
        await wire.until(b"1")
        async with connected(hasty.url) as other:
            assert await other.closed()  # the time has passed
        stream.step()
        await wire.until(b"[DONE]")
        assert await wire.piece() == b""
        assert (await wire.reply()).head.status == 200


async def test_an_answer_nobody_reads_is_given_up(hasty: Chatkeep, provider: Provider) -> None:
    stream = provider.answer(Stream([b"data: %b\n\n" % (b"x" * 100_000)] * 1000))
    async with connected(hasty.url, limit=1000) as wire:
        wire.send(post(PATH, create(stream=True), hasty.key))
        await wire.head()
        await stream.ended.wait()
        assert stream.disconnected_after is not None


async def test_of_too_many_connections_the_last_are_told(
    provider: Provider, tmp_path: Path
) -> None:
    async with (
        chatkeep_server.chatkeep(tmp_path, provider.url, max_connections=2) as chatkeep,
        connected(chatkeep.url) as first,
    ):
        async with connected(chatkeep.url) as second:
            for wire in (first, second):
                wire.send(get("/healthz", None))
                await wire.reply()
            async with connected(chatkeep.url) as third:
                reply = await third.reply()
                assert_refusal(reply, FULL)
                assert reply.head["retry-after"] == "1"
                assert await third.closed()
            first.send(get("/healthz", None))
            assert (await first.reply()).body == HEALTHY
        while await status(chatkeep.url) != 200:  # until its leaving is seen
            pass


async def test_those_turned_away_are_not_too_many_themselves(
    provider: Provider, tmp_path: Path
) -> None:
    async with (
        chatkeep_server.chatkeep(tmp_path, provider.url, max_connections=1) as chatkeep,
        contextlib.AsyncExitStack() as crowd,
        connected(chatkeep.url) as first,
    ):
        wires = [await crowd.enter_async_context(connected(chatkeep.url)) for _ in range(20)]
        assert_refusal(await wires[0].reply(), FULL)
        for wire in wires[1:]:
            with contextlib.suppress(ConnectionError):
                assert await wire.closed()  # without a word
        first.send(get("/healthz", None))
        assert (await first.reply()).body == HEALTHY
        first.leave()
        while await status(chatkeep.url) != 200:
            pass


async def status(url: str) -> int:
    """0 when the connection is closed at once."""
    async with connected(url) as wire:
        wire.send(get("/healthz", None))
        try:
            return (await wire.reply()).head.status
        except (ConnectionError, asyncio.IncompleteReadError):
            return 0
