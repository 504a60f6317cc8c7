"""Clients that leave: what the upstream notices, and what is stored."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from support import echo
from support.memory.store import MemoryStore
from support.proxying import EVENTS, FakeAnswer, FakeUpstream, Proxy, request

from chatkeep.core.forms import CHAT
from chatkeep.core.model.completion import Key, Row, Status
from chatkeep.core.proxy.call import Call, StreamingResponse

ASKED = {"model": "m", "messages": [{"content": "one two"}], "stream_options": {"include_usage": 1}}
FIRST, *MIDDLE, FINISH, USAGE, DONE = echo.events(ASKED, 1)


class Streaming:
    """A stored stream of which the first event has been read."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.answer = FakeAnswer(FIRST, head=(EVENTS,))
        self.call: Call = proxy.call(request(store=True, stream=True))

    async def begin(self) -> AsyncIterator[bytes]:
        self.proxy.upstream.will(self.answer)
        reply = await self.proxy.creator.create(CHAT, self.call)
        assert isinstance(reply, StreamingResponse)
        await anext(reply.pieces)
        return reply.pieces

    async def stored(self, pieces: AsyncIterator[bytes]) -> Row:
        """The row once nobody reads any more, as when the server goes on alone."""
        async for _ in pieces:
            pass
        await self.proxy.recorder.drain()
        (row,) = await self.proxy.rows()
        return row


async def test_a_client_that_leaves_in_the_middle_ends_the_call_and_what_came_is_stored(
    proxy: Proxy,
) -> None:
    streaming = Streaming(proxy)
    pieces = await streaming.begin()
    streaming.answer.send(MIDDLE[0])
    await anext(pieces)
    streaming.call.disconnect.notify()
    assert streaming.answer.closed.is_set()
    row = await streaming.stored(pieces)
    assert (row.status, row.finish_reason) == ("partial", None)


async def test_a_client_that_leaves_behind_the_last_word_leaves_a_whole_completion(
    proxy: Proxy,
) -> None:
    streaming = Streaming(proxy)
    pieces = await streaming.begin()
    for event in (*MIDDLE, FINISH):
        streaming.answer.send(event)
        await anext(pieces)
    streaming.call.disconnect.notify()
    assert not streaming.answer.closed.is_set()
    streaming.answer.send(USAGE)
    streaming.answer.send(DONE)
    streaming.answer.end()
    row = await streaming.stored(pieces)
    assert (row.status, row.finish_reason, row.usage.total_tokens) == ("complete", "stop", 6)


@pytest.mark.parametrize(("end", "status"), [(True, "complete"), (False, "failed_midstream")])
async def test_calls_may_be_set_to_finish_whoever_leaves(
    store: MemoryStore, key: Key, end: bool, status: Status
) -> None:
    streaming = Streaming(Proxy(store, key, on_disconnect="finish"))
    pieces = await streaming.begin()
    streaming.call.disconnect.notify()
    assert not streaming.answer.closed.is_set()
    if end:
        for event in (*MIDDLE, FINISH, USAGE, DONE):
            streaming.answer.send(event)
    streaming.answer.end()
    assert (await streaming.stored(pieces)).status == status


async def test_who_is_cut_off_while_reading_leaves_what_came(proxy: Proxy) -> None:
    streaming = Streaming(proxy)
    pieces = await streaming.begin()
    reading = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await proxy.recorder.drain()
    assert [row.status for row in await proxy.rows()] == ["partial"]
    assert streaming.answer.closed.is_set()


class Unanswering(FakeUpstream):
    """Never answers."""

    async def post(self, path: str, body: bytes, headers: Mapping[bytes, bytes]) -> FakeAnswer:
        self.called.set()
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("stored", [True, False])
async def test_a_client_that_leaves_before_there_is_an_answer_ends_the_call(
    store: MemoryStore, key: Key, stored: bool
) -> None:
    proxy = Proxy(store, key, Unanswering())
    call = proxy.call(request(store=stored))
    creating = asyncio.create_task(proxy.creator.create(CHAT, call))
    await proxy.upstream.called.wait()
    call.disconnect.notify()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert await proxy.rows() == []
