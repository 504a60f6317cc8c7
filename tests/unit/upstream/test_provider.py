"""The test upstream itself: bytes in, bytes out, and a peer that leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from openai import AsyncOpenAI
from support.provider import (
    Answer,
    CutAfter,
    Endless,
    Hang,
    Plain,
    Provider,
    Raw,
    Received,
    Refuse,
    Stream,
    nobody,
)

MESSAGES: list[Any] = [{"role": "user", "content": "Zoë  says hi"}]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def provider(anyio_backend: object) -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


class Client:
    """A socket and what can be read from it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def ask(self, data: bytes = b"POST /v1/x HTTP/1.1\r\ncontent-length: 0\r\n\r\n") -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(provider.url))
    yield Client(reader, writer)
    writer.close()


def port_of(url: str) -> int:
    return int(url.split(":")[2].removesuffix("/v1"))


async def whole_answer(client: Client) -> bytes:
    client.ask()
    return await client.reader.read()


async def send_nonsense() -> None:
    async with Provider() as provider:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(provider.url))
        writer.write(b"nonsense\r\n\r\n")
        assert await reader.read() == b""
        writer.close()


async def test_a_request_nobody_can_read_fails_the_test() -> None:
    with pytest.raises(ValueError, match="unpack"):
        await send_nonsense()


async def test_a_request_is_kept_to_the_byte(provider: Provider, client: Client) -> None:
    provider.answer(Plain(b"{}"))
    lines = b"X-Odd:  two  words \r\nx-odd: \xe9\r\nContent-Length: 9\r\n"
    head = b"POST /v1/x?a=%5B&a=2 HTTP/1.1\r\n" + lines
    client.ask(head + b'\r\n{"\xff": \r\n}')
    assert await client.head() == (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"
    )
    received = provider.requests[0]
    assert (received.method, received.target) == ("POST", "/v1/x?a=%5B&a=2")
    odd = ("X-Odd", "two  words"), ("x-odd", "\xe9")
    assert received.headers == (*odd, ("Content-Length", "9"))
    assert received.body == b'{"\xff": \r\n}'
    assert received.head == head + b"\r\n"


async def test_a_chunked_request_is_put_together(provider: Provider, client: Client) -> None:
    client.ask(b"POST /v1/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
    client.ask(b"3\r\na\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n")
    await provider.until(requests=1)
    assert provider.requests[0].body == b"a\r\n\r\n"


async def test_answers_come_in_turn_on_one_connection(provider: Provider, client: Client) -> None:
    provider.always(lambda request: Plain(request.target.encode()))
    provider.answer(Plain(b"first", status=529, headers=()))
    client.ask()
    client.ask()
    assert await client.head() == b"HTTP/1.1 529 Unknown\r\ncontent-length: 5\r\n\r\n"
    assert await client.reader.readexactly(5) == b"first"
    await client.head()
    assert await client.reader.readexactly(5) == b"/v1/x"
    assert {request.connection for request in provider.requests} == {1}


async def test_a_stream_waits_for_each_step(provider: Provider, client: Client) -> None:
    stream = provider.answer(Stream([b"data: 1\n\n", b"data: 2\n\n"], stepped=True))
    client.ask()
    assert b"transfer-encoding: chunked" in await client.head()
    assert stream.written == 0
    stream.step()
    assert await client.reader.readexactly(14) == b"9\r\ndata: 1\n\n\r\n"
    assert stream.written == 1
    stream.step()
    assert await client.reader.readexactly(19) == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"
    assert stream.ended.is_set()
    assert stream.disconnected_after is None


async def test_a_peer_that_leaves_a_stream_is_seen(provider: Provider, client: Client) -> None:
    stream = provider.answer(Stream([b"a", b"b", b"c"], stepped=True))
    client.ask()
    await client.head()
    stream.step(2)
    await client.reader.readexactly(12)
    await client.leave()
    await stream.ended.wait()
    assert stream.disconnected_after == 2


async def test_a_peer_that_leaves_while_nothing_is_said_is_seen(
    provider: Provider, client: Client
) -> None:
    hang = provider.answer(Hang())
    client.ask()
    await hang.arrived.wait()
    await client.leave()
    await hang.ended.wait()
    assert hang.disconnected


async def test_a_released_hang_answers(provider: Provider, client: Client) -> None:
    hang = provider.answer(Hang(then=Raw(b"late")))
    client.ask()
    await hang.arrived.wait()
    hang.release()
    assert await client.reader.read() == b"late"
    assert not hang.disconnected


async def test_a_peer_that_leaves_an_endless_stream_is_seen(
    provider: Provider, client: Client
) -> None:
    endless = provider.answer(Endless(b"data: more\n\n" * 1000))
    client.ask()
    await client.reader.readexactly(100_000)
    await client.leave()
    await endless.ended.wait()
    assert endless.disconnected
    assert endless.sent < endless.cap


async def test_an_endless_stream_ends_at_its_cap(provider: Provider, client: Client) -> None:
    provider.answer(Endless(b"abc", cap=5))
    client.ask()
    await client.head()
    assert await client.reader.readexactly(21) == b"3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Refuse(), b""),
        (Raw(b"HTTP/1.1 9000 what\r\n\r\n"), b"HTTP/1.1 9000 what\r\n\r\n"),
        (
            Plain(b"to the end", headers=(), content_length=False),
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end",
        ),
    ],
)
async def test_answers_that_end_with_the_connection(
    provider: Provider, client: Client, answer: Answer, expected: bytes
) -> None:
    provider.answer(answer)
    assert await whole_answer(client) == expected


@pytest.mark.parametrize(
    ("n_bytes", "expected"),
    [(0, b"3\r\n"), (2, b"3\r\nab"), (3, b"3\r\nabc\r\n"), (4, b"3\r\nabc\r\n3\r\nd")],
)
async def test_a_stream_is_cut_at_any_byte(
    provider: Provider, client: Client, n_bytes: int, expected: bytes
) -> None:
    provider.answer(CutAfter([b"abc", b"def"], n_bytes))
    answer = await whole_answer(client)
    assert answer.partition(b"\r\n\r\n")[2] == expected


async def test_a_refusal_can_be_a_reset(provider: Provider, client: Client) -> None:
    provider.answer(Refuse(reset=True))
    with pytest.raises(ConnectionResetError):
        await whole_answer(client)


async def test_nobody_refuses_connections() -> None:
    with nobody() as url, pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port_of(url))


async def test_the_echo_is_openais_plain_answer(provider: Provider) -> None:
    async with AsyncOpenAI(base_url=provider.url, api_key="k") as openai:
        create = openai.chat.completions.create
        answers = [await create(model="gpt-4o-mini", messages=MESSAGES, n=2) for _ in range(2)]
    assert [choice.message.content for choice in answers[0].choices] == [
        "You said: Zoë  says hi",
        "You said: Zoë  says hi #1",
    ]
    assert answers[0].model == "gpt-4o-mini-2024-07-18"
    assert answers[0].usage
    assert answers[0].usage.total_tokens == 14
    assert answers[0].id != answers[1].id


async def test_the_echo_streams_every_reply_in_turns(provider: Provider) -> None:
    async with AsyncOpenAI(base_url=provider.url, api_key="k") as openai:
        stream = await openai.chat.completions.create(
            model="echo-1", messages=MESSAGES, n=2, stream=True
        )
        chunks = [chunk async for chunk in stream]
    texts = ["", ""]
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.delta.content or ""
    assert texts == ["You said: Zoë  says hi", "You said: Zoë  says hi #1"]
    assert [chunk.choices[0].index for chunk in chunks[:4]] == [0, 1, 0, 1]
    assert {chunk.model for chunk in chunks} == {"echo-1"}


def sent_chunks(events: Sequence[bytes]) -> list[dict[str, Any]]:
    *chunks, done = (event.removeprefix(b"data: ").removesuffix(b"\n\n") for event in events)
    assert done == b"[DONE]"
    return [json.loads(chunk) for chunk in chunks]


@pytest.mark.parametrize("options", [None, {}, {"include_usage": True}])
async def test_streamed_chunks_have_openais_keys_in_order(
    provider: Provider, options: dict[str, bool] | None
) -> None:
    asked = {"model": "m", "messages": MESSAGES, "stream": True, "stream_options": options}
    answer = provider.echo(received("POST", "/v1/chat/completions", asked))
    assert isinstance(answer, Stream)
    chunks = sent_chunks(answer.pieces)
    keys = "id object created model service_tier system_fingerprint choices usage obfuscation"
    expected = [key for key in keys.split() if key != "usage" or options]
    assert all(list(chunk) == expected for chunk in chunks)
    usages = [chunk["usage"] is not None for chunk in chunks if "usage" in chunk]
    assert usages == ([False] * (len(chunks) - 1) + [True] if options else [])


def received(method: str, target: str, body: object) -> Received:
    return Received(method, target, (), json.dumps(body).encode(), b"", 1)


async def test_half_a_surrogate_pair_is_echoed_escaped(provider: Provider) -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "\ud83d"}]}
    answer = provider.echo(received("POST", "/v1/chat/completions", asked))
    assert isinstance(answer, Plain)
    assert b'"You said: \\ud83d"' in answer.body


async def test_the_echo_lists_two_models_and_knows_no_other_url(provider: Provider) -> None:
    models = provider.echo(received("GET", "/v1/models", None))
    other = provider.echo(received("GET", "/v1/files?limit=1", None))
    assert isinstance(models, Plain)
    assert isinstance(other, Plain)
    assert len(json.loads(models.body)["data"]) == 2
    assert other.status == 404
    assert json.loads(other.body)["error"]["message"] == "Invalid URL (GET /v1/files)"
