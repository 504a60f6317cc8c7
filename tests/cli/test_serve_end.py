"""How a server ends: what is in progress is finished, what was received is kept, the code is 0."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import openai
import pytest
from cli.shell import python
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk
from support import echo
from support.patience import PATIENCE_S
from support.provider import Hang, Plain, Provider, Stream, nobody
from support.server import KEY, ServerProcess

from chatkeep.core.model.completion import Query, Row
from chatkeep.store import open_store

UNFINISHED = 8
ASKED = {"model": "echo-1", "messages": [{"role": "user", "content": "one two three"}]}

# Whoever waits for the announcement may want the server to end right after it.
TOLD_TO_END_WHEN_READY = """
import io, os, signal, sys
from chatkeep.cli import main

class Announcing(io.TextIOWrapper):
    said = False

    def flush(self):
        super().flush()
        if not self.said:
            self.said = True
            os.kill(os.getpid(), signal.SIGTERM)

sys.stdout = Announcing(sys.stdout.detach())
main()
"""


@contextlib.asynccontextmanager
async def client(server: ServerProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE_S
    ) as client:
        yield client


async def stream(openai: openai.AsyncOpenAI, said: str) -> AsyncStream[ChatCompletionChunk]:
    return await openai.chat.completions.create(
        model="echo-1", messages=[{"role": "user", "content": said}], stream=True, store=True
    )


async def until_deaf(server: ServerProcess) -> None:
    """Returns when the server takes no more connections: it has heard that it is to end."""
    while True:
        try:
            async with httpx2.AsyncClient(timeout=PATIENCE_S) as http:
                await http.get(f"{server.url}/healthz")
        except httpx2.HTTPError:
            return


async def ended(server: ServerProcess) -> int:
    return await asyncio.to_thread(server.wait)


async def rows(folder: Path) -> list[Row]:
    """What is kept, newest first."""
    store = await open_store(f"sqlite:///{folder / 'chatkeep.db'}")
    try:
        (key, *_) = await store.keys()
        page = await store.page(key.project, Query())
        return [stored.row for stored in page.items]
    finally:
        await store.aclose()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_is_in_progress_is_finished_and_kept(
    tmp_path: Path, provider: Provider, number: signal.Signals
) -> None:
    async with ServerProcess(tmp_path, provider.url) as server, client(server) as openai:
        hanging = provider.answer(Hang(then=Plain(echo.completion(ASKED, 1))))
        create = openai.chat.completions.create(
            model="echo-1", messages=[{"role": "user", "content": "plain"}], store=True
        )
        plain = asyncio.create_task(create)
        await hanging.arrived.wait()
        streaming = provider.answer(Stream(echo.events(ASKED, 2), stepped=True))
        chunks = await stream(openai, "streamed")
        os.kill(server.pid, number)
        await until_deaf(server)
        hanging.release()
        streaming.step(len(streaming.pieces))
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
        assert text == "You said: one two three"
        assert (await plain).choices[0].message.content == "You said: one two three"
        assert await ended(server) == 0
        assert server.stderr == ""
    assert [row.status for row in await rows(tmp_path)] == ["complete", "complete"]


def test_a_server_that_just_said_it_is_ready_ends_in_peace(tmp_path: Path) -> None:
    with nobody() as upstream:
        arguments = ("serve", "--port", "0", "--upstream", upstream)
        ended = python(tmp_path, TOLD_TO_END_WHEN_READY, *arguments, CHATKEEP_KEY=KEY)
    assert "With Python:" in ended.out
    assert ended.code == 0


async def test_after_drain_s_what_was_received_is_kept(tmp_path: Path, provider: Provider) -> None:
    environment = {"CHATKEEP_DRAIN_S": "1"}
    async with (
        ServerProcess(tmp_path, provider.url, environment=environment) as server,
        client(server) as openai,
    ):
        await receiving(provider, openai)
        assert await asyncio.to_thread(server.terminate) == 0
    await assert_kept_in_part(tmp_path)


async def test_a_second_ctrl_c_does_not_wait_but_keeps_what_was_received(
    tmp_path: Path, provider: Provider
) -> None:
    async with ServerProcess(tmp_path, provider.url) as server, client(server) as openai:
        await receiving(provider, openai)
        os.kill(server.pid, signal.SIGINT)
        await until_deaf(server)
        os.kill(server.pid, signal.SIGINT)
        assert await ended(server) in (0, 130)
    await assert_kept_in_part(tmp_path)


async def receiving(provider: Provider, openai: openai.AsyncOpenAI) -> None:
    """Stored streams whose client has got some of each, and that go no further."""
    for number in range(UNFINISHED):
        streaming = provider.answer(Stream(echo.events(ASKED, number), stepped=True))
        chunks = await stream(openai, "unfinished")
        streaming.step(3)
        for _ in range(3):
            await anext(chunks)


async def assert_kept_in_part(folder: Path) -> None:
    kept = await rows(folder)
    assert len(kept) == UNFINISHED
    assert "complete" not in {row.status for row in kept}
    assert {row.finish_reason for row in kept} == {None}
