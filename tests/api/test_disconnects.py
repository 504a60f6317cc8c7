"""Clients that leave before their answer is whole: what the upstream notices and what is kept.

Upstreams and disks that break off are in test_broken_answers.py.
"""

from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.kept import finished, kept_of, kept_soon
from support.provider import JSON, Hang, Plain, Provider, Stream
from support.rawhttp import PATH, Wire, asked, connected, get, head_of, post
from support.refusals import create

pytestmark = pytest.mark.usefixtures("nothing_left_open")

PLAIN = create()
STORED = create(store=True)
STREAMED = create(stream=True)
BOTH = create(stream=True, store=True)
KINDS = pytest.mark.parametrize(
    "body", [PLAIN, STORED, STREAMED, BOTH], ids=["plain", "stored", "streamed", "stored stream"]
)

HEAD = b'data: {"id":"theirs","object":"chat.completion.chunk","model":"m-1","choices":'
FIRST = HEAD + b'[{"index":0,"delta":{"role":"assistant","content":"one"}}]}\n\n'
SECOND = HEAD + b'[{"index":0,"delta":{"content":" two"}}]}\n\n'
FINISH = HEAD + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
OTHER = HEAD + b'[{"index":1,"delta":{"content":"other"}}]}\n\n'
USAGE = HEAD + b'[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
ALL = [FIRST, SECOND, FINISH, USAGE, DONE]


async def opened(chatkeep: Chatkeep, wire: Wire, body: bytes) -> str:
    """Sends a call whose answer is a stream; the id it is to be kept under."""
    wire.send(post(PATH, body, chatkeep.key))
    head = await wire.head()
    assert head.status == 200
    return (head.all("x-chatkeep-id") or [""])[0]


async def seen(wire: Wire, stream: Stream, events: int) -> None:
    """Lets so many events come, and reads them."""
    for _ in range(events):
        stream.step()
        await wire.until(b"\n\n")


async def assert_nothing_kept(chatkeep: Chatkeep) -> None:
    await finished(chatkeep)
    empty = b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'
    assert (await asked(chatkeep.url, get(PATH, chatkeep.key))).body == empty


@KINDS
async def test_a_client_that_leaves_during_its_request_calls_no_upstream(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    async with connected(chatkeep.url) as wire:
        length = {"content-length": str(len(body)), "expect": "100-continue"}
        wire.send(head_of("POST", PATH, chatkeep.key, length) + body[:-9])
        assert await wire.line() == b"HTTP/1.1 100 Continue\r\n"  # it is being read
        wire.leave()
    await assert_nothing_kept(chatkeep)
    assert provider.requests == []


@KINDS
async def test_a_client_that_leaves_before_the_head_cancels_the_call(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    hang = provider.answer(Hang())
    async with connected(chatkeep.url) as wire:
        wire.send(post(PATH, body, chatkeep.key))
        await hang.arrived.wait()
        wire.leave()
        await hang.ended.wait()
    assert hang.disconnected
    await assert_nothing_kept(chatkeep)


@pytest.mark.parametrize("body", [STREAMED, BOTH], ids=["not stored", "stored"])
async def test_a_client_that_leaves_before_the_first_event_cancels_the_call(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    stream = provider.answer(Stream(ALL, stepped=True))
    async with connected(chatkeep.url) as wire:
        await opened(chatkeep, wire, body)
        wire.leave()
        await stream.ended.wait()
    assert stream.disconnected_after == 0
    await assert_nothing_kept(chatkeep)


@pytest.mark.parametrize("events", [1, 2])
async def test_what_came_before_a_client_left_is_kept_as_partial(
    chatkeep: Chatkeep, provider: Provider, events: int
) -> None:
    stream = provider.answer(Stream(ALL, stepped=True))
    async with connected(chatkeep.url) as wire:
        id = await opened(chatkeep, wire, BOTH)
        await seen(wire, stream, events)
        wire.leave()
        await stream.ended.wait()
    assert stream.disconnected_after == events  # before its next chunk
    row = await kept_soon(chatkeep, id)
    assert (row.status, row.finish_reason) == ("partial", None)
    async with chatkeep.client() as client:
        (choice,) = (await client.chat.completions.retrieve(id)).choices
    assert choice.message.content == "one two"[: 3 if events == 1 else None]
    assert choice.finish_reason is None


async def test_a_client_that_leaves_an_unstored_stream_cancels_it(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    stream = provider.answer(Stream(ALL, stepped=True))
    async with connected(chatkeep.url) as wire:
        await opened(chatkeep, wire, STREAMED)
        await seen(wire, stream, 1)
        wire.leave()
        await stream.ended.wait()
    assert stream.disconnected_after == 1
    await assert_nothing_kept(chatkeep)


async def test_a_stream_is_partial_until_every_choice_has_ended(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    stream = provider.answer(Stream([FIRST, OTHER, FINISH, USAGE, DONE], stepped=True))
    async with connected(chatkeep.url) as wire:
        id = await opened(chatkeep, wire, create(stream=True, store=True, n=2))
        await seen(wire, stream, 3)
        wire.leave()
        await stream.ended.wait()
    assert stream.disconnected_after == 3
    assert (await kept_soon(chatkeep, id)).status == "partial"


@pytest.mark.parametrize("rest", [[USAGE, DONE], [USAGE]], ids=["DONE", "no DONE"])
async def test_a_finished_stream_is_read_on_for_its_usage(
    chatkeep: Chatkeep, provider: Provider, rest: list[bytes]
) -> None:
    stream = provider.answer(Stream([FIRST, SECOND, FINISH, *rest], stepped=True))
    async with connected(chatkeep.url) as wire:
        id = await opened(chatkeep, wire, BOTH)
        await seen(wire, stream, 3)
        wire.leave()
        stream.step(2)
        await stream.ended.wait()
    assert stream.disconnected_after is None
    row = await kept_soon(chatkeep, id)
    assert (row.status, row.finish_reason, row.usage.total_tokens) == ("complete", "stop", 3)


async def test_a_finished_stream_is_not_read_on_for_ever(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    stream = provider.answer(Stream(ALL, stepped=True))
    async with connected(chatkeep.url) as wire:
        id = await opened(chatkeep, wire, BOTH)
        await seen(wire, stream, 3)
        wire.leave()
        await stream.ended.wait()
    assert stream.disconnected_after == 3
    row = await kept_soon(chatkeep, id)
    assert (row.status, row.finish_reason, row.usage.total_tokens) == ("complete", "stop", None)


async def test_an_upstream_that_says_done_and_does_not_end_is_not_read_for_ever(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    stream = provider.answer(Stream([*ALL, b": late\n\n"], stepped=True))
    async with connected(chatkeep.url) as wire:
        id = await opened(chatkeep, wire, BOTH)
        stream.step(5)
        await wire.until(b"[DONE]")
        assert await wire.piece() == b""
        await stream.ended.wait()
    assert stream.disconnected_after == 5
    assert (await kept_soon(chatkeep, id)).status == "complete"


async def test_a_client_that_leaves_at_done_has_its_completion(
    client: AsyncOpenAI, chatkeep: Chatkeep, provider: Provider
) -> None:
    """As the official client does."""
    stream = provider.answer(Stream([*ALL, b": late\n\n"], stepped=True))
    stream.step(5)
    answer: Any = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True, store=True
    )
    chunks = [chunk async for chunk in answer]
    stream.step()
    row = await kept_soon(chatkeep, chunks[0].id)
    assert (row.status, row.usage.total_tokens) == ("complete", 3)


async def test_the_official_client_that_breaks_out_leaves_a_partial_completion(
    client: AsyncOpenAI, chatkeep: Chatkeep, provider: Provider
) -> None:
    stream = provider.answer(Stream(ALL, stepped=True))
    stream.step()
    async with await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True, store=True
    ) as answer:
        id = (await anext(aiter(answer))).id
    await stream.ended.wait()
    assert stream.disconnected_after == 1
    assert (await kept_soon(chatkeep, id)).status == "partial"


async def test_a_plain_answer_on_its_way_when_the_client_leaves_is_kept(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    answer = [b'{"id":"theirs",', b'"choices":[]}']
    stream = provider.answer(Stream(answer, headers=JSON, stepped=True))
    async with connected(chatkeep.url) as wire:
        wire.send(post(PATH, STORED, chatkeep.key))
        await provider.until(requests=1)
        stream.step()
        await asked(chatkeep.url, get("/healthz", None))
        wire.leave()
        stream.step()
        await stream.ended.wait()
    await finished(chatkeep)
    async with chatkeep.client() as client:
        kept = [completion.id async for completion in client.chat.completions.list()]
    if stream.disconnected_after is None:
        (id,) = kept
        assert (await kept_of(chatkeep, id)).upstream_id == "theirs"
    else:  # it left before the head was there
        assert kept == []


async def finishing(folder: Path, provider: Provider) -> Any:
    return chatkeep_server.chatkeep(folder, provider.url, on_disconnect="finish")


@pytest.mark.parametrize("events", [0, 1, 3])
async def test_a_server_set_to_finish_reads_a_stream_to_its_end(
    provider: Provider, tmp_path: Path, events: int
) -> None:
    stream = provider.answer(Stream(ALL, stepped=True))
    async with await finishing(tmp_path, provider) as chatkeep:
        async with connected(chatkeep.url) as wire:
            id = await opened(chatkeep, wire, BOTH)
            await seen(wire, stream, events)
            wire.leave()
        stream.step(5)
        await stream.ended.wait()
        assert stream.disconnected_after is None
        row = await kept_soon(chatkeep, id)
        assert (row.status, row.finish_reason, row.usage.total_tokens) == ("complete", "stop", 3)
        assert b'"content":"one two"' in (await kept_of(chatkeep, id)).answer


@pytest.mark.parametrize("answer", [Plain(b'{"id":"x","choices":[{"index":0}]}'), Stream(ALL)])
async def test_a_server_set_to_finish_waits_for_an_answer_nobody_waits_for(
    provider: Provider, tmp_path: Path, answer: Plain | Stream
) -> None:
    hang = provider.answer(Hang(then=answer))
    async with await finishing(tmp_path, provider) as chatkeep:
        async with connected(chatkeep.url) as wire:
            wire.send(post(PATH, BOTH if isinstance(answer, Stream) else STORED, chatkeep.key))
            await hang.arrived.wait()
            wire.leave()
        hang.release()
        await finished(chatkeep)
        assert not hang.disconnected
        async with chatkeep.client() as client:
            (completion,) = (await client.chat.completions.list()).data
        assert (await kept_soon(chatkeep, completion.id)).status == "complete"


async def test_a_server_set_to_finish_reads_an_unstored_stream_to_its_end(
    provider: Provider, tmp_path: Path
) -> None:
    stream = provider.answer(Stream(ALL, stepped=True))
    async with await finishing(tmp_path, provider) as chatkeep:
        async with connected(chatkeep.url) as wire:
            await opened(chatkeep, wire, STREAMED)
            await seen(wire, stream, 1)
            wire.leave()
        stream.step(4)
        await stream.ended.wait()
        assert stream.disconnected_after is None
        await assert_nothing_kept(chatkeep)


async def test_a_server_set_to_finish_tells_an_upstreams_error_from_a_client_that_left(
    provider: Provider, tmp_path: Path
) -> None:
    error = b'data: {"error":{"message":"out of memory","type":"server_error"}}\n\n'
    stream = provider.answer(Stream([FIRST, error], stepped=True))
    async with await finishing(tmp_path, provider) as chatkeep:
        async with connected(chatkeep.url) as wire:
            id = await opened(chatkeep, wire, BOTH)
            await seen(wire, stream, 1)
            wire.leave()
        stream.step()
        assert (await kept_soon(chatkeep, id)).status == "failed_midstream"
