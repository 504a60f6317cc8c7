"""The server's side of a connection, over a wire of the test's and by its clock."""

import asyncio
from collections.abc import Callable

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from chatkeep.web.request import Request
from chatkeep.web.server.connections import Connections
from chatkeep.web.server.protocol import Protocol

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
KEPT_S = 75
CLIENT_S = 10.0


class Timer:
    def __init__(self, when: float, act: Callable[[], object]) -> None:
        self._when = when
        self.act: Callable[[], object] | None = act

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.act = None


class Clock:
    """As much of an event loop as a connection asks, with a time that tests set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.create_task = asyncio.get_running_loop().create_task

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, act: Callable[[], object]) -> Timer:
        self.timers.append(Timer(when, act))
        return self.timers[-1]

    def pass_to(self, now: float) -> None:
        while due := [timer for timer in self.timers if timer.when() <= now]:
            first = min(due, key=Timer.when)
            self.timers.remove(first)
            self.now = first.when()
            if first.act is not None:
                first.act()
        self.now = now


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Client:
    def __init__(self, app: ASGIApp) -> None:
        connections = Connections(app, ServerState(), 1, CLIENT_S, KEPT_S)
        self.clock = Clock()
        self.wire = Wire()
        self._protocol = Protocol(connections, self.clock)  # type: ignore[arg-type]  # a part of a loop
        self._protocol.connection_made(self.wire)

    async def sends(self, data: bytes, at: float) -> None:
        self.clock.pass_to(at)
        self._protocol.data_received(data)
        for _ in range(5):  # what then happens by itself
            await asyncio.sleep(0)

    def leaves(self) -> None:
        self._protocol.connection_lost(None)

    def closed_at(self, now: float) -> bool:
        self.clock.pass_to(now)
        return self.wire.closed


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def test_a_connection_is_kept_from_its_last_answer_on() -> None:
    client = Client(answer)
    for at in (5, 30, 60):
        await client.sends(GET, at)
    assert not client.closed_at(60 + KEPT_S - 1)
    assert client.closed_at(60 + KEPT_S)


async def test_a_request_that_begins_late_has_its_own_time() -> None:
    client = Client(answer)
    await client.sends(GET, 5)
    await client.sends(GET[:9], 70)
    assert not client.closed_at(70 + CLIENT_S - 1)
    await client.sends(GET[9:], 70 + CLIENT_S - 1)
    assert not client.closed_at(79 + KEPT_S - 1)
    assert client.closed_at(79 + KEPT_S)


async def test_blank_lines_take_the_time_of_a_kept_connection() -> None:
    client = Client(answer)
    await client.sends(GET, 5)
    for at in (6, 10, 15):
        await client.sends(b"\r\n", at)
    assert not client.closed_at(15.5)
    assert client.closed_at(6 + CLIENT_S)


async def test_one_timer_does_for_many_requests() -> None:
    client = Client(answer)
    for at in range(1, 50):
        await client.sends(GET, at)
    assert len(client.clock.timers) == 1


@pytest.mark.parametrize("size", [10, 100_000])
async def test_whoever_leaves_after_a_body_is_noticed(size: int) -> None:
    left = asyncio.Event()

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, b"", 0.0)
        await request.body(size)
        request.disconnect.set_callback(left.set)
        request.expect_disconnect()
        await left.wait()

    client = Client(wait)
    await client.sends(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size, 1)
    await client.sends(b"x" * size, 2)
    assert client.wire.reading
    client.leaves()
    assert left.is_set()
