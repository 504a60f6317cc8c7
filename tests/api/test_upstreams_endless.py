"""Upstreams that never come to an end: given up in time, and nothing of them counts as whole."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from support import chatkeep_server
from support.calls import called
from support.chatkeep_server import Chatkeep
from support.provider import Peer, Provider, Raw
from support.rawhttp import PATH, asked, connected, get, post
from support.refusals import Refusal, assert_refusal, create

pytestmark = pytest.mark.usefixtures("nothing_left_open")

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
LATE = Refusal(
    "UpstreamTimeout",
    "The upstream 'provider' did not answer in time: it took too long.",
)
STORE = pytest.mark.parametrize("store", [False, True], ids=["not stored", "stored"])
ENOUGH = 1 << 20


@dataclass
class Drip:
    """A start, and then the same bytes for ever, a little at a time."""

    start: bytes
    piece: bytes
    ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def play(self, peer: Peer) -> None:
        try:
            await peer.send(self.start)
            while True:
                await peer.send(self.piece)
                await peer.unless_gone(asyncio.sleep(0.02))
        finally:
            self.ended.set()


@dataclass
class Flood:
    """The same as fast as it is taken."""

    start: bytes
    piece: bytes
    sent: int = field(default=0, init=False)
    ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def play(self, peer: Peer) -> None:
        try:
            await peer.send(self.start)
            while True:
                await peer.send(self.piece)
                await asyncio.sleep(0)
                self.sent += len(self.piece)
        finally:
            self.ended.set()


@pytest.fixture
async def hasty(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    """A server that gives its upstream little time."""
    upstream = {"timeout_s": 0.2, "connect_timeout_s": 0.1, "answer_timeout_s": 0.5}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=upstream) as one:
        yield one


@pytest.mark.parametrize(
    "answer",
    [
        Drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        Drip(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        Flood(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100),
        Drip(b"HTTP/1.1 2", b"0"),
        Drip(OK, b"x: y\r\n"),
    ],
    ids=["continue", "hints", "fast", "status", "headers"],
)
async def test_a_head_that_never_ends_is_a_timeout(
    hasty: Chatkeep, provider: Provider, answer: Drip | Flood
) -> None:
    provider.answer(answer)
    reply = await called(hasty, store=True)
    assert reply.head.status in (502, 504)
    if reply.head.status == 504:
        assert_refusal(reply, LATE)
    await answer.ended.wait()
    assert (await asked(hasty.url, get("/healthz", None))).head.status == 200


@pytest.mark.parametrize(
    "answer",
    [
        Drip(OK + b"content-length: 1000\r\n\r\n", b"{"),
        Drip(OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
        Drip(OK + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1;", b"x"),
        Drip(OK + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n", b"x: y\r\n"),
        Drip(OK + b"content-encoding: gzip\r\n\r\n\x1f\x8b\x08\x10\0\0\0\0\0\0", b"x"),
    ],
    ids=["length", "chunks", "extension", "trailers", "gzip"],
)
@STORE
async def test_a_body_that_never_ends_is_no_answer(
    hasty: Chatkeep, provider: Provider, answer: Drip, store: bool
) -> None:
    answer = provider.answer(replace(answer))
    reply = await called(hasty, store=store)
    assert not reply.complete or reply.head.status in (502, 504)
    await answer.ended.wait()
    assert b'"data":[]' in (await asked(hasty.url, get(PATH, hasty.key))).body


@STORE
async def test_a_stream_that_never_ends_is_broken_off(
    provider: Provider, tmp_path: Path, store: bool
) -> None:
    drip = Drip(STREAM, b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
    provider.answer(drip)
    upstream = {"answer_timeout_s": 0.5}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=upstream) as chatkeep:
        reply = await called(chatkeep, stream=True, store=store)
        assert (reply.head.status, reply.complete) == (200, False)
        assert b"[DONE]" not in reply.body
        await drip.ended.wait()
        kept = (await asked(chatkeep.url, get(PATH, chatkeep.key))).body
        assert (b'"finish_reason":null' in kept) == store


@pytest.mark.parametrize(
    "flood",
    [
        Flood(STREAM, b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        Flood(STREAM + b"6\r\ndata: \r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        Flood(STREAM, b"%x\r\n%b\r\n" % (len(EVENT * 900), EVENT * 900)),
    ],
    ids=["a line", "an event", "events"],
)
async def test_of_an_endless_stream_no_more_is_held_than_may_be_stored(
    provider: Provider, tmp_path: Path, flood: Flood
) -> None:
    provider.answer(flood)
    small = chatkeep_server.chatkeep(tmp_path, provider.url, max_answer_bytes=ENOUGH)
    async with small as chatkeep, connected(chatkeep.url, limit=1 << 16) as wire:
        wire.send(post(PATH, create(stream=True, store=True), chatkeep.key))
        await wire.head()
        taken = 0
        while taken < 8 * ENOUGH:
            taken += len(await wire.piece())
        # What the client does not take, the upstream may not send: only buffers lie between.
        assert (await asked(chatkeep.url, get("/healthz", None))).head.status == 200
        wire.leave()
        await flood.ended.wait()
        assert flood.sent < taken + 16 * ENOUGH
        assert b'"data":[]' in (await asked(chatkeep.url, get(PATH, chatkeep.key))).body


@pytest.mark.parametrize("value", ["a\x01b", "a\x7fb", "a\x0bb", "\x1b[31m"])
async def test_control_characters_in_an_upstreams_headers_do_not_pass(
    chatkeep: Chatkeep, provider: Provider, value: str
) -> None:
    body = b'{"id":"x","choices":[]}'
    head = f"x-odd: {value}\r\ncontent-length: {len(body)}\r\n\r\n".encode("latin-1")
    provider.answer(Raw(OK + head + body))
    reply = await called(chatkeep, store=True)
    assert (reply.head.status, reply.head["x-chatkeep-stored"]) == (200, "yes")
    assert reply.head["x-odd"] == "".join(filter(str.isprintable, value))
