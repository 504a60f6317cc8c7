"""The proxy's core without a network: an upstream under the test's control, a store in memory."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from support import echo
from support.memory.store import MemoryStore
from support.samples import SECOND

from chatkeep.core.forms import CHAT
from chatkeep.core.model.completion import Key, Project, Query, Row, Status
from chatkeep.core.model.ids import Sequencer
from chatkeep.core.model.usage import StatsQuery
from chatkeep.core.ports.upstream import Route, Upstream
from chatkeep.core.proxy.call import Call, Caller, OnDisconnect, Reply, Response
from chatkeep.core.proxy.create import Creator
from chatkeep.core.proxy.disconnect import Disconnect
from chatkeep.core.proxy.idempotency import Idempotency
from chatkeep.core.proxy.recorder import Clock, Recorder
from chatkeep.core.usage.meter import Meter
from chatkeep.core.usage.prices import Prices
from chatkeep.core.wire.headers import Headers
from chatkeep.errors import Refusal, UpstreamFailed

JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream")


class FakeAnswer:
    """An answer that comes as it is fed; by `send`, `end` and `break_off`."""

    def __init__(self, *pieces: bytes, status: int = 200, head: Headers = (JSON,)) -> None:
        self.status = status
        self.headers = head
        self.closed = asyncio.Event()
        self._coming = asyncio.Queue[bytes | Refusal]()
        for piece in pieces:
            self.send(piece)

    def send(self, piece: bytes) -> None:
        self._coming.put_nowait(piece)

    def end(self) -> "FakeAnswer":
        self._coming.put_nowait(b"")
        return self

    def break_off(self) -> "FakeAnswer":
        self._coming.put_nowait(UpstreamFailed(upstream="fake", detail="it broke off"))
        return self

    async def read(self) -> bytes:
        if self.closed.is_set():
            raise UpstreamFailed(upstream="fake", detail="it was closed")
        piece = await self._coming.get()
        if isinstance(piece, Refusal):
            raise piece
        return piece

    def arrived(self) -> bytes:
        return b""

    def close(self) -> None:
        self.closed.set()
        self.break_off()


class FakeUpstream:
    """Gives the answers it was told to, in their order; without any, what the echo says."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.received: list[bytes] = []
        self.called = asyncio.Event()
        self._answers = deque[FakeAnswer | Refusal]()

    def will(self, answer: FakeAnswer | Refusal) -> None:
        self._answers.append(answer)

    async def post(self, path: str, body: bytes, headers: Mapping[bytes, bytes]) -> FakeAnswer:
        self.received.append(body)
        self.called.set()
        if not self._answers:
            return echoed(body, len(self.received))
        answer = self._answers.popleft()
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def get(self, path: str) -> FakeAnswer:
        self.called.set()
        answer = self._answers.popleft() if self._answers else FakeAnswer(echo.models()).end()
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def aclose(self) -> None: ...


def echoed(body: bytes, number: int) -> FakeAnswer:
    asked = msgspec.json.decode(body)
    if asked.get("stream"):
        return FakeAnswer(*echo.events(asked, number), head=(EVENTS,)).end()
    return FakeAnswer(echo.completion(asked, number)).end()


class FakeUpstreams:
    """Every model goes to the first, and when that cannot to the next."""

    def __init__(self, *upstreams: FakeUpstream) -> None:
        self._upstreams = upstreams

    def routes(self, model: str) -> Sequence[Route]:
        return [Route(upstream) for upstream in self._upstreams]

    def all(self) -> Sequence[Upstream]:
        return self._upstreams

    async def aclose(self) -> None: ...


@dataclass
class Told:
    """What the watcher was told."""

    stored_as: list[Status] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def stored(self, status: Status) -> None:
        self.stored_as.append(status)

    def not_stored(self, reason: str, error: Exception | None) -> None:
        self.reasons.append(reason)


@dataclass
class Hand:
    """A clock that is set by hand."""

    now: float = SECOND

    def __call__(self) -> float:
        return self.now


class Proxy:
    """The create path, put together as the application does."""

    def __init__(
        self,
        store: MemoryStore,
        key: Key,
        *upstreams: FakeUpstream,
        on_disconnect: OnDisconnect = "cancel",
        max_answer: int = 1 << 20,
    ) -> None:
        self.store, self.key = store, key
        self.upstream = upstreams[0] if upstreams else FakeUpstream()
        self.told, self.clock = Told(), Hand()
        self._numbers = iter(range(1, 1000))
        prices = Prices(())
        self.meter = Meter(self.clock, self.clock, prices)
        clock = Clock(self.clock, self.clock)
        sequencer = Sequencer(store.node, None, lambda _: 0)
        self.recorder = Recorder(store, sequencer, clock, self.told, self.meter, prices)
        self.creator = Creator(
            Caller(self.meter, on_disconnect),
            FakeUpstreams(*(upstreams or (self.upstream,))),
            self.recorder,
            Idempotency(store, store, self.clock, self._token),
            max_answer,
        )

    @property
    def project(self) -> Project:
        return self.key.project

    def call(self, body: bytes, **headers: str) -> Call:
        """`idempotency_key="a"` is a header."""
        given = {n.replace("_", "-").encode(): v.encode() for n, v in headers.items()}
        return Call(self.key, body, given, self._token(16), Disconnect())

    async def create(self, body: bytes, **headers: str) -> Reply:
        return await self.creator.create(CHAT, self.call(body, **headers))

    async def rows(self) -> list[Row]:
        """What is stored, the newest first."""
        page = await self.store.page(self.project, Query(limit=100))
        return [item.row for item in page.items]

    async def outcomes(self) -> dict[str, int]:
        """How many calls were counted to have ended how, those not stored."""
        await self.meter.flush(self.store)
        query = StatsQuery(first_hour=0, last_hour=1 << 40, group=("outcome",))
        found = await self.store.usage(self.project, query, 100)
        return {str(one.outcome): one.figures.calls for one in found}

    def _token(self, size: int) -> bytes:
        return next(self._numbers).to_bytes(size)


async def whole(reply: Reply) -> bytes:
    """All of an answer's bytes."""
    if isinstance(reply, Response):
        return reply.body
    return b"".join([piece async for piece in reply.pieces])


def header(reply: Reply, name: str) -> str | None:
    found = [value.decode() for key, value in reply.headers if key == name.encode()]
    return found[0] if found else None


def request(**fields: Any) -> bytes:
    """The body of a create call."""
    plain = {"model": "echo-1", "messages": [{"role": "user", "content": "hello"}]}
    return msgspec.json.encode(plain | fields)
