"""Calling an upstream on a client's behalf: route after route, and the head of the answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from chatkeep.core.model.completion import Key
from chatkeep.core.model.ids import CompletionId
from chatkeep.core.model.usage import Outcome
from chatkeep.core.ports.upstream import Route, UpstreamAnswer
from chatkeep.core.proxy.disconnect import Disconnect
from chatkeep.core.usage.meter import TAIL, Meter
from chatkeep.core.wire import headers as wire
from chatkeep.core.wire.headers import Headers
from chatkeep.errors import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable

OnDisconnect = Literal["cancel", "finish"]

_OF_LENGTH = frozenset({b"content-length"})
# Our id changes the length, and with it every validator of the upstream's bytes.
_OF_BYTES = _OF_LENGTH | {b"etag", b"content-md5", b"digest"}
_OF_STREAMS = frozenset(name for name, _ in wire.STREAM)
# Answers after which the next route is tried, when there is one: the upstream cannot just now.
_ELSEWHERE = frozenset({429, 500, 502, 503, 504})


class Response(Struct, frozen=True):
    """An answer to be sent in one piece. Its length is not among its headers."""

    status: int
    headers: Headers
    body: bytes


class StreamingResponse(Struct, frozen=True):
    """An answer to be sent as it comes. When `pieces` raises UpstreamFailed or UpstreamTimeout the
    upstream broke off, and so must the answer."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes]


Reply = Response | StreamingResponse


class Call(Struct, frozen=True):
    """A client's call: who makes it, with which bytes and headers (names in lower case)."""

    key: Key
    body: bytes
    headers: Mapping[bytes, bytes]
    request_id: bytes
    disconnect: Disconnect


class Answered(Struct, frozen=True):
    """An answer whose head has arrived, the route it came by, the model it was asked of and when.

    `form` is what its call counts as; `started` is in monotonic seconds.
    """

    answer: UpstreamAnswer
    is_stream: bool
    route: Route
    form: str
    model: str
    started: float


class Caller:
    """Sends calls up. With `on_disconnect` "cancel" a call ends when its client leaves."""

    def __init__(self, meter: Meter, on_disconnect: OnDisconnect = "cancel") -> None:
        self._meter = meter
        self.finishes = on_disconnect == "finish"
        self._passed = wire.Passing()
        self._of_response = wire.Passing(_OF_LENGTH)
        self._of_renamed = wire.Passing(_OF_BYTES)
        self._of_stream = wire.Passing(_OF_STREAMS)
        self._of_renamed_stream = wire.Passing(_OF_STREAMS | _OF_BYTES)

    async def send(
        self,
        call: Call,
        path: str,
        form: str,
        model: str,
        routes: Sequence[Route],
        body_for: Callable[[Route], bytes],
    ) -> Answered:
        """The first answer that is worth handing on, else the last one.

        Another route is tried only before anything of an answer was handed on. Raises what the last
        one failed with.
        """
        started = self._meter.now()
        if not self.finishes:
            call.disconnect.set_callback(_cancelling())
        try:
            for route in routes[:-1]:
                tried = await self._tried(call, path, route, body_for)
                if tried is not None:
                    return Answered(tried, is_stream(tried), route, form, model, started)
            route = routes[-1]
            if route.pause_s:
                await asyncio.sleep(route.pause_s)
            answer = await _sent(call, path, route, body_for)
            return Answered(answer, is_stream(answer), route, form, model, started)
        except (UpstreamUnreachable, UpstreamTimeout, UpstreamFailed):
            name = routes[-1].upstream.name
            self._meter.count(call.key, form, model, name, "failed", started)
            raise
        finally:
            call.disconnect.set_callback(None)

    def passed(
        self,
        call: Call,
        answered: Answered,
        stored: str | None,
        outcome: Outcome = "passed",
        read_already: bytes = b"",
    ) -> Reply:
        """An answer that is not stored: its bytes as they come, counted when they end."""
        answer = answered.answer
        body = b"" if read_already or answered.is_stream else answer.arrived()
        if body:  # in one write instead of two
            failed = answer.status >= 400
            self._count(call, answered, "failed" if failed else outcome, body[-TAIL:])
            return Response(answer.status, self.response_headers(answered, stored), body)
        if not self.finishes:
            call.disconnect.set_callback(answer.close)

        def ended(tail: bytes, broke_off: bool) -> None:
            failed = answer.status >= 400 or (broke_off and not call.disconnect.happened)
            self._count(call, answered, "failed" if failed else outcome, tail)

        pieces = _all_of(answer, ended, read_already)
        return StreamingResponse(answer.status, self.streaming_headers(answered, stored), pieces)

    def streaming_headers(
        self, answered: Answered, stored: str | None, id: CompletionId | None = None
    ) -> Headers:
        """The headers of a StreamingResponse: the upstream's that pass, and ours.

        `stored` is what `x-chatkeep-stored` says; `id` is what the answer is stored under, which
        stands in it in place of the upstream's.
        """
        if answered.is_stream:
            passing = self._of_stream if id is None else self._of_renamed_stream
            return [*_headers(passing, answered, stored, id), *wire.STREAM]
        return _headers(self._passed if id is None else self._of_renamed, answered, stored, id)

    def response_headers(
        self, answered: Answered, stored: str | None, id: CompletionId | None = None
    ) -> Headers:
        """The headers of a Response, by the same rules."""
        return _headers(self._of_response if id is None else self._of_renamed, answered, stored, id)

    async def read(self, call: Call, answered: Answered, limit: int) -> tuple[bytes, bool]:
        """The body up to about the limit in bytes, and whether that is all of it.

        Raises UpstreamFailed and UpstreamTimeout, and then the call is counted as failed.
        """
        try:
            return await read_whole(answered.answer, limit)
        except (UpstreamFailed, UpstreamTimeout):
            self._count(call, answered, "failed")
            raise

    def _count(self, call: Call, answered: Answered, outcome: Outcome, tail: bytes = b"") -> None:
        upstream = answered.route.upstream.name
        form, model = answered.form, answered.model
        self._meter.count(call.key, form, model, upstream, outcome, answered.started, tail)

    async def _tried(
        self, call: Call, path: str, route: Route, body_for: Callable[[Route], bytes]
    ) -> UpstreamAnswer | None:
        try:
            if route.pause_s:
                await asyncio.sleep(route.pause_s)
            answer = await _sent(call, path, route, body_for)
        except (UpstreamUnreachable, UpstreamTimeout, UpstreamFailed):
            return None
        if answer.status in _ELSEWHERE:
            answer.close()
            return None
        return answer


def _headers(
    passing: wire.Passing, answered: Answered, stored: str | None, id: CompletionId | None
) -> list[tuple[bytes, bytes]]:
    headers = passing.down(answered.answer.headers)
    if id is not None:
        headers.append((b"x-chatkeep-id", id.encode()))
    if stored is not None:
        headers.append((b"x-chatkeep-stored", wire.value(stored)))
    headers.append((b"x-chatkeep-upstream", wire.value(answered.route.upstream.name)))
    return headers


def is_stream(answer: UpstreamAnswer | StreamingResponse) -> bool:
    return wire.get(answer.headers, b"content-type").lower().startswith(b"text/event-stream")


async def _all_of(
    answer: UpstreamAnswer, ended: Callable[[bytes, bool], object], read_already: bytes
) -> AsyncIterator[bytes]:
    """The bytes as they come; `ended` gets the last of them, and whether the answer broke off."""
    tail = read_already[-TAIL:]
    broke_off = False
    try:
        if read_already:
            yield read_already
        while data := await answer.read():
            tail = (tail + data)[-TAIL:] if len(data) < TAIL else data[-TAIL:]
            yield data
    except (UpstreamFailed, UpstreamTimeout):
        broke_off = True
        raise
    finally:
        answer.close()
        ended(tail, broke_off)


async def read_whole(answer: UpstreamAnswer, limit: int) -> tuple[bytes, bool]:
    """The body up to about the limit, and whether that is all of it."""
    if body := answer.arrived():
        return body, len(body) <= limit
    pieces: list[bytes] = []
    size = 0
    try:
        while data := await answer.read():
            pieces.append(data)
            size += len(data)
            if size > limit:
                return b"".join(pieces), False
    except BaseException:
        answer.close()
        raise
    return b"".join(pieces), True


def _sent(
    call: Call, path: str, route: Route, body_for: Callable[[Route], bytes]
) -> Awaitable[UpstreamAnswer]:
    headers = wire.up(call.headers, route.forward_headers)
    return route.upstream.post(path, body_for(route), headers)


def _cancelling() -> Callable[[], object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call runs in a task")
    return task.cancel
