"""`Idempotency-Key`: repeated, at the same time, taken over, not to be honoured."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from support import echo
from support.memory.data import Data
from support.memory.store import MemoryStore
from support.proxying import EVENTS, FakeAnswer, Proxy, header, request, whole

from chatkeep.core.forms import CHAT
from chatkeep.core.model.completion import Key
from chatkeep.core.model.ids import MAX_SEQ, Seq
from chatkeep.core.ports.claims import ClaimState
from chatkeep.errors import (
    BodyExpired,
    ClientLeft,
    IdempotencyKeyReused,
    Refusal,
    StoreBusy,
    UpstreamFailed,
    UpstreamUnreachable,
)

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
SAYS = "x-chatkeep-idempotency"


class NoClaims(MemoryStore):
    """Takes no claims."""

    async def claim(self, *_: Any) -> ClaimState:
        raise StoreBusy(detail="too many are waiting")


@STREAM
async def test_a_repeated_call_is_answered_from_the_record(proxy: Proxy, stream: bool) -> None:
    body = request(store=True, stream=stream)
    first = await proxy.create(body, idempotency_key="once")
    answer = await whole(first)
    again = await proxy.create(body, idempotency_key="once")
    assert (header(first, SAYS), header(again, SAYS)) == (None, "repeated")
    assert header(first, "x-chatkeep-id") == header(again, "x-chatkeep-id")
    assert b"hello" in await whole(again)
    assert stream or await whole(again) == answer
    assert (len(proxy.upstream.received), len(await proxy.rows())) == (1, 1)


async def test_another_key_is_another_call(proxy: Proxy) -> None:
    for key in ("a", "b"):
        await proxy.create(request(store=True), idempotency_key=key)
    assert len(await proxy.rows()) == 2


@pytest.mark.parametrize("headers", [{}, {"x_chatkeep_metadata": '{"a":"b"}'}])
async def test_another_request_under_the_same_key_is_refused(
    proxy: Proxy, headers: dict[str, str]
) -> None:
    await proxy.create(request(store=True), idempotency_key="once")
    other = request(store=True) if headers else request(store=True, seed=1)
    with pytest.raises(IdempotencyKeyReused) as refused:
        await proxy.create(other, idempotency_key="once", **headers)
    assert ("x-should-retry", "false") in refused.value.headers
    assert len(proxy.upstream.received) == 1


async def test_a_call_that_repeats_one_in_progress_waits_for_its_answer(proxy: Proxy) -> None:
    body = request(store=True)
    answer = FakeAnswer()
    proxy.upstream.will(answer)
    first = asyncio.create_task(proxy.create(body, idempotency_key="once"))
    await proxy.upstream.called.wait()
    second = asyncio.create_task(proxy.create(body, idempotency_key="once"))
    with pytest.raises(IdempotencyKeyReused):
        await proxy.create(request(store=True, seed=1), idempotency_key="once")
    answer.send(b'{"id":"x","choices":[{"index":0,"message":{"content":"Hi"}}]}')
    answer.end()
    assert await whole(await first) == await whole(await second)
    assert header(await second, SAYS) == "repeated"
    assert (len(proxy.upstream.received), len(await proxy.rows())) == (1, 1)


async def test_who_leaves_while_waiting_waits_no_longer(proxy: Proxy) -> None:
    proxy.upstream.will(FakeAnswer())
    first = asyncio.create_task(proxy.create(request(store=True), idempotency_key="once"))
    await proxy.upstream.called.wait()
    waiting = proxy.call(request(store=True), idempotency_key="once")
    waiting.disconnect.notify()
    with pytest.raises(ClientLeft):
        await proxy.creator.create(CHAT, waiting)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_key_whose_owner_has_died_is_taken_over(
    proxy: Proxy, data: Data, store: MemoryStore
) -> None:
    proxy.upstream.will(FakeAnswer())
    dying = asyncio.create_task(proxy.create(request(store=True), idempotency_key="once"))
    await proxy.upstream.called.wait()
    held = dict(data.claims)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    data.claims |= held  # as if the process had been killed
    proxy.clock.now += 60
    reply = await proxy.create(request(store=True), idempotency_key="once")
    assert header(reply, SAYS) is None
    assert (len(proxy.upstream.received), len(await proxy.rows())) == (2, 1)


async def test_a_key_is_forgotten_after_a_day(proxy: Proxy) -> None:
    await proxy.create(request(store=True), idempotency_key="once")
    proxy.clock.now += 86_400
    await proxy.create(request(store=True, seed=1), idempotency_key="once")
    assert len(await proxy.rows()) == 2


FIRST_EVENT = echo.events({"model": "m", "messages": [{}]}, 1)[0]


@pytest.mark.parametrize(
    "failing",
    [
        lambda: UpstreamUnreachable(upstream="fake", detail="it is off"),
        lambda: FakeAnswer(b'{"error":{}}', status=500).end(),
        lambda: FakeAnswer(FIRST_EVENT, head=(EVENTS,)).break_off(),
    ],
    ids=["unreachable", "error", "broken stream"],
)
async def test_what_failed_is_not_remembered(
    proxy: Proxy, failing: Callable[[], FakeAnswer | Refusal]
) -> None:
    body = request(store=True, stream=True)
    proxy.upstream.will(failing())
    with contextlib.suppress(UpstreamUnreachable, UpstreamFailed):
        await whole(await proxy.create(body, idempotency_key="once"))
    again = await proxy.create(body, idempotency_key="once")
    assert b"hello" in await whole(again)
    assert (header(again, SAYS), len(proxy.upstream.received)) == (None, 2)


async def test_a_store_that_takes_no_claims_keeps_nobody_from_an_answer(
    data: Data, key: Key
) -> None:
    proxy = Proxy(NoClaims(data), key)
    reply = await proxy.create(request(store=True), idempotency_key="once")
    assert (header(reply, SAYS), header(reply, "x-chatkeep-stored")) == ("off", "yes")


async def test_an_answer_that_is_not_kept_any_more_cannot_be_repeated(proxy: Proxy) -> None:
    await proxy.create(request(store=True), idempotency_key="once")
    await proxy.store.expire_bodies(proxy.project, Seq(MAX_SEQ), 1)
    with pytest.raises(BodyExpired):
        await proxy.create(request(store=True), idempotency_key="once")


async def test_a_call_that_is_not_stored_is_made_again(proxy: Proxy) -> None:
    for _ in range(2):
        await proxy.create(request(), idempotency_key="once")
    assert len(proxy.upstream.received) == 2
