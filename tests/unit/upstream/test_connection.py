"""One connection to an upstream: whatever way the bytes of an answer are cut, it reads the same."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.upstream.http import coding, connection, connections, timeouts
from chatkeep.upstream.http.client import FAILURES
from chatkeep.upstream.http.connection import Closed, Connection, CutOff, Exchange, NotHttp
from chatkeep.upstream.http.timeouts import Timeouts

LONG_S = 1000.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nX-Odd:  \xe9\x01 \r\nX-Odd: again\r\n"
HEADERS = [(b"content-type", b"text/x"), (b"x-odd", b"\xe9"), (b"x-odd", b"again")]
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"


class Wire(asyncio.Transport):
    """Remembers what was written, and whether it was dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()
        self.dropped = False
        self.reading = True

    def writelines(self, list_of_data: Any) -> None:
        self.written.set()

    def abort(self) -> None:
        self.dropped = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Line:
    """A connection over a wire that this test is the other end of."""

    def __init__(self) -> None:
        self.free = 0
        self.wire = Wire()
        self.connection = Connection(self._freed, lambda _: None, Timeouts())
        self.connection.transport = self.wire

    def _freed(self, _: Connection) -> None:
        self.free += 1

    async def asked(self, *answer: bytes) -> Exchange:
        """The exchange whose answer came in these pieces."""
        now = asyncio.get_running_loop().time()
        asking = asyncio.create_task(self.connection.ask(b"head", b"body", now + LONG_S, LONG_S))
        await asyncio.sleep(0)
        for piece in answer:
            self.connection.data_received(piece)
        return await asking


async def all_of(exchange: Exchange) -> bytes:
    read = b""
    while data := await exchange.read():
        read += data
    return read


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def cut(text: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % len(text) for place in places} - {0})
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (HEAD + b"content-length: 9\r\n\r\n{}", CutOff),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", CutOff),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n", NotHttp),
    ],
)
async def test_what_came_before_an_answer_broke_off_is_read_first(
    answer: bytes, failure: type[Exception]
) -> None:
    line = Line()
    exchange = await line.asked(answer)
    line.connection.connection_lost(None)
    assert await exchange.read() == b"{}"
    for _ in range(2):
        with pytest.raises(failure):
            await exchange.read()
    assert line.free == 0


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nx: y\r\n", HINTS])
async def test_a_connection_that_ends_before_the_head_says_so(
    begun: bytes, error: Exception | None
) -> None:
    line = Line()
    asking = asyncio.create_task(line.asked(begun))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    line.connection.connection_lost(error)
    with pytest.raises(Closed):
        await asking


@pytest.mark.parametrize("error", [ConnectionResetError()])
async def test_an_answer_without_a_length_is_cut_off_by_an_error(error: Exception) -> None:
    line = Line()
    exchange = await line.asked(HEAD + b"\r\n{}")
    line.connection.connection_lost(error)
    assert await exchange.read() == b"{}"
    with pytest.raises(CutOff):
        await exchange.read()


@pytest.mark.parametrize("pieces", [1, 10])
async def test_a_head_that_is_too_large_is_no_answer(pieces: int) -> None:
    head = HEAD + b"x: %b\r\ncontent-length: 2\r\n\r\n{}" % (b"y" * 100_000)
    step = len(head) // pieces + 1
    with pytest.raises(NotHttp):
        await Line().asked(*(head[start : start + step] for start in range(0, len(head), step)))


async def test_a_large_read_may_hold_a_head_and_much_of_the_body() -> None:
    body = bytes(200_000)
    exchange = await Line().asked(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
    assert await all_of(exchange) == body


async def test_a_call_that_is_cancelled_drops_its_connection() -> None:
    line = Line()
    asking = asyncio.create_task(line.asked())
    await line.wire.written.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert line.wire.dropped


async def test_a_closed_answer_is_read_no_more_also_when_all_of_it_is_there() -> None:
    line = Line()
    exchange = await line.asked(HEAD + b"content-length: 2\r\n\r\n{}")
    exchange.close()
    with pytest.raises(Closed):
        await exchange.read()
    assert (line.free, line.wire.dropped) == (1, False)


async def test_what_has_arrived_is_given_at_once_when_its_end_is_there() -> None:
    line = Line()
    exchange = await line.asked(HEAD + b"content-length: 4\r\n\r\n{}")
    assert exchange.arrived() == b""
    line.connection.data_received(b"[]")
    assert exchange.arrived() == b"{}[]"
    assert await exchange.read() == b""


async def test_nothing_has_arrived_of_an_answer_that_broke_off_or_was_closed() -> None:
    broken, closed = Line(), Line()
    exchange = await broken.asked(HEAD + b"content-length: 4\r\n\r\n{}")
    broken.connection.connection_lost(None)
    assert exchange.arrived() == b""
    exchange = await closed.asked(HEAD + b"content-length: 2\r\n\r\n{}")
    exchange.close()
    assert exchange.arrived() == b""


@pytest.mark.parametrize(
    "after",
    [
        HEAD + b"content-length: 0\r\n\r\n",
        b"garbage",
        b"\x16\x03\x01",
    ],
)
async def test_a_connection_with_more_than_the_answer_is_not_used_again(after: bytes) -> None:
    line = Line()
    exchange = await line.asked(HEAD + b"content-length: 2\r\n\r\n{}" + after)
    assert (exchange.status, await all_of(exchange)) == (200, b"{}")
    assert (line.free, line.wire.dropped) == (0, True)


async def test_a_connection_on_which_something_comes_unasked_is_dropped() -> None:
    line = Line()
    await line.asked(HEAD + b"content-length: 0\r\n\r\n")
    line.connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert line.wire.dropped


@pytest.mark.parametrize(
    "close", [b"connection: close\r\ncontent-length: 2\r\n", b"connection: Close\r\n"]
)
async def test_a_connection_the_upstream_wants_to_close_is_not_used_again(close: bytes) -> None:
    line = Line()
    exchange = await line.asked(HEAD + close + b"\r\n{}")
    line.connection.connection_lost(None)
    assert (await all_of(exchange), line.free) == (b"{}", 0)


async def test_an_upstream_waits_for_a_slow_reader() -> None:
    line = Line()
    body = bytes(1 << 20)
    exchange = await line.asked(HEAD + b"content-length: %d\r\n\r\n" % (len(body) + 1), body)
    assert not line.wire.reading
    assert await exchange.read() == body
    assert line.wire.reading


FRAMINGS: list[tuple[Callable[[bytes], bytes], bool]] = [
    (lambda body: b"content-length: %d\r\n\r\n%b" % (len(body), body), True),
    (lambda body: b"transfer-encoding: chunked\r\n\r\n" + chunked(body, 7) + b"0\r\n\r\n", True),
    (
        lambda body: (
            b"transfer-encoding: Chunked\r\n\r\n"
            + chunked(body, 40)
            + b"0\r\nx-trailer: not a header\r\n\r\n"
        ),
        True,
    ),
    (lambda body: b"\r\n" + body, False),
]


@given(
    st.binary(max_size=100),
    st.sampled_from(FRAMINGS),
    st.sampled_from([b"", HINTS, HINTS * 3]),
    st.lists(st.integers(0, 10_000), max_size=30),
)
def test_the_pieces_an_answer_comes_in_do_not_matter(
    body: bytes, framing: tuple[Callable[[bytes], bytes], bool], before: bytes, places: list[int]
) -> None:
    framed, reusable = framing

    async def read() -> None:
        line = Line()
        exchange = await line.asked(*cut(before + HEAD + framed(body), places))
        if not reusable:
            line.connection.connection_lost(None)
        assert (exchange.status, exchange.headers[:3]) == (200, HEADERS)
        assert len(exchange.headers) == 3 + reusable
        assert await all_of(exchange) == body
        assert (line.free, line.wire.dropped) == (int(reusable), not reusable)

    asyncio.run(read())


def test_every_way_a_call_can_fail_has_words_of_its_own() -> None:
    modules = (coding, connection, connections, timeouts)
    raised = {
        found
        for module in modules
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception) and found.__module__ == module.__name__
    }
    assert raised <= {foreign for foreign, *_ in FAILURES}
    for place, (foreign, *_) in enumerate(FAILURES):
        assert not any(issubclass(foreign, before) for before, *_ in FAILURES[:place])
