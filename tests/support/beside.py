"""A chatkeep and its provider in a thread of their own, for tests that block."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import uvloop
from support import chatkeep_server, echo
from support.chatkeep_server import Chatkeep
from support.provider import Answer, Plain, Provider, Received, Stream

ASKED = {"model": "echo-1", "messages": [{"role": "user", "content": "hi"}]}


def unmoved(request: Received) -> Answer:
    """The same answer to everything, also to what has no sense."""
    if request.method == "GET":
        return Plain(echo.models())
    streamed = request.body.startswith(b"{") and request.json().get("stream") is True
    return Stream(echo.events(ASKED, 1)) if streamed else Plain(echo.completion(ASKED, 1))


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Chatkeep]:
    running: list[Chatkeep] = []
    ready = threading.Event()
    loop = uvloop.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        async with (
            Provider() as provider,
            chatkeep_server.chatkeep(folder, provider.url) as one,
        ):
            provider.always(unmoved)
            running.append(one)
            ready.set()
            await end.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield running[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
