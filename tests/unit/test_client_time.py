"""How long the server waits for a client: until the time of what it owes last, however many
requests one timer has seen."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from chatkeep.settings import Settings
from chatkeep.web.protocol import Protocol
from chatkeep.web.server import Server

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
KEPT_S = 75
CLIENT_S = 10.0


class Clock:
    """As much of an event loop as a connection asks, with a time that tests set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[asyncio.TimerHandle] = []
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, act: Callable[[], object]) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, act, (), self._loop)
        self.timers.append(timer)
        return timer

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._loop.create_task(work)

    def pass_to(self, now: float) -> None:
        while due := [timer for timer in self.timers if timer.when() <= now]:
            first = min(due, key=asyncio.TimerHandle.when)
            self.timers.remove(first)
            self.now = first.when()
            if not first.cancelled():
                first._run()
        self.now = now


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Client:
    def __init__(self) -> None:
        config = Server(answer, Settings(client_timeout_s=CLIENT_S), signals=False).config
        self.clock = Clock()
        self.wire = Wire()
        self._protocol = Protocol(config, ServerState(), {}, self.clock)  # type: ignore[arg-type]  # a part of a loop
        self._protocol.connection_made(self.wire)

    async def sends(self, data: bytes, at: float) -> None:
        self.clock.pass_to(at)
        self._protocol.data_received(data)
        tasks = self._protocol.tasks
        if tasks:
            await asyncio.wait(tasks)

    def closed_at(self, now: float) -> bool:
        self.clock.pass_to(now)
        return self.wire.closed


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def test_a_connection_is_kept_from_its_last_answer_on() -> None:
    client = Client()
    for at in (5, 30, 60):
        await client.sends(GET, at)
    assert not client.closed_at(60 + KEPT_S - 1)
    assert client.closed_at(60 + KEPT_S)


async def test_a_request_that_begins_late_has_its_own_time() -> None:
    client = Client()
    await client.sends(GET, 5)
    await client.sends(GET[:9], 70)
    assert not client.closed_at(70 + CLIENT_S - 1)
    await client.sends(GET[9:], 70 + CLIENT_S - 1)
    assert not client.closed_at(79 + KEPT_S - 1)
    assert client.closed_at(79 + KEPT_S)


async def test_blank_lines_take_the_time_of_a_kept_connection() -> None:
    client = Client()
    await client.sends(GET, 5)
    for at in (6, 10, 15):
        await client.sends(b"\r\n", at)
    assert not client.closed_at(15.5)
    assert client.closed_at(6 + CLIENT_S)


async def test_one_timer_does_for_many_requests() -> None:
    client = Client()
    for at in range(1, 50):
        await client.sends(GET, at)
    assert len(client.clock.timers) == 1
