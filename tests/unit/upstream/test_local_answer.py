"""Answers of the built-in model, put together from what a server in llama.cpp's place says."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.calls import named

from chatkeep.core.ports.upstream import UpstreamAnswer
from chatkeep.errors import UpstreamFailed
from chatkeep.upstream.http.client import HttpUpstream
from chatkeep.upstream.local.answer import Stream, assembled, declined
from chatkeep.upstream.local.chunks import Chunks

DONE = "[DONE]"
GARBAGE = "{garbage"
PAUSE = "pause"
BREAK = "break"


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "chatcmpl-x", "created": 5, "choices": [choice]}


HI = [chunk({"role": "assistant", "content": None}), chunk({"content": "Hi"}), chunk({}, "stop")]


class Child:
    """Answers the call number n with the script number n."""

    def __init__(self, scripts: Sequence[Sequence[Any]]) -> None:
        self._scripts = scripts
        self.left = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for step in self._scripts[int(request.path[1:])]:
            if step == PAUSE:
                await self._wait_for_the_end()
            elif step == BREAK:
                assert request.transport is not None
                request.transport.close()
            else:
                said = step if isinstance(step, str) else json.dumps(step)
                await response.write(f": a comment\n\ndata: {said}\n\n".encode())
        return response

    async def _wait_for_the_end(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()


@asynccontextmanager
async def streaming(*scripts: Sequence[Any]) -> AsyncIterator[tuple[Stream, Child]]:
    child = Child(scripts)
    app = web.Application()
    app.router.add_get("/{number}", child.answer)
    async with (
        TestServer(app, handler_cancellation=True) as server,
        contextlib.aclosing(HttpUpstream(named("x", str(server.make_url(""))), "x")) as http,
    ):

        async def ask(index: int) -> UpstreamAnswer:
            return await http.get(f"/{index}")

        stream = Stream(Chunks(None, include_usage=False), await ask(0), ask, len(scripts))
        try:
            yield stream, child
        finally:
            stream.close()


async def whole(stream: Stream) -> list[Any]:
    text = b""
    while data := await stream.read():
        assert data.startswith(b"data: ")
        assert data.endswith(b"\n\n")
        text += data
    events = text.decode().removesuffix("\n\n").split("\n\n")
    return [said if said == DONE else json.loads(said) for said in (e[6:] for e in events)]


async def test_a_stream_ends_with_done() -> None:
    async with streaming([*HI, DONE]) as (stream, _):
        *chunks, done = await whole(stream)
        assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["", "Hi", None]
        assert done == DONE
        assert await stream.read() == b""


async def test_done_waits_for_the_last_choice() -> None:
    async with streaming([*HI, DONE], [*HI, DONE], [*HI, DONE]) as (stream, _):
        *chunks, done = await whole(stream)
        assert done == DONE
        ends = [c["choices"][0] for c in chunks if c["choices"][0]["finish_reason"] == "stop"]
        assert sorted(end["index"] for end in ends) == [0, 1, 2]


async def test_choices_that_come_together_are_interleaved() -> None:
    async with streaming([HI[0], PAUSE], [*HI, DONE]) as (stream, _):
        indexes = {json.loads((await stream.read())[6:])["choices"][0]["index"] for _ in range(4)}
        assert indexes == {0, 1}


@pytest.mark.parametrize("cut", [HI[:2], [*HI[:2], BREAK]])
async def test_a_stream_without_its_end_is_a_failure(cut: list[Any]) -> None:
    async with streaming(cut) as (stream, _):
        with pytest.raises(UpstreamFailed):
            await whole(stream)


async def test_what_is_no_json_is_a_failure() -> None:
    async with streaming([HI[0], GARBAGE, DONE]) as (stream, _):
        with pytest.raises(UpstreamFailed):
            await whole(stream)


async def test_an_error_in_the_stream_is_its_last_event() -> None:
    error = {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}
    async with streaming([*HI[:2], {"error": error}, DONE], [PAUSE]) as (stream, child):
        *_, last = await whole(stream)
        assert last == {
            "error": {
                "message": "Context size has been exceeded.",
                "type": "server_error",
                "param": None,
                "code": None,
            }
        }
        await child.left.wait()


async def test_closing_leaves_every_call() -> None:
    async with streaming([*HI[:1], PAUSE]) as (stream, child):
        await stream.read()
        stream.close()
        stream.close()
        await child.left.wait()
        with pytest.raises(UpstreamFailed, match="cancelled"):
            await stream.read()


async def test_closing_ends_a_read_that_waits() -> None:
    async with streaming([PAUSE]) as (stream, _):
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        stream.close()
        with pytest.raises(UpstreamFailed, match="cancelled"):
            await reading


async def test_a_plain_answer_has_all_choices() -> None:
    async with streaming([*HI, DONE], [*HI, DONE]) as (stream, _):
        answer = await assembled(stream, 2)
        completion = json.loads(await answer.read())
        assert answer.status == 200
        assert completion["object"] == "chat.completion"
        assert [choice["message"]["content"] for choice in completion["choices"]] == ["Hi", "Hi"]
        assert await answer.read() == b""


async def test_an_error_in_its_stream_is_the_plain_answer() -> None:
    error = {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}
    async with streaming([*HI[:2], {"error": error}]) as (stream, _):
        answer = await assembled(stream, 1)
        assert answer.status == 500
        assert json.loads(await answer.read())["error"]["message"] == error["message"]


async def test_cancelling_a_plain_answer_leaves_its_call() -> None:
    async with streaming([*HI[:2], PAUSE]) as (stream, child):
        waiting = asyncio.create_task(assembled(stream, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await child.left.wait()


def test_a_prompt_that_is_too_long_is_refused_in_openais_words() -> None:
    error = {
        "code": 400,
        "message": "request (12031 tokens) exceeds the available context size (8192 tokens)",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 12031,
        "n_ctx": 8192,
    }
    answer = declined(400, {"error": error})
    assert (answer.status, answer.code) == (400, "context_length_exceeded")
    assert answer.message.startswith("This model's maximum context length is 8192 tokens. However")


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "invalid_request_error"), (503, "server_error")]
)
def test_other_errors_pass_with_their_status(status: int, kind: str) -> None:
    error = {"code": status, "message": "No.", "type": "unavailable_error"}
    assert declined(status, {"error": error}) == (status, "No.", None, None, kind)
