"""Connections that come together are taken together."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from chatkeep.web.server.listener import Listener
from chatkeep.web.server.protocol import Protocol
from chatkeep.web.server.server import listen

MANY = 100
FEW_TURNS = 20


class Came:
    """Those who came, and whether there is one."""

    def __init__(self) -> None:
        self.all: list[Greeting] = []
        self.any = asyncio.Event()


class Greeting(asyncio.Protocol):
    """Says something to everybody who comes."""

    came: Came

    def __init__(self) -> None:
        self.came.all.append(self)
        self.came.any.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"hello")

    def shutdown(self) -> None:
        self.transport.close()


class Exhausted(socket.socket):
    """A listening socket for whose first connection there is no open file to be had."""

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.refused = asyncio.Event()

    def accept(self) -> tuple[socket.socket, object]:
        if not self.refused.is_set():
            self.refused.set()
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


@pytest.fixture
def came() -> Came:
    return Came()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with listen("127.0.0.1", 0) as sock:
        yield sock


def listener(listening: socket.socket, came: Came) -> contextlib.closing[Listener]:
    kind = type("Own", (Greeting,), {"came": came})
    return contextlib.closing(Listener(listening, cast(type[Protocol], kind), retry_s=0))


def connected(listening: socket.socket) -> socket.socket:
    client = socket.create_connection(listening.getsockname())
    client.setblocking(False)
    return client


async def a_few_turns() -> None:
    for _ in range(FEW_TURNS):
        await asyncio.sleep(0)


async def received(client: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(client, 100)


async def test_many_that_wait_are_taken_in_a_few_turns(
    listening: socket.socket, came: Came
) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(MANY):
            open_ones.enter_context(connected(listening))
        with listener(listening, came) as one:
            await a_few_turns()
            assert len(came.all) == MANY
        await one.wait_closed()
        for greeting in came.all:
            greeting.shutdown()


async def test_without_open_files_it_tries_again(
    listening: socket.socket, came: Came, caplog: pytest.LogCaptureFixture
) -> None:
    exhausted = Exhausted(listening.detach())
    with exhausted, connected(exhausted) as client, listener(exhausted, came) as one:
        assert await received(client) == b"hello"
        assert "connections cannot be accepted for now" in caplog.messages
        came.all[0].shutdown()
        await one.wait_closed()


async def test_a_closed_one_takes_nobody_any_more(listening: socket.socket, came: Came) -> None:
    with listener(listening, came):
        pass
    with connected(listening):
        await a_few_turns()
    assert came.all == []


async def test_who_was_taken_as_it_closed_is_let_go(listening: socket.socket, came: Came) -> None:
    with connected(listening) as client:
        with listener(listening, came) as one:
            await came.any.wait()
        await one.wait_closed()
        assert await received(client) == b"hello"
        assert await received(client) == b""


async def test_without_open_files_a_closed_one_does_not_try_again(
    listening: socket.socket, came: Came
) -> None:
    exhausted = Exhausted(listening.detach())
    with exhausted, connected(exhausted):
        with listener(exhausted, came):
            await exhausted.refused.wait()
        await a_few_turns()
    assert came.all == []
