"""What a client gets of an application that fails."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from chatkeep.web.server.cycle import Cycle
from chatkeep.web.server.flow import Flow

FAILED = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 21\r\nconnection: close\r\n\r\nInternal Server Error"
)
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
HALF = {"type": "http.response.body", "body": b"ab", "more_body": True}
REST = {"type": "http.response.body", "body": b"cd"}

Answering = Callable[[Send], Awaitable[None]]


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def ran(answering: Answering) -> tuple[bytes, bool]:
    """What was written, and whether the connection was ended."""
    wire = Wire()
    cycle = cycle_on(wire)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(send)

    await cycle.run(app)
    return wire.written, wire.closed


def cycle_on(wire: Wire) -> Cycle:
    flow = Flow(wire, asyncio.get_running_loop(), 1)
    return Cycle(
        {"method": "GET"}, wire, flow, (), lambda: None, expect_100_continue=False, keep_alive=True
    )


async def raise_at_once(send: Send) -> None:
    raise ValueError("no")


async def cancelled(send: Send) -> None:
    raise asyncio.CancelledError


async def say_nothing(send: Send) -> None:
    pass


async def raise_half_way(send: Send) -> None:
    await send(START)
    await send(HALF)
    raise ValueError("no")


async def leave_half_way(send: Send) -> None:
    await send(START)
    await send(HALF)


async def say_too_much(send: Send) -> None:
    await send(START)
    await send(HALF)
    await send({**REST, "body": b"cde"})


async def say_too_little(send: Send) -> None:
    await send(START)
    await send({**REST, "body": b"abc"})


async def split_a_header(send: Send) -> None:
    await send({**START, "headers": [(b"x", b"a\r\nb: c")]})


async def answer(send: Send) -> None:
    await send(START)
    await send(HALF)
    await send(REST)


@pytest.mark.parametrize("answering", [raise_at_once, cancelled, say_nothing])
async def test_without_an_answer_the_client_is_told(
    answering: Answering, caplog: pytest.LogCaptureFixture
) -> None:
    assert await ran(answering) == (FAILED, True)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("answering", [raise_half_way, say_too_much])
async def test_an_answer_that_began_breaks_off(
    answering: Answering, caplog: pytest.LogCaptureFixture
) -> None:
    written, closed = await ran(answering)
    assert (written.endswith(b"\r\n\r\nab"), closed) == (True, True)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_an_answer_shorter_than_it_said_breaks_off() -> None:
    written, closed = await ran(say_too_little)
    assert (written.endswith(b"\r\n\r\nabc"), closed) == (True, True)


async def test_a_header_never_becomes_two() -> None:
    assert await ran(split_a_header) == (b"", True)


async def test_an_answer_left_unfinished_on_purpose_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    written, closed = await ran(leave_half_way)
    assert (written.endswith(b"\r\n\r\nab"), closed) == (True, True)
    assert caplog.records == []


async def test_a_whole_answer_leaves_the_connection_open() -> None:
    assert await ran(answer) == (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd", False)


async def test_who_left_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire()
    cycle = cycle_on(wire)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        cycle.disconnect()

    await cycle.run(app)
    assert (wire.written, wire.closed, caplog.records) == (b"", False, [])
