"""What is over is let go of at once: garbage in circles would hold whole bodies for minutes."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from support.chatkeep_server import Chatkeep
from support.kept import finished
from support.provider import CutAfter, Provider, Stream
from support.rawhttp import PATH, asked, connected, get, head_of, post
from support.refusals import create

from chatkeep.core.proxy.call import Call
from chatkeep.upstream.http.client import HttpAnswer
from chatkeep.web.request import Request

EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'


@pytest.fixture
def circles() -> Iterator[list[Any]]:
    """What the garbage collector would have had to find."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def left(circles: list[Any]) -> list[Any]:
    gc.collect()
    return [found for found in circles if isinstance(found, Request | Call)]


def answers_held() -> int:
    """How many answers of upstreams there are."""
    gc.collect()
    # Not isinstance: some modules load when they are asked for their class.
    return sum(type(found) is HttpAnswer for found in gc.get_objects())


@pytest.mark.parametrize("fields", [{}, {"stream": True}], ids=["plain", "stream"])
@pytest.mark.parametrize("store", [True, False], ids=["stored", "unstored"])
async def test_a_call_that_is_over_is_let_go_of(
    chatkeep: Chatkeep, circles: list[Any], fields: dict[str, Any], store: bool
) -> None:
    for _ in range(3):
        await asked(chatkeep.url, post(PATH, create(store=store, **fields), chatkeep.key))
    await asked(chatkeep.url, get(PATH, chatkeep.key))
    assert left(circles) == []


async def test_a_call_that_took_long_is_let_go_of(
    chatkeep: Chatkeep, provider: Provider, circles: list[Any]
) -> None:
    stream = provider.answer(Stream([EVENT] * 3, stepped=True))
    async with connected(chatkeep.url) as wire, connected(chatkeep.url) as meanwhile:
        wire.send(post(PATH, create(stream=True, store=True), chatkeep.key))
        await wire.head()
        for _ in range(100):  # by then its disconnect is watched
            meanwhile.send(get("/healthz", None))
            await meanwhile.reply()
        stream.step(3)
        await wire.until(b"Hi")
        while await wire.piece():
            pass
    assert left(circles) == []


async def test_a_call_its_client_left_is_let_go_of(
    chatkeep: Chatkeep, provider: Provider, circles: list[Any]
) -> None:
    stream = provider.answer(Stream([EVENT] * 3, stepped=True))
    async with connected(chatkeep.url) as wire:
        wire.send(post(PATH, create(stream=True, store=True), chatkeep.key))
        stream.step()
        await wire.head()
        wire.leave()
    await finished(chatkeep)
    assert left(circles) == []


async def test_answers_that_clients_left_are_not_gathered(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    for _ in range(3):
        stream = provider.answer(Stream([EVENT] * 3, stepped=True))
        async with connected(chatkeep.url) as wire:
            wire.send(post(PATH, create(stream=True, store=True), chatkeep.key))
            stream.step()
            await wire.head()
            await wire.until(b"Hi")
            assert answers_held()
            wire.leave()
        await stream.ended.wait()
    await finished(chatkeep, calls=3)  # what had come is being kept until then
    assert answers_held() == 0


async def test_a_body_that_could_not_be_read_is_let_go_of(
    chatkeep: Chatkeep, provider: Provider, circles: list[Any]
) -> None:
    head = head_of("POST", PATH, chatkeep.key, {"transfer-encoding": "chunked"})
    await asked(chatkeep.url, head + b"zz\r\n")
    provider.answer(CutAfter([EVENT], 5))
    await asked(chatkeep.url, post(PATH, create(stream=True), chatkeep.key))
    assert left(circles) == []
