"""Calling an upstream on a client's behalf: route after route, and the head of the answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from chatkeep.core import headers as wire
from chatkeep.core.departure import Departure
from chatkeep.core.ids import CompletionId
from chatkeep.core.model import Key
from chatkeep.core.ports import Headers, Route, UpstreamAnswer
from chatkeep.errors import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable

OnDisconnect = Literal["cancel", "finish"]

# Answers after which the next route is tried, when there is one: the upstream cannot just now.
_ELSEWHERE = frozenset({429, 500, 502, 503, 504})


class Whole(Struct, frozen=True):
    """An answer to be sent in one piece."""

    status: int
    headers: Headers
    body: bytes


class Flowing(Struct, frozen=True):
    """An answer to be sent as it comes. When `pieces` raises UpstreamFailed or UpstreamTimeout the
    upstream broke off, and so must the answer."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes]


Reply = Whole | Flowing


class Call(Struct, frozen=True):
    """A client's call: who makes it, with which bytes and headers (names in lower case)."""

    key: Key
    body: bytes
    headers: Mapping[str, str]
    request_id: bytes
    departure: Departure


class Answered(NamedTuple):
    """An answer whose head has arrived, and the route it came by."""

    answer: UpstreamAnswer
    route: Route


class Caller:
    """Sends calls up. With `on_disconnect` "cancel" a call ends when its client leaves."""

    def __init__(self, on_disconnect: OnDisconnect = "cancel") -> None:
        self.finishes = on_disconnect == "finish"

    async def send(
        self, call: Call, path: str, routes: Sequence[Route], body_for: Callable[[Route], bytes]
    ) -> Answered:
        """The first answer that is worth handing on, else the last one.

        Another route is tried only before anything of an answer was handed on. Raises what the last
        one failed with.
        """
        if not self.finishes:
            call.departure.then(_cancelling())
        try:
            for route in routes[:-1]:
                answered = await self._tried(call, path, route, body_for)
                if answered is not None:
                    return answered
            return await _sent(call, path, routes[-1], body_for)
        finally:
            call.departure.then(None)

    def passed(self, call: Call, answered: Answered, stored: str | None) -> Flowing:
        """An answer that is not kept: its bytes as they come."""
        answer = answered.answer
        if not self.finishes:
            call.departure.then(answer.close)
        return Flowing(answer.status, head(answered, stored), all_of(answer))

    async def _tried(
        self, call: Call, path: str, route: Route, body_for: Callable[[Route], bytes]
    ) -> Answered | None:
        try:
            answered = await _sent(call, path, route, body_for)
        except (UpstreamUnreachable, UpstreamTimeout, UpstreamFailed):
            return None
        if answered.answer.status in _ELSEWHERE:
            answered.answer.close()
            return None
        return answered


def head(answered: Answered, stored: str | None, id: CompletionId | None = None) -> Headers:
    """The headers of an answer: the upstream's that pass, and ours.

    `stored` is what `x-chatkeep-stored` says; `id` is what the answer is kept under, and stands
    in it in place of the upstream's.
    """
    passed = wire.down(answered.answer.headers)
    if id is not None:
        # The id changes the length, and with it every validator of the upstream's bytes.
        passed = wire.without(passed, "content-length", "etag", "content-md5", "digest")
        passed.append(("x-chatkeep-id", id))
    if stored is not None:
        passed.append(("x-chatkeep-stored", stored))
    passed.append(("x-chatkeep-upstream", answered.route.upstream.name))
    if is_stream(answered.answer):
        passed = wire.without(passed, "cache-control", "x-accel-buffering")
        passed += wire.STREAM
    return passed


def is_stream(answer: UpstreamAnswer | Flowing) -> bool:
    return wire.get(answer.headers, "content-type").lower().startswith("text/event-stream")


async def all_of(answer: UpstreamAnswer, read_already: bytes = b"") -> AsyncIterator[bytes]:
    try:
        if read_already:
            yield read_already
        while data := await answer.read():
            yield data
    finally:
        answer.close()


async def read_whole(answer: UpstreamAnswer, limit: int) -> tuple[bytes, bool]:
    """The body up to about the limit, and whether that is all of it."""
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


async def _sent(
    call: Call, path: str, route: Route, body_for: Callable[[Route], bytes]
) -> Answered:
    if route.pause_s:
        await asyncio.sleep(route.pause_s)
    headers = wire.up(call.headers, route.forward_headers)
    return Answered(await route.upstream.post(path, body_for(route), headers), route)


def _cancelling() -> Callable[[], object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call runs in a task")
    return task.cancel
