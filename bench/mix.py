"""Mixed load for a soak: calls of many kinds at a steady rate, and what was acknowledged."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct
from multidict import CIMultiDictProxy

from bench import samples
from bench.ledger import Acknowledged, Ledger, digest, session
from bench.talk import Talk
from bench.verdict import Counted

WORKERS = 12  # each has a pair of its own in the shared records, which have room for 16
RECORDS = 3_000  # from then on as many are deleted as are made, so that the store stays as large
SHARED = 4
_LOST = (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError)
_TIMEOUT = aiohttp.ClientTimeout(total=30)


class Server(Struct):
    """Where the server is now; `up` is clear while it is being replaced."""

    url: str
    up: asyncio.Event


class Kind(Struct, frozen=True):
    """A kind of call, and how often it is made beside the others."""

    name: str
    weight: int
    call: "Callable[[Mix], Awaitable[None]]"
    makes: bool = False


class Answer(Struct, frozen=True):
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Mix:
    """Workers that share a ledger. A record is in one worker's hands at a time, `shared` ones
    apart, which all of them change.
    """

    def __init__(self, per_second: float, kinds: Sequence[Kind]) -> None:
        self.server = Server("", asyncio.Event())
        self.ledger = Ledger()
        self.counted = Counted()
        self.shared: list[str] = []
        self.talks: list[Talk] = []
        self.random = random.Random(11)
        self._pause_s = WORKERS / per_second
        self._idle: list[str] = []  # records nobody works on
        self._numbers = count(1)
        self._kinds = kinds
        self._weights = [kind.weight for kind in kinds]
        self._delete = next(kind for kind in kinds if kind.name == "delete")

    async def run(self, seconds: float) -> None:
        async with session() as self.http, asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._work(seconds), name=f"worker-{number}")

    async def _work(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            started = loop.time()
            await self.server.up.wait()
            await self._one()
            await asyncio.sleep(max(0.0, started + self._pause_s - loop.time()))

    async def _one(self) -> None:
        (kind,) = self.random.choices(self._kinds, self._weights)
        if kind.makes and len(self._idle) >= RECORDS:
            kind = self._delete
        try:
            await kind.call(self)
        except _LOST as error:
            self.counted.lost[f"{kind.name}: {type(error).__name__}"] += 1
        else:
            self.counted.done[kind.name] += 1

    def take_over(self) -> None:
        """Has the workers work on what the ledger holds."""
        self._idle += self.ledger.records

    def number(self) -> int:
        return next(self._numbers)

    @staticmethod
    def worker() -> str:
        """The name of the one that makes this call."""
        task = asyncio.current_task()
        return "" if task is None else task.get_name()

    async def ask(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        url = self.server.url + path
        async with self.http.request(
            method, url, data=body, headers=headers, params=query, timeout=_TIMEOUT
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    def good(self, kind: str, answer: Answer, *, stored: str | None = None) -> bool:
        """Whether it is answered as it should be; else it is counted as what it is."""
        said = answer.headers.get("x-chatkeep-stored")
        if answer.status == 200 and said == stored:
            return True
        counted = self.counted
        why = f"{kind}: {answer.status}, stored {said}: {answer.body[:200]!r}"
        if answer.status == 503 and "retry-after" in answer.headers:
            counted.busy[kind] += 1
        elif b'"store_failed"' in answer.body or (said or "").startswith("no; The store"):
            counted.unkept[kind] += 1
        else:
            (counted.failed if answer.status >= 500 else counted.odd)[why] += 1
        return False

    def created(self, answer: Answer, number: int, asked: str, messages: int = 2) -> None:
        id = answer.headers["x-chatkeep-id"]
        self.ledger.created(id, number, digest(asked.encode()), messages)
        if len(self.shared) < SHARED:
            self.shared.append(id)
        else:
            self._idle.append(id)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[tuple[str, Acknowledged] | None]:
        """A record at random, out of the others' reach while the block runs."""
        if not self._idle:
            yield None
            return
        index = self.random.randrange(len(self._idle))
        self._idle[index], self._idle[-1] = self._idle[-1], self._idle[index]
        id = self._idle.pop()
        try:
            yield id, self.ledger.records[id]
        finally:
            if id in self.ledger.records:
                self._idle.append(id)


def completion(id: str) -> str:
    return f"{samples.COMPLETIONS}/{id}"


def kept(id: str) -> str:
    return f"{samples.RECORDS}/{id}"
