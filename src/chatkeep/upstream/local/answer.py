"""Answers of the built-in model: whole ones, and streams of choices written at the same time."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from chatkeep.core.ports.upstream import UpstreamAnswer
from chatkeep.core.proxy.call import read_whole
from chatkeep.core.stream.chat.assembly import Assembly
from chatkeep.core.stream.sse import EventSplitter, event_data
from chatkeep.core.wire.headers import Headers
from chatkeep.errors import Refusal, UpstreamFailed
from chatkeep.upstream.local.chunks import Chunks
from chatkeep.upstream.local.process import NAME
from chatkeep.upstream.local.request import Declined

_MAX_ERROR = 1 << 20
Ask = Callable[[int], Awaitable[UpstreamAnswer]]


class PlainAnswer:
    """An answer that is there already."""

    headers: Headers = ((b"content-type", b"application/json"),)

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status = status
        self._body = body

    async def read(self) -> bytes:
        return self.arrived()

    def arrived(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        """There is nothing to stop."""


class Stream:
    """The chunks of all choices in the order they come; ends with `[DONE]` or an error.

    `first` is the answer for the first choice, whose head is there; `ask` gets the others'.
    """

    status = 200
    headers: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"),)

    def __init__(self, chunks: Chunks, first: UpstreamAnswer, ask: Ask, n: int) -> None:
        self._chunks = chunks
        self._ask = ask
        self._responses = [first]
        self._arrived: asyncio.Queue[tuple[int, dict[str, Any] | None] | Refusal] = asyncio.Queue()
        self._unfinished = n
        self._waiting: list[bytes] = []
        self._ended = False
        self._closed = False
        self._tasks = [asyncio.create_task(self._follow(index)) for index in range(n)]

    async def read(self) -> bytes:
        chunk = await self.chunk()
        return b"" if chunk is None else b"data: " + chunk + b"\n\n"

    async def chunk(self) -> bytes | None:
        """The data of the next event, None at the end."""
        while not self._waiting:
            if self._closed:
                raise UpstreamFailed(upstream=NAME, detail="the call was cancelled")
            if self._ended:
                return None
            self._waiting = self._next(await self._arrived.get())
        return self._waiting.pop(0)

    def arrived(self) -> bytes:
        return b""

    def close(self) -> None:
        if not self._ended and not self._closed:
            self._arrived.put_nowait(UpstreamFailed(upstream=NAME, detail="the call was cancelled"))
        self._closed = True
        self._waiting.clear()
        self._stop()

    def _next(self, arrived: tuple[int, dict[str, Any] | None] | Refusal) -> list[bytes]:
        if isinstance(arrived, Refusal):
            self._stop()
            raise arrived
        index, chunk = arrived
        if chunk is None:
            self._unfinished -= 1
            self._ended = self._unfinished == 0
            return [*self._chunks.last(), b"[DONE]"] if self._ended else []
        if "error" in chunk:
            self._ended = True
            self._stop()
            return [declined(500, chunk).envelope()]
        return self._chunks.shaped(index, chunk)

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for response in self._responses:
            response.close()

    async def _follow(self, index: int) -> None:
        try:
            async for chunk in events(await self._response(index)):
                self._arrived.put_nowait((index, chunk))
            self._arrived.put_nowait((index, None))
        except Refusal as error:
            self._arrived.put_nowait(error)

    async def _response(self, index: int) -> UpstreamAnswer:
        if index == 0:
            return self._responses[0]
        response = await self._ask(index)
        self._responses.append(response)
        return response


async def assembled(stream: Stream, n: int) -> PlainAnswer:
    """What the same call without `stream` answers."""
    assembly = Assembly(n)
    try:
        while (chunk := await stream.chunk()) is not None:
            assembly.add(chunk)
    finally:
        stream.close()
    if assembly.error is not None:
        return PlainAnswer(b'{"error":' + assembly.error + b"}", 500)
    return PlainAnswer(assembly.completion())


async def events(response: UpstreamAnswer) -> AsyncIterator[dict[str, Any]]:
    """The chunks up to `[DONE]`, or the error that came in their place."""
    splitter = EventSplitter()
    try:
        if response.status != 200:
            yield await _error(response)
            return
        while data := await response.read():
            for event in splitter.feed(data):
                said = event_data(event)
                if said == b"[DONE]":
                    return
                if said is not None:
                    yield _read(said)
    finally:
        response.close()
    raise UpstreamFailed(upstream=NAME, detail="the model ended in the middle of its answer")


async def refusal(response: UpstreamAnswer) -> Declined:
    return declined(response.status, await _error(response))


async def _error(response: UpstreamAnswer) -> dict[str, Any]:
    text, _ = await read_whole(response, _MAX_ERROR)
    response.close()
    return _read(text)


def _read(text: bytes) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise UpstreamFailed(upstream=NAME, detail="what it says is no JSON") from error
    return read


def declined(status: int, answer: dict[str, Any]) -> Declined:
    """llama.cpp's error as OpenAI would say it."""
    error = answer["error"]
    message = str(error["message"])
    if error["type"] == "exceed_context_size_error":
        message = (
            f"This model's maximum context length is {error['n_ctx']} tokens. However, your"
            f" messages resulted in {error['n_prompt_tokens']} tokens. Please reduce the length"
            " of the messages."
        )
        return Declined(400, message, "messages", "context_length_exceeded")
    kind = "invalid_request_error" if status < 500 else "server_error"
    return Declined(status, message, type=kind)
