"""Creating completions: what is handed on, what is stored, and in which order."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from support import echo
from support.memory.data import Data
from support.memory.store import MemoryStore
from support.proxying import EVENTS, FakeAnswer, FakeUpstream, Proxy, header, request, whole

from chatkeep.core.model.completion import Key
from chatkeep.core.model.ids import decode
from chatkeep.core.proxy.call import Reply, StreamingResponse
from chatkeep.errors import ModelNotFound, Refusal, StoreFailed, UpstreamUnreachable

DONE = b"data: [DONE]\n\n"
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


class SlowStore(MemoryStore):
    """Commits when it is released."""

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        self.asked, self.released = asyncio.Event(), asyncio.Event()

    async def insert(self, *given: Any, **named: Any) -> None:
        self.asked.set()
        await self.released.wait()
        await super().insert(*given, **named)


class FailingStore(MemoryStore):
    """Commits nothing."""

    async def insert(self, *_: Any, **__: Any) -> None:
        raise StoreFailed(detail="the disk is full")


@pytest.fixture
def slow(data: Data) -> SlowStore:
    return SlowStore(data)


async def read_on(pieces: AsyncIterator[bytes], until: bytes) -> bytes:
    read = b""
    while not read.endswith(until):
        read += await anext(pieces)
    return read


def pieces_of(reply: Reply) -> AsyncIterator[bytes]:
    assert isinstance(reply, StreamingResponse)
    return reply.pieces


@STREAM
async def test_what_was_answered_is_stored_under_the_id_it_was_answered_with(
    proxy: Proxy, stream: bool
) -> None:
    reply = await proxy.create(request(store=True, stream=stream))
    body = await whole(reply)
    id = header(reply, "x-chatkeep-id")
    assert id is not None
    assert id.encode() in body
    assert b"chatcmpl-Upstream" not in body
    name = decode(id)
    assert name is not None
    stored = await proxy.store.get(proxy.project, name)
    assert stored is not None
    assert (stored.row.status, stored.row.upstream) == ("complete", "fake")
    assert stored.upstream_id == echo.upstream_id(1)
    assert (stored.answer == body) is not stream
    assert b"You said: hello" in stored.answer
    assert proxy.told.stored_as == ["complete"]


async def test_a_plain_answer_waits_for_the_commit(slow: SlowStore, key: Key) -> None:
    creating = asyncio.create_task(Proxy(slow, key).create(request(store=True)))
    await slow.asked.wait()
    assert not creating.done()
    slow.released.set()
    assert header(await creating, "x-chatkeep-stored") == "yes"


async def test_a_stream_flows_and_its_end_waits_for_the_commit(slow: SlowStore, key: Key) -> None:
    proxy = Proxy(slow, key)
    reply = await proxy.create(request(store=True, stream=True))
    assert header(reply, "x-chatkeep-stored") == "pending"
    pieces = pieces_of(reply)
    read = b""
    while b'"finish_reason":"stop"' not in read:
        read += await anext(pieces)
    ending = asyncio.create_task(read_on(pieces, DONE))
    await slow.asked.wait()
    assert not ending.done()
    assert await proxy.rows() == []
    slow.released.set()
    assert (await ending).endswith(DONE)
    assert len(await proxy.rows()) == 1


async def test_when_storing_fails_the_answer_is_handed_on_and_says_so(data: Data, key: Key) -> None:
    proxy = Proxy(FailingStore(data), key)
    reply = await proxy.create(request(store=True))
    assert b"You said: hello" in await whole(reply)
    said = header(reply, "x-chatkeep-stored")
    assert said is not None
    assert said.startswith("no; ")
    assert (proxy.told.reasons, await proxy.outcomes()) == (["store"], {"unkept": 1})


async def test_when_storing_a_stream_fails_a_comment_before_its_end_says_so(
    data: Data, key: Key
) -> None:
    proxy = Proxy(FailingStore(data), key)
    body = await whole(await proxy.create(request(store=True, stream=True)))
    before, comment, end = body.rpartition(b": chatkeep stored=no; ")
    assert before.count(b"data: ") > 2
    assert comment
    assert end.endswith(b"\n\n" + DONE)
    assert proxy.told.reasons == ["store"]


@STREAM
async def test_what_is_not_to_be_stored_passes_as_it_is(proxy: Proxy, stream: bool) -> None:
    asked = request(stream=stream)
    reply = await proxy.create(asked)
    decoded = msgspec.json.decode(asked)
    passed = b"".join(echo.events(decoded, 1)) if stream else echo.completion(decoded, 1)
    assert await whole(reply) == passed
    assert header(reply, "x-chatkeep-stored") == "no; store was not asked for"
    assert proxy.upstream.received == [asked]
    assert await proxy.outcomes() == {"passed": 1}


@pytest.mark.parametrize(("asked", "kept"), [(None, 1), (True, 1), (False, 0)])
async def test_a_project_may_store_by_default(
    asked: bool | None, kept: int, key: Key, proxy: Proxy
) -> None:
    project = msgspec.structs.replace(key.project, store_by_default=True)
    proxy.key = msgspec.structs.replace(key, project=project)
    await whole(await proxy.create(request() if asked is None else request(store=asked)))
    assert len(await proxy.rows()) == kept


async def test_the_upstream_is_not_asked_to_store(proxy: Proxy) -> None:
    await proxy.create(request(store=True, metadata={"a": "1"}))
    assert proxy.upstream.received == [request()]
    assert (await proxy.rows())[0].metadata == b'{"a":"1"}'


@STREAM
async def test_what_is_too_large_to_store_passes_whole(
    store: MemoryStore, key: Key, stream: bool
) -> None:
    proxy = Proxy(store, key, max_answer=300)
    body = await whole(await proxy.create(request(store=True, stream=stream)))
    assert b"hello" in body
    assert await proxy.rows() == []
    assert (proxy.told.reasons, await proxy.outcomes()) == (["too large"], {"unkept": 1})


@pytest.mark.parametrize("body", [b'{"error":{"message":"later"}}', b"<html>", b""])
async def test_what_is_no_completion_passes_and_is_not_stored(proxy: Proxy, body: bytes) -> None:
    html = (b"content-type", b"text/html")
    proxy.upstream.will(FakeAnswer(*filter(None, [body]), head=(html,)).end())
    reply = await proxy.create(request(store=True))
    assert await whole(reply) == body
    assert header(reply, "x-chatkeep-stored") == "no; it is no completion"
    assert (await proxy.rows(), proxy.told.reasons) == ([], ["no completion"])


async def test_an_upstreams_error_passes_and_is_not_stored(proxy: Proxy) -> None:
    error = b'{"error":{"message":"no"}}'
    proxy.upstream.will(FakeAnswer(error, status=400).end())
    reply = await proxy.create(request(store=True))
    assert (reply.status, await whole(reply)) == (400, error)
    assert header(reply, "x-chatkeep-stored") == "no; the upstream refused the call"
    assert (await proxy.rows(), await proxy.outcomes()) == ([], {"failed": 1})


@pytest.mark.parametrize(
    "first",
    [lambda: FakeAnswer(status=503).end(), lambda: UpstreamUnreachable(upstream="a", detail="x")],
    ids=["busy", "unreachable"],
)
async def test_another_upstream_is_tried_when_the_first_cannot(
    store: MemoryStore, key: Key, first: Any
) -> None:
    a, b = FakeUpstream("a"), FakeUpstream("b")
    a.will(first())
    proxy = Proxy(store, key, a, b)
    reply = await proxy.create(request(store=True))
    assert header(reply, "x-chatkeep-upstream") == "b"
    assert [row.upstream for row in await proxy.rows()] == ["b"]
    assert a.received == b.received


async def test_when_no_upstream_can_be_reached_that_is_the_answer(proxy: Proxy) -> None:
    proxy.upstream.will(UpstreamUnreachable(upstream="fake", detail="it is off"))
    with pytest.raises(UpstreamUnreachable):
        await proxy.create(request(store=True))
    assert (await proxy.rows(), await proxy.outcomes()) == ([], {"failed": 1})


async def test_models_of_upstreams_a_project_may_not_use_do_not_exist(
    key: Key, proxy: Proxy
) -> None:
    project = msgspec.structs.replace(key.project, upstreams=("another",))
    proxy.key = msgspec.structs.replace(key, project=project)
    with pytest.raises(ModelNotFound):
        await proxy.create(request(store=True))
    assert proxy.upstream.received == []


async def test_a_stream_that_breaks_off_is_stored_as_failed_and_breaks_off(proxy: Proxy) -> None:
    events = echo.events({"model": "m", "messages": [{"content": "one two"}]}, 1)
    proxy.upstream.will(FakeAnswer(*events[:3], head=(EVENTS,)).break_off())
    pieces = pieces_of(await proxy.create(request(store=True, stream=True)))
    read: list[bytes] = []
    with pytest.raises(Refusal, match="broke off"):
        read.extend([piece async for piece in pieces])
    assert [row.status for row in await proxy.rows()] == ["failed_midstream"]


async def test_a_stream_without_anything_in_it_is_not_stored(proxy: Proxy) -> None:
    proxy.upstream.will(FakeAnswer(head=(EVENTS,)).end())
    await whole(await proxy.create(request(store=True, stream=True)))
    assert (await proxy.rows(), proxy.told.reasons) == ([], ["nothing came"])
