"""Answers of upstreams that are broken, endless, coded or no JSON at all."""

import gzip
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support import chatkeep_server
from support.calls import called, kept, named
from support.chatkeep_server import Chatkeep
from support.provider import Answer, CutAfter, Peer, Plain, Provider, Raw, Stream
from support.rawhttp import PATH, asked, connected, get, post
from support.refusals import Refusal, assert_refusal, create

from chatkeep.errors import UpstreamFailed
from chatkeep.upstream.http.client import HttpUpstream

pytestmark = pytest.mark.usefixtures("nothing_left_open")

COMPLETION = b'{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}]}\n'
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
HTML = b"<!doctype html>\r\n<title>502</title>\r\n<p>\xff\x00 nginx\r\n"
HTML_TYPE = (("content-type", "text/html"),)
EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
FAILED = Refusal(
    "UpstreamFailed", r"The upstream 'provider' broke off its answer: .+\.", pattern=True
)
STORE = pytest.mark.parametrize("store", [False, True], ids=["not stored", "stored"])


@dataclass
class Flood:
    """The same bytes for ever, from the first byte of the head on, up to `cap` of them."""

    start: bytes
    piece: bytes
    cap: int = 1 << 26
    sent: int = field(default=0, init=False)

    async def play(self, peer: Peer) -> None:
        await peer.send(self.start)
        while self.sent < self.cap:
            await peer.send(self.piece)
            self.sent += len(self.piece)
        peer.close()


def framed(body: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([OK[:-2], *lines, b"content-length: %d" % len(body), b"", body])


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x00\x05hello",
        OK + b"a b: c\r\n\r\n",
        OK + b"x: a\0b\r\n\r\n",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"content-length: many\r\n\r\n",
        OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",  # and then nothing
        b"HTTP/1.1 999 Whatever\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
)
@STORE
async def test_a_head_that_is_no_http_is_a_failure(
    chatkeep: Chatkeep, provider: Provider, head: bytes, store: bool
) -> None:
    provider.answer(Raw(head))
    assert_refusal(await called(chatkeep, store=store), FAILED)


@pytest.mark.parametrize(
    "flood",
    [
        Flood(b"", b"x" * 65536),
        Flood(b"HTTP/1.1 200 ", b"x" * 65536),
        Flood(OK + b"x: ", b"y" * 65536),
        Flood(OK, b"x: y\r\n" * 10_000),
        Flood(OK, b"".join(b"x%d: y\r\n" % n for n in range(10_000))),
    ],
    ids=["bytes", "reason", "header", "headers", "different headers"],
)
async def test_an_endless_head_is_given_up(
    chatkeep: Chatkeep, provider: Provider, flood: Flood
) -> None:
    provider.answer(flood)
    reply = await called(chatkeep, store=True)
    assert flood.sent < flood.cap / 4
    assert_refusal(reply, FAILED)


@pytest.mark.parametrize(
    "body",
    [
        b"content-length: 500\r\n\r\n{",
        b"transfer-encoding: chunked\r\n\r\n5\r\n{",
        b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_broken_off(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    provider.answer(Raw(OK + body))
    reply = await called(chatkeep)
    assert (reply.head.status, reply.body, reply.complete) == (200, b"{", False)


@pytest.mark.parametrize("body", [b"1\r\n{\r\nzz\r\n", b"1\r\n{NO", b"1" * (1 << 20)])
async def test_an_answer_whose_chunks_cannot_be_read_is_no_answer(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    provider.answer(Raw(OK + b"transfer-encoding: chunked\r\n\r\n" + body))
    reply = await called(chatkeep)
    if reply.complete:  # when the fault came together with the head
        assert_refusal(reply, FAILED)


@STORE
async def test_what_came_just_before_a_stream_broke_off_is_not_lost(
    chatkeep: Chatkeep, provider: Provider, store: bool
) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    provider.answer(Raw(head + b"%x\r\n%b\r\n" % (len(EVENT), EVENT)))
    reply = await called(chatkeep, store=store, stream=True)
    assert (reply.complete, b'"content":"Hi"' in reply.body) == (False, True)
    assert [row.status for row in await kept(chatkeep)] == ["failed_midstream"] * store


@STORE
async def test_a_stream_that_falls_silent_is_broken_off(
    provider: Provider, tmp_path: Path, store: bool
) -> None:
    provider.answer(Stream([EVENT, EVENT], stepped=True)).step()
    setting = {"timeout_s": 0.2}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=setting) as chatkeep:
        reply = await called(chatkeep, store=store, stream=True)
        rows = await kept(chatkeep)
    assert (reply.complete, b'"content":"Hi"' in reply.body) == (False, True)
    assert [row.status for row in rows] == ["failed_midstream"] * store


async def test_what_came_before_the_end_was_seen_can_still_be_read(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(CutAfter([EVENT, EVENT], len(EVENT)))
    upstream = HttpUpstream(named("a", provider.url), "test-instance")
    answer = await upstream.post("/chat/completions", create(), {})
    for _ in range(3):  # meanwhile all of it arrives, its end as well
        await asked(chatkeep.url, get("/healthz", None))
    assert await answer.read() == EVENT
    with pytest.raises(UpstreamFailed):
        await answer.read()
    answer.close()
    await upstream.aclose()


@STORE
async def test_more_bytes_than_the_content_length_says_are_nobodys(
    chatkeep: Chatkeep, provider: Provider, store: bool
) -> None:
    more = OK + b"content-length: 9\r\n\r\nsmuggled!"
    provider.answer(Raw(framed(COMPLETION) + more))
    first = await called(chatkeep, store=store)
    second = await called(chatkeep, store=store)
    assert (first.complete, b"smuggled" in first.body + second.body) == (True, False)
    assert b"You said: hi" in second.body


async def test_an_answer_that_ends_with_its_connection_is_whole(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(Raw(b"HTTP/1.0 200 OK\r\ncontent-type: text/x\r\n\r\n" + HTML))
    reply = await called(chatkeep)
    assert (reply.body, reply.complete) == (HTML, True)


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n" * 3,
        b"HTTP/1.1 102 Processing\r\nx-chatkeep-stored: yes\r\n\r\n",
    ],
    ids=["100", "103", "102"],
)
async def test_provisional_answers_are_passed_over(
    chatkeep: Chatkeep, provider: Provider, before: bytes
) -> None:
    provider.answer(Raw(before + framed(COMPLETION)))
    reply = await called(chatkeep)
    assert (reply.head.status, reply.body, reply.head.all("link")) == (200, COMPLETION, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@STORE
async def test_a_redirect_is_handed_on_and_not_followed(
    chatkeep: Chatkeep, provider: Provider, status: int, store: bool
) -> None:
    location = f"{provider.url}/elsewhere"
    provider.answer(Plain(HTML, status, [*HTML_TYPE, ("location", location)]))
    reply = await called(chatkeep, store=store)
    assert (reply.head.status, reply.head["location"]) == (status, location)
    assert reply.body == HTML
    assert len(provider.requests) == 1
    assert await kept(chatkeep) == []


@pytest.mark.parametrize("status", [200, 403, 404, 502, 520, 599])
@STORE
async def test_a_page_that_is_no_json_is_handed_on_as_it_is(
    chatkeep: Chatkeep, provider: Provider, status: int, store: bool
) -> None:
    provider.answer(Plain(HTML, status, HTML_TYPE))
    reply = await called(chatkeep, store=store)
    assert (reply.head.status, reply.body) == (status, HTML)
    assert reply.head["content-type"] == "text/html"
    assert reply.head["x-chatkeep-upstream"] == "provider"


@pytest.mark.parametrize("stream", [False, True])
@STORE
async def test_an_answer_without_content_is_handed_on(
    chatkeep: Chatkeep, provider: Provider, store: bool, stream: bool
) -> None:
    provider.answer(Raw(b"HTTP/1.1 204 No Content\r\nx-own: 1\r\n\r\n", close=False))
    async with connected(chatkeep.url) as wire:
        wire.send(post(PATH, create(store=store, stream=stream), chatkeep.key))
        head = await wire.head()
        assert (head.status, head["x-own"]) == (204, "1")
        wire.send(get("/healthz", None))  # nothing stands between this answer and the next
        assert (await wire.head()).status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "GZIP"])
@STORE
async def test_a_coded_answer_is_handed_on_decoded(
    chatkeep: Chatkeep, provider: Provider, coding: str, store: bool
) -> None:
    compressed = zlib.compress(COMPLETION) if coding == "deflate" else gzip.compress(COMPLETION)
    provider.answer(Raw(framed(compressed, b"content-encoding: " + coding.encode())))
    reply = await called(chatkeep, store=store)
    wanted = COMPLETION
    if store:
        wanted = wanted.replace(b'"x"', b'"%b"' % reply.head["x-chatkeep-id"].encode())
        raw = f"/keep/v1/completions/{reply.head['x-chatkeep-id']}/raw/answer"
        assert (await asked(chatkeep.url, get(raw, chatkeep.key))).body == wanted
    assert (reply.complete, reply.body, reply.head.all("content-encoding")) == (True, wanted, [])
    assert reply.head.all("content-length") in ([], [str(len(wanted))])


@pytest.mark.parametrize(
    ("coding", "compressed"),
    [
        (b"gzip", gzip.compress(COMPLETION[:9]) + gzip.compress(COMPLETION[9:])),
        (b"deflate", zlib.compress(COMPLETION, wbits=-15)),
    ],
    ids=["members", "bare deflate"],
)
async def test_every_way_to_write_a_coding_is_read(
    chatkeep: Chatkeep, provider: Provider, coding: bytes, compressed: bytes
) -> None:
    provider.answer(Raw(framed(compressed, b"content-encoding: " + coding)))
    reply = await called(chatkeep)
    assert (reply.complete, reply.body) == (True, COMPLETION)
    assert reply.head.all("content-encoding") == []


@pytest.mark.parametrize("status", [200, 404, 503])
async def test_nothing_needs_no_decoding(
    chatkeep: Chatkeep, provider: Provider, status: int
) -> None:
    provider.answer(Plain(b"", status, [("content-encoding", "gzip")]))
    reply = await called(chatkeep)
    assert (reply.head.status, reply.complete, reply.body) == (status, True, b"")


@STORE
async def test_a_coded_stream_is_handed_on_decoded(
    chatkeep: Chatkeep, provider: Provider, store: bool
) -> None:
    packer = zlib.compressobj(wbits=31)
    pieces = [
        packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
        for event in (EVENT, b"data: [DONE]\n\n")
    ]
    headers = [("content-type", "text/event-stream"), ("content-encoding", "gzip")]
    stream = provider.answer(Stream([*pieces, packer.flush()], headers=headers, stepped=True))
    async with connected(chatkeep.url) as wire:
        wire.send(post(PATH, create(store=store, stream=True), chatkeep.key))
        assert (await wire.head()).all("content-encoding") == []
        stream.step()
        assert b'"content":"Hi"' in await wire.until(b"\n\n")
        stream.step(2)
        await wire.until(b"[DONE]")


@pytest.mark.parametrize("coding", ["x-own", "compress", "br", "zstd", "gzip, x-own"])
async def test_an_answer_in_an_unknown_coding_is_handed_on_with_its_name(
    chatkeep: Chatkeep, provider: Provider, coding: str
) -> None:
    provider.answer(Raw(framed(b"\x1f\x9d\x90odd", b"content-encoding: " + coding.encode())))
    reply = await called(chatkeep)
    assert reply.body == b"\x1f\x9d\x90odd"
    assert reply.head["content-encoding"] == coding


@pytest.mark.parametrize(
    "answer",
    [
        Raw(framed(b"no gzip at all", b"content-encoding: gzip")),
        Raw(framed(zlib.compress(COMPLETION)[:-9], b"content-encoding: deflate")),
        Raw(framed(gzip.compress(COMPLETION)[:-9], b"content-encoding: gzip")),
    ],
    ids=["garbage", "cut deflate", "cut gzip"],
)
async def test_an_answer_that_does_not_decode_breaks_off(
    chatkeep: Chatkeep, provider: Provider, answer: Answer
) -> None:
    provider.answer(answer)
    assert_refusal(await called(chatkeep, store=True), FAILED)


@STORE
async def test_of_a_small_answer_that_decodes_to_a_huge_one_little_is_held(
    provider: Provider, tmp_path: Path, store: bool
) -> None:
    bomb = gzip.compress(bytes(64 << 20), 1)
    provider.answer(Raw(framed(bomb, b"content-encoding: gzip")))
    limited = chatkeep_server.chatkeep(tmp_path, provider.url, max_answer_bytes=1 << 20)
    async with limited as chatkeep:
        async with connected(chatkeep.url) as wire:
            wire.send(post(PATH, create(store=store), chatkeep.key))
            assert (await wire.head())["x-chatkeep-stored"].startswith("no; ")
            for _ in range(4):
                assert 0 < len(await wire.piece()) <= 2 << 20
        assert await kept(chatkeep) == []
