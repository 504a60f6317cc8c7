"""`Idempotency-Key` on stored creates: a repeated call is answered from the record."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from support import chatkeep_server
from support.calls import kept
from support.chatkeep_server import Chatkeep
from support.faultyvfs import FaultyVfs
from support.provider import Answer, CutAfter, Hang, Plain, Provider, Raw, Refuse, Stream
from support.rawhttp import PATH, Reply, Wire, asked, connected, get, head_of, post
from support.refusals import Refusal, create, refused

from chatkeep.core.proxy.recorder import Clock
from chatkeep.web.app import SYSTEM_CLOCK

pytestmark = pytest.mark.usefixtures("nothing_left_open")

REUSED = Refusal(
    "IdempotencyKeyReused",
    "The Idempotency-Key was used for another request within the last 24 hours. Give a new request"
    " a new key.",
)
EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":%b}]}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


def keyed(chatkeep: Chatkeep, body: bytes, key: str = "once", **headers: str) -> bytes:
    """A create request with an Idempotency-Key."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return post(PATH, body, chatkeep.key, {"idempotency-key": key, **given})


async def repeated(chatkeep: Chatkeep, body: bytes, key: str = "once", **headers: str) -> Reply:
    return await asked(chatkeep.url, keyed(chatkeep, body, key, **headers))


def says(reply: Reply) -> list[str]:
    return reply.head.all("x-chatkeep-idempotency")


async def arrived(chatkeep: Chatkeep, *wires: Wire) -> None:
    """Returns when the server has read what these sent: it takes requests as they come."""
    for _ in (chatkeep, *wires):
        await asked(chatkeep.url, get("/readyz", None))


@STREAM
@pytest.mark.parametrize(
    "other",
    [{"user": "x"}, {"metadata": {"a": "b"}}, {"model": "n"}, {"seed": 1}, {"stream": None}],
)
async def test_another_body_under_the_same_key_is_refused(
    chatkeep: Chatkeep, provider: Provider, stream: bool, other: dict[str, Any]
) -> None:
    assert (await repeated(chatkeep, create(store=True, stream=stream))).head.status == 200
    changed = create(**{"store": True, "stream": stream, **other})
    await refused(chatkeep.url, keyed(chatkeep, changed), REUSED)
    assert (len(provider.requests), len(await kept(chatkeep))) == (1, 1)


async def test_the_same_json_in_other_bytes_is_another_body(chatkeep: Chatkeep) -> None:
    await repeated(chatkeep, create(store=True))
    await refused(chatkeep.url, keyed(chatkeep, create(store=True) + b"\n"), REUSED)


async def test_another_body_is_refused_while_the_first_call_goes_on(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    hang = provider.answer(Hang(then=Plain(b'{"id":"x","choices":[{"index":0}]}')))
    first = asyncio.create_task(repeated(chatkeep, create(store=True)))
    await hang.arrived.wait()
    await refused(chatkeep.url, keyed(chatkeep, create(store=True, user="x")), REUSED)
    hang.release()
    assert (await first).head.status == 200


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
@STREAM
async def test_an_upstreams_error_is_not_remembered(
    chatkeep: Chatkeep, provider: Provider, status: int, stream: bool
) -> None:
    provider.answer(Plain(b'{"error":{}}', status))
    body = create(store=True, stream=stream)
    first, second = await repeated(chatkeep, body), await repeated(chatkeep, body)
    assert (first.head.status, second.head.status, says(second)) == (status, 200, [])
    assert len(provider.requests) == 2


@pytest.mark.parametrize("status", [400, 500])
async def test_after_an_upstreams_error_the_key_is_free_for_another_body(
    chatkeep: Chatkeep, provider: Provider, status: int
) -> None:
    provider.answer(Plain(b'{"error":{}}', status))
    await repeated(chatkeep, create(store=True))
    assert (await repeated(chatkeep, create(store=True, user="x"))).head.status == 200


@pytest.mark.parametrize(
    "answer",
    [
        Refuse(),
        Raw(b"nonsense\r\n\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"),
    ],
    ids=["closed", "no HTTP", "cut"],
)
@STREAM
async def test_an_upstreams_failure_is_not_remembered(
    chatkeep: Chatkeep, provider: Provider, answer: Answer, stream: bool
) -> None:
    provider.answer(answer)
    body = create(store=True, stream=stream)
    first, second = await repeated(chatkeep, body), await repeated(chatkeep, body)
    assert (first.head.status, second.head.status, says(second)) == (502, 200, [])
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        CutAfter([EVENT % b"null", DONE], len(EVENT)),
        Stream([EVENT % b"null", b'data: {"error":{"message":"overloaded"}}\n\n']),
    ],
    ids=["cut", "error event"],
)
async def test_a_stream_that_failed_midway_is_not_remembered(
    chatkeep: Chatkeep, provider: Provider, answer: Answer
) -> None:
    provider.answer(answer)
    body = create(store=True, stream=True)
    await repeated(chatkeep, body)
    second = await repeated(chatkeep, body)
    assert (second.head.status, says(second)) == (200, [])
    assert b"You said: hi" in joined(second.body)
    assert {row.status for row in await kept(chatkeep)} == {"failed_midstream", "complete"}


@pytest.fixture
async def timeless(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    """A server for which no lease runs out."""
    clock = Clock(unix=lambda: 1.8e9, monotonic=SYSTEM_CLOCK.monotonic)
    async with chatkeep_server.chatkeep(tmp_path, provider.url, clock=clock) as running:
        yield running


async def test_when_the_client_left_what_is_partial_is_not_remembered(
    timeless: Chatkeep, provider: Provider
) -> None:
    stream = provider.answer(Stream([EVENT % b"null"] * 3 + [DONE], stepped=True))
    body = create(store=True, stream=True)
    async with connected(timeless.url) as wire:
        wire.send(keyed(timeless, body))
        await wire.head()
        stream.step()
        await wire.until(b"Hi")
        wire.leave()
        await stream.ended.wait()
    second = await repeated(timeless, body)
    assert (says(second), len(provider.requests)) == ([], 2)
    assert {row.status for row in await kept(timeless)} == {"partial", "complete"}
    assert says(await repeated(timeless, body)) == ["repeated"]


async def test_when_the_client_left_before_the_answer_the_key_is_free(
    timeless: Chatkeep, provider: Provider
) -> None:
    hang = provider.answer(Hang())
    async with connected(timeless.url) as wire:
        wire.send(keyed(timeless, create(store=True)))
        await hang.arrived.wait()
        wire.leave()
        await hang.ended.wait()
    second = await repeated(timeless, create(store=True, user="x"))
    assert (second.head.status, says(second)) == (200, [])


@STREAM
async def test_a_refused_request_does_not_take_the_key(
    chatkeep: Chatkeep, provider: Provider, stream: bool
) -> None:
    wrong = await repeated(chatkeep, create(store=True, stream=stream, n="x"))
    right = await repeated(chatkeep, create(store=True, stream=stream))
    assert (wrong.head.status, right.head.status) == (400, 200)
    assert len(provider.requests) == 1


@STREAM
async def test_a_call_that_was_not_to_be_stored_ignores_the_key(
    chatkeep: Chatkeep, provider: Provider, stream: bool
) -> None:
    for body in (create(stream=stream), create(stream=stream), create(store=False)):
        reply = await repeated(chatkeep, body)
        assert (reply.head.status, says(reply)) == (200, [])
    assert says(await repeated(chatkeep, create(store=True))) == []
    assert [r.header("idempotency-key") for r in provider.requests] == ["once"] * 4


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": ""}], ids=["none", "empty"])
async def test_without_a_key_equal_calls_are_different_calls(
    chatkeep: Chatkeep, provider: Provider, headers: dict[str, str]
) -> None:
    for _ in range(2):
        await asked(chatkeep.url, post(PATH, create(store=True), chatkeep.key, headers))
    assert (len(provider.requests), len(await kept(chatkeep))) == (2, 2)


async def test_keys_differ_by_case_and_every_character(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    keys = ["k", "K", "k1", "k" * 255, "k" * 256, "\xe9", "k k"]
    for key in keys:
        assert says(await repeated(chatkeep, create(store=True), key)) == []
    for key in keys:
        assert says(await repeated(chatkeep, create(store=True), key)) == ["repeated"]
    assert len(provider.requests) == len(keys)


async def test_a_key_counts_within_its_project(chatkeep: Chatkeep, provider: Provider) -> None:
    theirs = await chatkeep.add_key("sk-ck-theirs", "other")
    ours_too = await chatkeep.add_key("sk-ck-ours-too", "default")
    first = await repeated(chatkeep, create(store=True))
    for key, body, called in (
        (theirs, create(store=True, user="x"), 2),
        (ours_too, create(store=True), 2),
        (theirs, create(store=True, user="x"), 2),
    ):
        reply = await asked(chatkeep.url, post(PATH, body, key, {"idempotency-key": "once"}))
        assert (reply.head.status, len(provider.requests)) == (200, called)
        same = reply.head["x-chatkeep-id"] == first.head["x-chatkeep-id"]
        assert same == (key == ours_too)


async def test_a_repeated_call_is_answered_with_the_same_bytes(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    answer = (
        b'{ "id":"x" ,"choices":[{"message":{"content":"caf\\u00e9 \xe6\x9d\xb1"}}],"n":1.0}\r\n'
    )
    provider.answer(Plain(answer))
    first = await repeated(chatkeep, create(store=True))
    second = await repeated(chatkeep, create(store=True))
    assert (second.head.status, second.body) == (200, first.body)
    assert second.head["content-type"] == "application/json"
    assert (says(first), says(second)) == ([], ["repeated"])
    for name in ("x-chatkeep-id", "x-chatkeep-upstream", "x-chatkeep-stored"):
        assert second.head[name] == first.head[name]
    assert second.head["x-chatkeep-stored"] == "yes"
    assert second.head["x-request-id"] != first.head["x-request-id"]
    assert (len(provider.requests), len(await kept(chatkeep))) == (1, 1)


async def test_the_key_goes_up_with_the_call(chatkeep: Chatkeep, provider: Provider) -> None:
    await repeated(chatkeep, create(store=True))
    assert provider.requests[0].header("idempotency-key") == "once"


async def test_a_repeated_call_shows_the_answer_and_not_changed_metadata(
    chatkeep: Chatkeep,
) -> None:
    body = create(store=True, metadata={"a": "b"})
    first = await repeated(chatkeep, body)
    path = f"{PATH}/{first.head['x-chatkeep-id']}"
    await asked(chatkeep.url, post(path, b'{"metadata":{}}', chatkeep.key))
    assert (await repeated(chatkeep, body)).body == first.body


@STREAM
async def test_after_deleting_the_completion_the_call_is_made_again(
    chatkeep: Chatkeep, provider: Provider, stream: bool
) -> None:
    body = create(store=True, stream=stream)
    first = await repeated(chatkeep, body)
    deleted = head_of("DELETE", f"{PATH}/{first.head['x-chatkeep-id']}", chatkeep.key, {})
    assert (await asked(chatkeep.url, deleted)).head.status == 200
    again = await repeated(chatkeep, body)
    assert (says(again), len(provider.requests)) == ([], 2)
    assert again.head["x-chatkeep-id"] != first.head["x-chatkeep-id"]
    assert says(await repeated(chatkeep, body)) == ["repeated"]


async def test_concurrent_calls_wait_for_the_first_and_get_its_answer(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    hang = provider.answer(Hang(then=Plain(b'{"id":"x","choices":[{"index":0}]}')))
    first = asyncio.create_task(repeated(chatkeep, create(store=True)))
    await hang.arrived.wait()
    async with connected(chatkeep.url) as second, connected(chatkeep.url) as third:
        for wire in (second, third):
            wire.send(keyed(chatkeep, create(store=True)))
        await arrived(chatkeep, second, third)
        hang.release()
        replies = [await first, await second.reply(), await third.reply()]
    assert {reply.body for reply in replies} == {replies[0].body}
    assert [says(reply) for reply in replies] == [[], ["repeated"], ["repeated"]]
    assert (len(provider.requests), len(await kept(chatkeep))) == (1, 1)


async def test_a_concurrent_stream_comes_when_the_first_is_stored(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    stream = provider.answer(Stream([EVENT % b"null", EVENT % b'"stop"', DONE], stepped=True))
    body = create(store=True, stream=True)
    async with connected(chatkeep.url) as first, connected(chatkeep.url) as second:
        first.send(keyed(chatkeep, body))
        id = (await first.head())["x-chatkeep-id"]
        stream.step()
        await first.until(b"Hi")
        second.send(keyed(chatkeep, body))
        await arrived(chatkeep, second)
        stream.step(2)
        await first.until(DONE)
        reply = await second.reply()
    assert (says(reply), reply.head["x-chatkeep-id"]) == (["repeated"], id)
    assert joined(reply.body) == b"HiHi"
    assert len(provider.requests) == 1


async def test_one_of_the_waiting_calls_takes_over_when_the_first_fails(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    hang = provider.answer(Hang(then=Plain(b'{"error":{}}', 500)))
    first = asyncio.create_task(repeated(chatkeep, create(store=True)))
    await hang.arrived.wait()
    async with connected(chatkeep.url) as second, connected(chatkeep.url) as third:
        for wire in (second, third):
            wire.send(keyed(chatkeep, create(store=True)))
        await arrived(chatkeep, second, third)
        hang.release()
        replies = [await second.reply(), await third.reply()]
    assert (await first).head.status == 500
    assert [reply.head.status for reply in replies] == [200, 200]
    assert sorted(map(len, map(says, replies))) == [0, 1]
    assert replies[0].body == replies[1].body
    assert (len(provider.requests), len(await kept(chatkeep))) == (2, 1)


async def test_a_waiting_client_that_leaves_takes_nothing_with_it(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    hang = provider.answer(Hang(then=Plain(b'{"id":"x","choices":[{"index":0}]}')))
    first = asyncio.create_task(repeated(chatkeep, create(store=True)))
    await hang.arrived.wait()
    async with connected(chatkeep.url) as second:
        second.send(keyed(chatkeep, create(store=True)))
        await arrived(chatkeep, second)
        second.leave()
    hang.release()
    assert (await first).head.status == 200
    assert says(await repeated(chatkeep, create(store=True))) == ["repeated"]


@STREAM
async def test_a_key_survives_a_restart_of_the_server(
    provider: Provider, tmp_path: Path, stream: bool
) -> None:
    body = create(store=True, stream=stream)
    replies = []
    for _ in range(2):
        async with chatkeep_server.chatkeep(tmp_path, provider.url) as chatkeep:
            replies.append(await repeated(chatkeep, body))
            await refused(chatkeep.url, keyed(chatkeep, create(store=True, user="x")), REUSED)
    assert replies[0].head["x-chatkeep-id"] == replies[1].head["x-chatkeep-id"]
    assert joined(replies[0].body) == joined(replies[1].body)
    assert len(provider.requests) == 1


@pytest.fixture
async def disk() -> AsyncIterator[FaultyVfs]:
    with FaultyVfs() as disk:
        yield disk


@STREAM
async def test_a_key_that_cannot_be_honoured_is_said_to_be_off(
    provider: Provider, tmp_path: Path, disk: FaultyVfs, stream: bool
) -> None:
    body = create(store=True, stream=stream)
    async with chatkeep_server.chatkeep(tmp_path, provider.url, vfs=disk.name) as chatkeep:
        await repeated(chatkeep, create(store=True), "before")
        with disk.failing("wal", "write", apsw.FullError):
            replies = [await repeated(chatkeep, body) for _ in range(2)]
        for reply in replies:
            assert (reply.head.status, says(reply), reply.complete) == (200, ["off"], True)
            assert b"You said: hi" in joined(reply.body)
        assert len(provider.requests) == 3
        later = await repeated(chatkeep, body)
        assert (says(later), says(await repeated(chatkeep, body))) == ([], ["repeated"])


def joined(body: bytes) -> bytes:
    """The content of an answer, streamed or not."""
    if not body.startswith(b"data: "):
        return str(json.loads(body)["choices"][0]["message"]["content"]).encode()
    lines = body.decode().splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    chunks = [json.loads(chunk) for chunk in data if chunk != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices).encode()
