"""What comes down of streams, byte for byte, and what is kept of them by the time it is down."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.faultyvfs import FaultyVfs
from support.kept import finished, kept_of, row_of, stored_in
from support.patience import PATIENCE_S
from support.provider import EVENTS, Plain, Provider, Stream
from support.rawhttp import PATH, Reply, asked, connected, get, post
from support.streams import ALL, choices_of, stream_of

from chatkeep.store.sqlite import open_sqlite

MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
PLAIN = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
STORED = PLAIN[:-1] + b',"store":true}'
USAGE = b'"stream_options":{"include_usage":true}'
DONE = b"data: [DONE]\n\n"
# `"id":"@"` stands for the upstream's id and then for ours, `{@` for no id and then for ours.
CHUNK = '{"id":"@","object":"chat.completion.chunk","choices":[{"index":0,"delta":%s}]}'


def event(delta: str, line: str = "data: %s\n\n", chunk: str = CHUNK) -> bytes:
    return (line % (chunk % delta)).encode()


HELLO = [event('{"role":"assistant","content":"H\u00e9 "}'), event('{"content":"\U0001f680"}')]
STOP = HELLO[1].replace(b"}}", b'},"finish_reason":"stop"}', 1)
ODD: dict[str, list[bytes]] = {
    "as usual": [*HELLO, DONE],
    "comments": [b": ping\n\n", HELLO[0], b": OPENROUTER PROCESSING\n\n", b":\n" + HELLO[1], DONE],
    "fields": [b"event: chunk\nid: 7\nretry: 10\n" + HELLO[0], HELLO[1][:-1] + b"id: 8\n\n", DONE],
    "CRLF": [part.replace(b"\n", b"\r\n") for part in (*HELLO, DONE)],
    "CR": [part.replace(b"\n", b"\r") for part in (*HELLO, DONE)],
    "mixed line ends": [HELLO[0][:-2] + b"\r\n\n", HELLO[1][:-2] + b"\n\r\n", DONE],
    "byte order mark": [b"\xef\xbb\xbf" + HELLO[0], HELLO[1], DONE],
    "no space": [part.replace(b"data: ", b"data:") for part in (*HELLO, DONE)],
    "many spaces": [part.replace(b"data: ", b"data:   ") for part in HELLO] + [DONE],
    "data on several lines": [part.replace(b',"', b',\ndata: "') for part in HELLO] + [DONE],
    "loose JSON": [part.replace(b":", b" : ").replace(b"data : ", b"data: ") for part in HELLO]
    + [DONE],
    "escapes": [
        event(r'{"content":"H\u00e9 \ud83d"}'),
        event(r'{"content":"\ude80","x":1e3,"y":12345678901234567890123,"z":-0.0}'),
        DONE,
    ],
    "no id": [part.replace(b'"id":"@",', b"@") for part in HELLO] + [DONE],
    "id at the end": [
        part.replace(b'"id":"@",', b"").replace(b"}]}\n", b'}],"id":"@"}\n') for part in HELLO
    ]
    + [DONE],
    "no JSON": [b"data: hello\n\n", HELLO[0], b"data\n\n", b"data: {\n\n", HELLO[1], DONE],
    "other JSON": [HELLO[0], b'data: {"type":"ping"}\n\n', b'data: ["id"]\n\n', HELLO[1], DONE],
    "empty lines": [b"\n\n\n", HELLO[0], b"\n\n", HELLO[1], DONE],
    "no blank line at the end": [*HELLO, DONE[:-2]],
    "more after the end": [*HELLO, DONE, b": bye\n\n", HELLO[0].replace(b'"@"', b'"late"')],
    "an end with more": [*HELLO, b"data:  [DONE] \n\n"],
    "no end": HELLO,
    "half an event": [*HELLO, b'data: {"id":"half'],
    "large": [event('{"content":"H\u00e9 \U0001f680","x":"%s"}' % ("y" * 300_000)), DONE],
}


COMPLETION = b'{"id":"theirs","choices":[{"index":0}]}'


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def under(parts: list[bytes], id: bytes) -> bytes:
    """The stream with this id in its places; b"" where the upstream gives none."""
    text = b"".join(parts).replace(b'"id":"@"', b'"id":"%b"' % id)
    text = text.replace(b'"id" : "@"', b'"id" : "%b"' % id)
    return text.replace(b"{@", b'{"id":"%b",' % id)


def from_upstream(parts: list[bytes]) -> bytes:
    return under([part.replace(b"{@", b"{") for part in parts], b"theirs")


async def create(chatkeep: Chatkeep, body: bytes) -> Reply:
    return await asked(chatkeep.url, post(PATH, body, chatkeep.key))


@pytest.mark.parametrize("name", ODD)
async def test_a_stream_that_is_not_stored_comes_down_as_it_is(
    chatkeep: Chatkeep, provider: Provider, name: str
) -> None:
    data = from_upstream(ODD[name])
    provider.answer(Stream([data]))
    reply = await create(chatkeep, PLAIN)
    assert (reply.body, reply.complete) == (data, True)
    assert provider.requests[0].body == PLAIN
    assert reply.head["x-chatkeep-stored"].startswith("no; ")


@pytest.mark.parametrize("size", [1, 7, 10**6], ids=["byte by byte", "cut anywhere", "at once"])
@pytest.mark.parametrize("name", ODD)
async def test_of_a_stored_stream_only_the_id_changes(
    chatkeep: Chatkeep, provider: Provider, name: str, size: int
) -> None:
    data = from_upstream(ODD[name])
    provider.answer(Stream(cut(data, max(size, len(data) // 5000))))
    reply = await create(chatkeep, STORED)
    id = reply.head["x-chatkeep-id"]
    assert (reply.body, reply.complete) == (under(ODD[name], id.encode()), True)
    assert reply.head["x-chatkeep-stored"] == "pending"
    retrieved = await asked(chatkeep.url, get(f"{PATH}/{id}", chatkeep.key))
    assert json.loads(retrieved.body)["choices"][0]["message"]["content"] == "H\u00e9 \U0001f680"
    record = await kept_of(chatkeep, id)
    assert record.request == STORED
    upstream_id = None if name == "no id" else "theirs"
    assert record.upstream_id == upstream_id


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("usage", [True, False], ids=["asked for usage", "not asked"])
async def test_a_whole_stream_comes_down_with_usage_only_when_asked(
    chatkeep: Chatkeep, provider: Provider, name: str, usage: bool
) -> None:
    events = stream_of(name).removesuffix(b"\n\n").split(b"\n\n")
    theirs: str = json.loads(events[0].removeprefix(b"data: "))["id"]
    provider.answer(Stream([stream_of(name)]))
    reply = await create(chatkeep, STORED[:-1] + b"," + USAGE + b"}" if usage else STORED)
    id = reply.head["x-chatkeep-id"]
    shown = [event for event in events if usage or b'"choices":[],"usage"' not in event]
    assert len(shown) == len(events) - (not usage)
    expected = b"".join(event + b"\n\n" for event in shown)
    assert reply.body == expected.replace(theirs.encode(), id.encode())
    row = await row_of(chatkeep, id)
    assert row.usage.total_tokens
    assert row.status == "complete"


@pytest.mark.parametrize("space", [b"", b" ", b"\n  "], ids=["dense", "loose", "looser"])
async def test_a_usage_chunk_is_hidden_however_it_is_written(
    chatkeep: Chatkeep, provider: Provider, space: bytes
) -> None:
    parts = [b'"id":"theirs"', b'"choices":%b[%b]' % (space, space), b'"usage":{"total_tokens":3}']
    chunk = b"data: {" + b",".join(parts).replace(b"\n", b"\ndata: ") + b"}\n\n"
    provider.answer(Stream([from_upstream(HELLO), chunk, DONE]))
    reply = await create(chatkeep, STORED)
    id = reply.head["x-chatkeep-id"]
    assert reply.body == under([*HELLO, DONE], id.encode())
    assert (await row_of(chatkeep, id)).usage.total_tokens == 3


@pytest.mark.parametrize(
    "chunk",
    [
        b'data: {"id":"@","choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n',
        b'data: {"id":"@","choices":[],"usage":null}\n\n',
        b'data: {"id":"@","choices":[{"index":0,"delta":{}}],"usage":{"total_tokens":3}}\n\n',
        b'data: {"id":"@","object":"chat.completion.chunk","usage":{"total_tokens":3}}\n\n',
    ],
    ids=["Azure's first", "no usage", "with a choice", "without choices"],
)
async def test_other_chunks_without_choices_or_with_usage_are_not_hidden(
    chatkeep: Chatkeep, provider: Provider, chunk: bytes
) -> None:
    provider.answer(Stream([from_upstream([*HELLO, chunk, DONE])]))
    reply = await create(chatkeep, STORED)
    assert reply.body == under([*HELLO, chunk, DONE], reply.head["x-chatkeep-id"].encode())


@pytest.mark.parametrize("name", ALL)
async def test_a_stream_is_kept_as_the_clients_own_accumulator_puts_it_together(
    client: AsyncOpenAI, provider: Provider, name: str
) -> None:
    provider.answer(Stream(cut(stream_of(name), 100)))
    stream = await client.chat.completions.create(
        model="m",
        messages=MESSAGES,
        stream=True,
        n=choices_of(name),
        stream_options={"include_usage": True},
        store=True,
    )
    state: Any = ChatCompletionStreamState()
    async for chunk in stream:
        state.handle_chunk(chunk)
    accumulated = state.current_completion_snapshot
    stored = await client.chat.completions.retrieve(accumulated.id)
    assert comparable(stored) == comparable(accumulated)


def comparable(completion: Any) -> Any:
    """Without what only the client's or only the stored object has."""
    dumped = completion.model_dump(exclude_none=True)
    for choice in dumped["choices"]:
        choice["message"].pop("parsed", None)
        for call in choice["message"].get("tool_calls") or ():
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
    shown = ("id", "created", "model", "system_fingerprint", "choices", "usage")
    return {key: dumped[key] for key in shown}


async def test_events_that_are_no_chunks_are_handed_on_and_not_kept(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    ping = b'data: {"type":"ping","id":"p","model":"ping"}\n\n'
    provider.answer(Stream([from_upstream([ping, *HELLO, DONE])]))
    reply = await create(chatkeep, STORED)
    id = reply.head["x-chatkeep-id"]
    assert reply.body == under([ping, *HELLO, DONE], id.encode())
    record = await kept_of(chatkeep, id)
    assert record.upstream_id == "theirs"
    assert b"ping" not in record.answer


@pytest.mark.parametrize("body", [PLAIN, STORED], ids=["not stored", "stored"])
async def test_no_event_waits_for_the_next(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    events = [from_upstream([part]) for part in (*HELLO, DONE)]
    stream = provider.answer(Stream(events, stepped=True))
    async with connected(chatkeep.url) as wire:
        wire.send(post(PATH, body, chatkeep.key))
        id = ((await wire.head()).all("x-chatkeep-id") or ["theirs"])[0].encode()
        for part in (*HELLO, DONE):
            stream.step()
            assert await wire.until(b"\n\n") == under([part], id)
        assert await wire.piece() == b""


@pytest.mark.parametrize("body", [STORED, STORED.replace(b',"stream":true', b"")])
async def test_whoever_has_the_answer_finds_it_in_the_store(
    chatkeep: Chatkeep, provider: Provider, tmp_path: Path, body: bytes
) -> None:
    """Read through a connection of another process's kind, at the moment the answer is down."""
    async with connected(chatkeep.url) as wire:
        wire.send(post(PATH, body, chatkeep.key))
        head = await wire.head()
        if head.all("transfer-encoding"):
            await wire.until(b"[DONE]")
        other = await open_sqlite(tmp_path / "chatkeep.db")
        stored = await stored_in(other, head["x-chatkeep-id"])
        await other.aclose()
    assert stored is not None
    assert (stored.row.status, stored.row.finish_reason) == ("complete", "stop")


@pytest.fixture
def disk() -> Iterator[FaultyVfs]:
    with FaultyVfs() as disk:
        yield disk


@pytest.fixture
async def slow(provider: Provider, tmp_path: Path, disk: FaultyVfs) -> AsyncIterator[Chatkeep]:
    """A server whose commits take as long as the test wants."""
    async with chatkeep_server.chatkeep(tmp_path, provider.url, vfs=disk.name) as running:
        yield running


UNENDED = [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n", b"data:[DONE]\r", b": bye"]


@pytest.mark.parametrize("end", [[DONE], [], *([one] for one in UNENDED)], ids=repr)
async def test_the_end_of_a_stream_waits_for_its_commit(
    slow: Chatkeep, provider: Provider, disk: FaultyVfs, end: list[bytes]
) -> None:
    provider.answer(Stream([from_upstream([*HELLO, *end])]))
    async with commit_held_back(disk) as (reached, release), connected(slow.url) as wire:
        wire.send(post(PATH, STORED, slow.key))
        id = (await wire.head())["x-chatkeep-id"].encode()
        assert await wire.until("\U0001f680".encode()) == under(HELLO, id)
        await reached.wait()
        await assert_others_are_served(slow)
        assert wire.waiting() == b""
        release.set()
        assert await wire.piece() == b"".join(end)


async def test_a_plain_answer_waits_for_its_commit(
    slow: Chatkeep, provider: Provider, disk: FaultyVfs
) -> None:
    async with commit_held_back(disk) as (reached, release), connected(slow.url) as wire:
        wire.send(post(PATH, STORED.replace(b',"stream":true', b""), slow.key))
        await reached.wait()
        await assert_others_are_served(slow)
        assert wire.waiting() == b""
        release.set()
        assert (await wire.reply()).head["x-chatkeep-stored"] == "yes"


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
async def test_a_client_that_leaves_during_the_commit_loses_nothing(
    slow: Chatkeep, provider: Provider, disk: FaultyVfs, stream: bool
) -> None:
    whole = Stream([from_upstream([*HELLO, STOP, DONE])])
    provider.answer(whole if stream else Plain(COMPLETION))
    body = STORED if stream else STORED.replace(b',"stream":true', b"")
    async with commit_held_back(disk) as (reached, release), connected(slow.url) as wire:
        wire.send(post(PATH, body, slow.key))
        await reached.wait()
        wire.leave()
        await assert_others_are_served(slow)
        release.set()
        await finished(slow)
    (row,) = json.loads((await asked(slow.url, get(PATH, slow.key))).body)["data"]
    assert (await row_of(slow, row["id"])).status == "complete"


@asynccontextmanager
async def commit_held_back(disk: FaultyVfs) -> AsyncIterator[tuple[asyncio.Event, threading.Event]]:
    """A commit in the block sets the first event and goes on when the second is set."""
    loop = asyncio.get_running_loop()
    reached, release = asyncio.Event(), threading.Event()

    def wait() -> None:
        loop.call_soon_threadsafe(reached.set)
        release.wait(PATIENCE_S)

    try:
        with disk.acting("wal", "sync", wait):
            yield reached, release
    finally:
        release.set()


async def assert_others_are_served(chatkeep: Chatkeep) -> None:
    for path in (PATH, "/v1/models", "/healthz"):
        assert (await asked(chatkeep.url, get(path, chatkeep.key))).head.status == 200


@pytest.mark.parametrize("body", [PLAIN, STORED], ids=["not stored", "stored"])
async def test_a_stream_may_be_compressed_or_end_with_its_connection(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    data = from_upstream([*HELLO, DONE])
    coded = (*EVENTS, ("content-encoding", "gzip"))
    provider.answer(Plain(gzip.compress(data), headers=coded))
    provider.answer(Plain(data, headers=EVENTS, content_length=False))
    for _ in range(2):
        reply = await create(chatkeep, body)
        id = (reply.head.all("x-chatkeep-id") or ["theirs"])[0].encode()
        assert (reply.body, reply.complete) == (under([*HELLO, DONE], id), True)
        assert reply.head.all("content-encoding") == []


async def test_a_stream_asked_for_and_answered_plainly_is_stored_all_the_same(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(Plain(COMPLETION))
    reply = await create(chatkeep, STORED)
    assert reply.head["x-chatkeep-stored"] == "yes"
    id = reply.head["x-chatkeep-id"].encode()
    assert reply.body == COMPLETION.replace(b"theirs", id)


async def test_a_plain_answer_asked_for_and_streamed_is_stored_all_the_same(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(Stream([from_upstream([*HELLO, STOP, DONE])], headers=EVENTS))
    reply = await create(chatkeep, STORED.replace(b',"stream":true', b""))
    assert reply.body == under([*HELLO, STOP, DONE], reply.head["x-chatkeep-id"].encode())
    assert (await row_of(chatkeep, reply.head["x-chatkeep-id"])).status == "complete"
