"""Answers that break off or cannot be kept: what the client sees of it, and what the store has."""

import json
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import openai
import pytest
from openai import AsyncOpenAI
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.faultyvfs import Call, FaultyVfs
from support.kept import kept_of, kept_soon, row_of, stored_in
from support.provider import Answer, CutAfter, Plain, Provider, Raw, Stream
from support.rawhttp import PATH, Reply, asked, connected, get, post
from support.refusals import create

pytestmark = pytest.mark.usefixtures("nothing_left_open")

PLAIN = create()
STORED = create(store=True)
STREAMED = create(stream=True)
BOTH = create(stream=True, store=True)

HEAD = b'data: {"id":"theirs","object":"chat.completion.chunk","model":"m-1","choices":'
FIRST = HEAD + b'[{"index":0,"delta":{"role":"assistant","content":"one"}}]}\n\n'
SECOND = HEAD + b'[{"index":0,"delta":{"content":" two"}}]}\n\n'
FINISH = HEAD + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
ERROR = b'data: {"error":{"message":"out of memory","type":"server_error","code":null}}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = [FIRST, SECOND, FINISH, DONE]
MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]


async def call(chatkeep: Chatkeep, body: bytes) -> Reply:
    return await asked(chatkeep.url, post(PATH, body, chatkeep.key))


def under(parts: list[bytes], reply: Reply) -> bytes:
    """These events with our id in place of the upstream's."""
    id = reply.head["x-chatkeep-id"].encode()
    return b"".join(parts).replace(b'"theirs"', b'"%b"' % id)


def cut_after(parts: list[bytes], more: int = 0) -> CutAfter:
    """A stream whose connection closes after these events and so many bytes of the next."""
    return CutAfter([*parts, SECOND], len(b"".join(parts)) + more)


async def read(stream: AsyncIterable[Any], into: list[Any]) -> None:
    async for chunk in stream:
        into.append(chunk)  # what came before an error is kept


@pytest.mark.parametrize("more", [0, 30], ids=["between events", "in an event"])
async def test_a_stream_the_upstream_cuts_is_cut_for_the_client_too(
    chatkeep: Chatkeep, provider: Provider, more: int
) -> None:
    torn = SECOND[:more]
    provider.answer(cut_after([FIRST], more))
    passed = await call(chatkeep, STREAMED)
    assert (passed.body, passed.complete) == (FIRST + torn, False)
    provider.answer(cut_after([FIRST], more))
    kept = await call(chatkeep, BOTH)
    assert (kept.body, kept.complete) == (under([FIRST, torn], kept), False)


@pytest.mark.parametrize("more", [0, 30], ids=["between events", "in an event"])
async def test_what_came_before_the_upstream_cut_the_stream_is_kept_as_failed(
    chatkeep: Chatkeep, provider: Provider, more: int
) -> None:
    provider.answer(cut_after([FIRST], more))
    id = (await call(chatkeep, BOTH)).head["x-chatkeep-id"]
    row = await row_of(chatkeep, id)
    assert (row.status, row.finish_reason) == ("failed_midstream", None)
    assert b'"content":"one"' in (await kept_of(chatkeep, id)).answer


async def test_the_official_client_sees_that_the_upstream_cut_the_stream(
    client: AsyncOpenAI, chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(cut_after([FIRST]))
    stream = await client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, store=True
    )
    seen: list[Any] = []
    with pytest.raises(openai.APIError):
        await read(stream, seen)
    assert [chunk.choices[0].delta.content for chunk in seen] == ["one"]
    (completion,) = (await client.chat.completions.list()).data
    assert completion.choices[0].message.content == "one"


async def test_a_stream_whose_upstream_falls_silent_is_kept_as_failed(
    provider: Provider, tmp_path: Path
) -> None:
    stream = provider.answer(Stream(WHOLE, stepped=True))
    stream.step()
    silent = {"timeout_s": 0.3}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=silent) as chatkeep:
        reply = await call(chatkeep, BOTH)
        await stream.ended.wait()
        assert (stream.disconnected_after, reply.complete) == (1, False)
        row = await row_of(chatkeep, reply.head["x-chatkeep-id"])
        assert row.status == "failed_midstream"


@pytest.mark.parametrize("body", [STREAMED, BOTH], ids=["not stored", "stored"])
async def test_a_stream_cut_before_its_first_event_leaves_nothing(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    provider.answer(CutAfter([FIRST], 0))
    reply = await call(chatkeep, body)
    assert (reply.head.status, reply.body, reply.complete) == (200, b"", False)
    assert json.loads((await asked(chatkeep.url, get(PATH, chatkeep.key))).body)["data"] == []


async def test_a_stream_cut_after_its_finish_reason_is_complete(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(cut_after([FIRST, SECOND, FINISH]))
    reply = await call(chatkeep, BOTH)
    assert not reply.complete  # the client may want the usage
    row = await row_of(chatkeep, reply.head["x-chatkeep-id"])
    assert (row.status, row.finish_reason) == ("complete", "stop")


async def test_a_stream_that_ends_without_a_finish_reason_is_kept_as_failed(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(Stream([FIRST, SECOND]))
    reply = await call(chatkeep, BOTH)
    assert (reply.body, reply.complete) == (under([FIRST, SECOND], reply), True)
    row = await row_of(chatkeep, reply.head["x-chatkeep-id"])
    assert (row.status, row.finish_reason) == ("failed_midstream", None)


@pytest.mark.parametrize("end", [[], [DONE], [SECOND, DONE]], ids=["end", "DONE", "more"])
async def test_an_error_in_a_stream_comes_down_as_it_is_and_is_kept_as_failed(
    chatkeep: Chatkeep, provider: Provider, end: list[bytes]
) -> None:
    provider.answer(Stream([FIRST, ERROR, *end]))
    reply = await call(chatkeep, BOTH)
    assert (reply.body, reply.complete) == (under([FIRST, ERROR, *end], reply), True)
    row = await row_of(chatkeep, reply.head["x-chatkeep-id"])
    assert row.status == "failed_midstream"
    retrieved = await asked(chatkeep.url, get(f"{PATH}/{row.id}", chatkeep.key))
    assert (
        b'"error":{"message":"out of memory","type":"server_error","code":null}' in retrieved.body
    )


async def test_a_client_that_leaves_at_an_error_leaves_a_failed_completion(
    client: AsyncOpenAI, chatkeep: Chatkeep, provider: Provider
) -> None:
    """As the official client does, while the upstream's connection is still open."""
    upstream = provider.answer(Stream([FIRST, ERROR, DONE], stepped=True))
    upstream.step(2)
    stream = await client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, store=True
    )
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match="out of memory"):
        await read(stream, seen)
    await stream.close()
    await upstream.ended.wait()
    assert (await kept_soon(chatkeep, seen[0].id)).status == "failed_midstream"


@pytest.mark.parametrize("answer", [Stream([ERROR]), Stream([ERROR, DONE])])
async def test_a_stream_of_nothing_but_an_error_comes_down_as_it_is(
    chatkeep: Chatkeep, provider: Provider, answer: Stream
) -> None:
    provider.answer(answer)
    reply = await call(chatkeep, BOTH)
    without_comments = [e for e in reply.body.split(b"\n\n") if not e.startswith(b":")]
    assert b"\n\n".join(without_comments) == b"".join(answer.pieces)


async def test_an_unstored_answer_the_upstream_cuts_is_cut_for_the_client_too(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(Raw(b'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"a"'))
    reply = await call(chatkeep, PLAIN)
    assert (reply.head.status, reply.body, reply.complete) == (200, b'{"a"', False)


@pytest.fixture
def disk() -> Iterator[FaultyVfs]:
    with FaultyVfs() as disk:
        yield disk


@pytest.fixture
async def on_disk(provider: Provider, tmp_path: Path, disk: FaultyVfs) -> AsyncIterator[Chatkeep]:
    async with chatkeep_server.chatkeep(tmp_path, provider.url, vfs=disk.name) as running:
        yield running


FULL = "The store failed: the disk is full. Nothing of this request was changed."
TROUBLE = [("write", apsw.FullError), ("sync", apsw.FullError)]


@pytest.mark.parametrize(("access", "error"), TROUBLE)
async def test_an_answer_that_cannot_be_stored_is_answered_all_the_same(
    on_disk: Chatkeep,
    provider: Provider,
    disk: FaultyVfs,
    access: Call,
    error: type[apsw.Error],
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.answer(Plain(b'{"id":"theirs","choices":[]}'))
    with disk.failing("wal", access, error), caplog.at_level(logging.WARNING, "chatkeep"):
        reply = await call(on_disk, STORED)
    assert (reply.head.status, reply.complete) == (200, True)
    assert json.loads(reply.body)["choices"] == []
    assert reply.head["x-chatkeep-stored"] == f"no; {FULL}"
    await assert_counted(on_disk, "store")
    assert "a completion was not kept" in caplog.messages


@pytest.mark.parametrize(("access", "error"), TROUBLE)
async def test_a_stream_that_cannot_be_stored_says_so_before_its_end(
    on_disk: Chatkeep,
    provider: Provider,
    disk: FaultyVfs,
    access: Call,
    error: type[apsw.Error],
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.answer(Stream(WHOLE))
    with disk.failing("wal", access, error), caplog.at_level(logging.WARNING, "chatkeep"):
        reply = await call(on_disk, BOTH)
    comment = f": chatkeep stored=no; {FULL}\n\n".encode()
    assert reply.body == under([*WHOLE[:-1], comment, DONE], reply)
    assert reply.complete
    assert await stored_in(on_disk.store, reply.head["x-chatkeep-id"]) is None
    await assert_counted(on_disk, "store")
    assert "a completion was not kept" in caplog.messages


async def test_a_stream_without_an_end_that_cannot_be_stored_says_so_too(
    on_disk: Chatkeep, provider: Provider, disk: FaultyVfs
) -> None:
    provider.answer(Stream(WHOLE[:-1]))
    with disk.failing("wal", "write", apsw.FullError):
        reply = await call(on_disk, BOTH)
    comment = f": chatkeep stored=no; {FULL}\n\n".encode()
    assert reply.body == under([*WHOLE[:-1], comment], reply)


async def test_the_official_client_does_not_mind_that_nothing_was_stored(
    provider: Provider, tmp_path: Path, disk: FaultyVfs
) -> None:
    provider.answer(Stream(WHOLE))
    async with (
        chatkeep_server.chatkeep(tmp_path, provider.url, vfs=disk.name) as chatkeep,
        chatkeep.client() as client,
    ):
        with disk.failing("wal", "write", apsw.FullError):
            stream = await client.chat.completions.create(
                model="m", messages=MESSAGES, stream=True, store=True
            )
            said = [chunk.choices[0].delta.content async for chunk in stream]
        assert said == ["one", " two", None]
        await client.chat.completions.create(model="m", messages=MESSAGES, store=True)
        assert len((await client.chat.completions.list()).data) == 1  # it is well again


async def test_a_store_that_fails_one_call_keeps_the_next(
    on_disk: Chatkeep, provider: Provider, disk: FaultyVfs
) -> None:
    with disk.failing("wal", "sync", apsw.IOError):
        assert (await call(on_disk, STORED)).head["x-chatkeep-stored"].startswith("no; ")
    kept = await call(on_disk, STORED)
    assert kept.head["x-chatkeep-stored"] == "yes"
    listed = json.loads((await asked(on_disk.url, get(PATH, on_disk.key))).body)["data"]
    assert [row["id"] for row in listed] == [kept.head["x-chatkeep-id"]]


@pytest.fixture
async def small(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    """A server that keeps answers of at most 1,000 bytes."""
    async with chatkeep_server.chatkeep(tmp_path, provider.url, max_answer_bytes=1000) as running:
        yield running


LARGE = HEAD + b'[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 2000)


@pytest.mark.parametrize("framed", [True, False], ids=["with a length", "without"])
async def test_an_answer_too_large_to_be_kept_comes_down_as_it_is(
    small: Chatkeep, provider: Provider, framed: bool
) -> None:
    body = b'{"id":"theirs","choices":[],"x":"%b"}' % (b"x" * 200_000)
    provider.answer(Plain(body, content_length=framed))
    reply = await call(small, STORED)
    assert (reply.body, reply.complete) == (body, True)
    assert reply.head["x-chatkeep-stored"] == "no; it is too large"
    await assert_counted(small, "too large")


@pytest.mark.parametrize(
    "parts",
    [[FIRST, LARGE, FINISH, DONE], [FIRST] * 30 + [FINISH, DONE], [LARGE, FINISH, DONE]],
    ids=["one large event", "many events", "a large event first"],
)
async def test_a_stream_too_large_to_be_kept_comes_down_and_says_so(
    small: Chatkeep, provider: Provider, parts: list[bytes]
) -> None:
    provider.answer(Stream(parts))
    reply = await call(small, BOTH)
    assert reply.complete
    comment = b": chatkeep stored=no; it is too large\n\n"
    ours = reply.body.replace(reply.head["x-chatkeep-id"].encode(), b"theirs")
    assert ours.replace(comment, b"") == b"".join(parts)
    assert await stored_in(small.store, reply.head["x-chatkeep-id"]) is None
    await assert_counted(small, "too large")
    assert reply.body.endswith(comment + DONE)


async def assert_counted(chatkeep: Chatkeep, reason: str) -> None:
    figures = (await asked(chatkeep.url, get("/metrics", None))).body.decode()
    assert f'chatkeep_completions_not_kept_total{{reason="{reason}"}} 1.0' in figures


@pytest.mark.parametrize("answer", [Plain(b'{"id":"theirs","choices":[]}'), Stream(WHOLE)])
async def test_one_connection_serves_one_call_after_the_other(
    chatkeep: Chatkeep, provider: Provider, answer: Answer
) -> None:
    """Also after an answer whose bytes were not the upstream's."""
    provider.always(answer)
    async with connected(chatkeep.url) as wire:
        for body in (PLAIN, STORED, BOTH, STORED, PLAIN):
            wire.send(post(PATH, body, chatkeep.key))
            assert (await wire.reply()).complete
    assert {request.connection for request in provider.requests} == {1}
