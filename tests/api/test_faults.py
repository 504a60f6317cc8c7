"""Clocks that jump and files that run out: what was acknowledged stays, and the server serves on.

A full disk, a failing fsync and a foreign lock are in test_error_shape_behind.py,
test_broken_answers.py and tests/contract.
"""

import asyncio
import contextlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.provider import Provider
from support.rawhttp import PATH, asked, connected, get, post
from support.refusals import create
from support.server import KEY, ServerProcess

from chatkeep.core.proxy.recorder import Clock

HOUR = 3600.0


class Jumping:
    """Two clocks that a test sets forward and back."""

    def __init__(self) -> None:
        self.off = 0.0
        self.clock = Clock(unix=lambda: time.time() + self.off, monotonic=time.monotonic)


async def made(url: str, key: str, headers: dict[str, str] | None = None, **fields: Any) -> str:
    request = post(PATH, create(store=True, **fields), key, headers)
    reply = await asked(url, request)
    assert (reply.head.status, reply.head["x-chatkeep-stored"]) == (200, "yes")
    return reply.head["x-chatkeep-id"]


async def listed(url: str, key: str) -> list[str]:
    reply = await asked(url, get(f"{PATH}?limit=100&order=asc", key))
    return [item["id"] for item in json.loads(reply.body)["data"]]


async def test_a_clock_that_jumps_changes_no_order(provider: Provider, tmp_path: Path) -> None:
    jumping = Jumping()
    ids: list[str] = []
    for off in (0.0, -HOUR, 2 * HOUR, -24 * HOUR):  # and a restart between them
        async with chatkeep_server.chatkeep(
            tmp_path, provider.url, clock=jumping.clock
        ) as chatkeep:
            ids.append(await made(chatkeep.url, chatkeep.key))
            jumping.off = off
            ids += [await made(chatkeep.url, chatkeep.key) for _ in range(2)]
            assert await listed(chatkeep.url, chatkeep.key) == ids
            for id in ids:
                reply = await asked(chatkeep.url, get(f"{PATH}/{id}", chatkeep.key))
                assert reply.head.status == 200
    assert sorted(ids) == ids


@pytest.mark.parametrize("off", [-HOUR, HOUR])
async def test_a_repeated_call_is_known_after_a_jump(
    provider: Provider, tmp_path: Path, off: float
) -> None:
    jumping = Jumping()
    once = {"idempotency-key": "once"}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, clock=jumping.clock) as chatkeep:
        first = await made(chatkeep.url, chatkeep.key, once)
        jumping.off = off
        assert await made(chatkeep.url, chatkeep.key, once) == first
    assert len(provider.requests) == 1


async def crowd(chatkeep: Chatkeep | ServerProcess, stack: contextlib.AsyncExitStack) -> None:
    """More connections than there can be, each with a request."""
    for _ in range(200):
        with contextlib.suppress(OSError):
            wire = await stack.enter_async_context(connected(chatkeep.url))
            wire.send(get("/healthz", None))


async def served(url: str) -> None:
    """Returns when a request is answered 200."""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with asyncio.timeout(5):
                if (await asked(url, get("/readyz", None))).head.status == 200:
                    return


async def test_with_few_files_to_open_a_crowd_is_turned_away(
    provider: Provider, tmp_path: Path
) -> None:
    few = ("/bin/sh", "-c", 'ulimit -n 100; exec "$@"', "sh", sys.executable, "-m", "chatkeep")
    async with ServerProcess(tmp_path, provider.url, command=few) as server:
        id = await made(server.url, KEY)
        async with contextlib.AsyncExitStack() as stack:
            await crowd(server, stack)
        await served(server.url)
        assert await listed(server.url, KEY) == [id]
        id2 = await made(server.url, KEY)
        assert await listed(server.url, KEY) == [id, id2]
        assert await asyncio.to_thread(server.terminate) == 0


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


if sys.platform == "linux":  # elsewhere no process can take another's files away

    async def test_a_server_out_of_files_serves_again_when_it_has_some(
        provider: Provider, tmp_path: Path
    ) -> None:
        async with ServerProcess(tmp_path, provider.url) as server:
            id = await made(server.url, KEY)
            before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
            async with connected(server.url) as early, contextlib.AsyncExitStack() as stack:
                early.send(get("/healthz", None))
                await early.reply()
                used = open_files(server.pid)
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used, before[1]))
                await crowd(server, stack)
                # A connection there is serves on, but its upstream cannot be reached.
                early.send(post(PATH, create(store=True, user="x"), KEY))
                assert (await early.reply()).head.status in (200, 502)
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
            await served(server.url)
            assert id in await listed(server.url, KEY)
            await made(server.url, KEY)
            assert await asyncio.to_thread(server.terminate) == 0
