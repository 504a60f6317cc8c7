"""Mixed load for a soak: every kind of call at a steady rate, remembering what was acknowledged."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import count

import aiohttp
import msgspec
from msgspec import Struct

from bench import samples
from bench.library import Ledger, as_acknowledged, session

WORKERS = 16
_LEAVES_AFTER = 20  # reads of a stream that has a hundred
_LOST = (aiohttp.ClientError, OSError, TimeoutError)
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_MAX_RECORDS = 20_000  # from then on as many are deleted as are made


class Server(Struct):
    """Where the server is now; `up` is clear while it is being replaced."""

    url: str
    up: asyncio.Event


class Mix:
    """Workers that share a ledger. A record is in one worker's hands at a time.

    `done` counts operations by kind; `odd` what was answered otherwise than it should be, and
    stays empty when all is well; `lost` the calls whose connection broke.
    """

    def __init__(self, server: Server, per_second: float, *, faults: bool) -> None:
        self.ledger = Ledger()
        self.done: Counter[str] = Counter()
        self.odd: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._server = server
        self._pause_s = WORKERS / per_second
        self._idle: list[str] = []  # records nobody works on
        self._numbers = count(1)
        self._random = random.Random(11)
        self._weights = _WEIGHTS | (_FAULTS if faults else {})

    async def run(self, seconds: float) -> None:
        async with session() as http, asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work(http, seconds))

    async def _work(self, http: aiohttp.ClientSession, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            started = loop.time()
            await self._server.up.wait()
            await self._one(http)
            await asyncio.sleep(max(0.0, started + self._pause_s - loop.time()))

    async def _one(self, http: aiohttp.ClientSession) -> None:
        (kind,) = self._random.choices(list(self._weights), list(self._weights.values()))
        if kind in ("create", "stream") and len(self._idle) >= _MAX_RECORDS:
            kind = "delete"
        try:
            await _KINDS[kind](self, http)
        except _LOST:
            self.lost[kind] += 1
        else:
            self.done[kind] += 1

    async def _create(self, http: aiohttp.ClientSession) -> None:
        number = next(self._numbers)
        self.ledger.unsure += 1  # until the answer is here
        async with self._post(http, number, samples.MODEL) as answer:
            body = await answer.read()
            if self._expected("create", answer, body, stored="yes"):
                self._created(answer.headers["x-chatkeep-id"], number)

    async def _stream(self, http: aiohttp.ClientSession) -> None:
        number = next(self._numbers)
        self.ledger.unsure += 1
        async with self._post(http, number, samples.MODEL, stream=True) as answer:
            body = await answer.read()
            if self._expected("stream", answer, body[:200], stored="pending"):
                if body.endswith(b"data: [DONE]\n\n") and b": chatkeep stored=no" not in body:
                    self._created(answer.headers["x-chatkeep-id"], number)
                else:
                    self.odd["stream without its end"] += 1

    async def _leave(self, http: aiohttp.ClientSession) -> None:
        self.ledger.unsure += 1
        number = next(self._numbers)
        async with self._post(http, number, samples.PACED, stream=True) as answer:
            for _ in range(self._random.randrange(_LEAVES_AFTER)):
                await answer.content.readany()
            answer.close()

    async def _retrieve(self, http: aiohttp.ClientSession) -> None:
        id = self._taken()
        if id is None:
            return
        try:
            async with http.get(self._completion(id), timeout=_TIMEOUT) as answer:
                body = await answer.read()
                if self._expected("retrieve", answer, body):
                    item = msgspec.json.decode(body)
                    if not as_acknowledged(item, self.ledger.records[id]):
                        self.odd["another record than was stored"] += 1
        finally:
            self._idle.append(id)

    async def _update(self, http: aiohttp.ClientSession) -> None:
        id = self._taken()
        if id is None:
            return
        grade, record = next(self._numbers), self.ledger.records[id]
        metadata = {"n": f"{record.number:012d}", "grade": f"{grade:012d}"}
        body = msgspec.json.encode({"metadata": metadata})
        try:
            async with http.post(self._completion(id), data=body, timeout=_TIMEOUT) as answer:
                if self._expected("update", answer, await answer.read()):
                    record.grade = grade
        finally:
            self._idle.append(id)

    async def _delete(self, http: aiohttp.ClientSession) -> None:
        id = self._taken()
        if id is None:
            return
        surely = False
        try:
            async with http.delete(self._completion(id), timeout=_TIMEOUT) as answer:
                surely = self._expected("delete", answer, await answer.read())
        finally:
            self.ledger.gone(id, surely=surely)

    async def _list(self, http: aiohttp.ClientSession) -> None:
        run = self._random.randrange(samples.RUNS)
        query = self._random.choice(({}, {"metadata[run]": f"{run:02d}"}, {"model": "none"}))
        url = self._server.url + samples.COMPLETIONS
        async with http.get(url, params=query, timeout=_TIMEOUT) as answer:
            self._expected("list", answer, await answer.read())

    async def _upstream_fails(self, http: aiohttp.ClientSession) -> None:
        async with self._post(http, next(self._numbers), samples.FAILING) as answer:
            if answer.status != 500 or b"The mock failed." not in await answer.read():
                self.odd[f"upstream's error as {answer.status}"] += 1

    async def _upstream_breaks(self, http: aiohttp.ClientSession) -> None:
        self.ledger.unsure += 1
        number = next(self._numbers)
        async with self._post(http, number, samples.BREAKING, stream=True) as answer:
            await answer.read()
            self.odd["a broken stream that looked whole"] += 1

    def _post(
        self, http: aiohttp.ClientSession, number: int, model: str, *, stream: bool = False
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        body = samples.create_body(store=True, model=model, stream=stream)
        url = self._server.url + samples.COMPLETIONS
        return http.post(url, data=samples.filled(body, number), timeout=_TIMEOUT)

    def _completion(self, id: str) -> str:
        return f"{self._server.url}{samples.COMPLETIONS}/{id}"

    def _expected(
        self,
        kind: str,
        answer: aiohttp.ClientResponse,
        body: bytes,
        *,
        stored: str | None = None,
    ) -> bool:
        said = answer.headers.get("x-chatkeep-stored")
        good = answer.status == 200 and said == stored
        if not good:
            self.odd[f"{kind}: {answer.status}, stored {said}: {body[:200].decode()}"] += 1
        return good

    def _created(self, id: str, number: int) -> None:
        self.ledger.unsure -= 1
        self.ledger.created(id, number)
        self._idle.append(id)

    def _taken(self) -> str | None:
        """A record at random, out of the others' reach."""
        if not self._idle:
            return None
        index = self._random.randrange(len(self._idle))
        self._idle[index], self._idle[-1] = self._idle[-1], self._idle[index]
        return self._idle.pop()


_Kind = Callable[[Mix, aiohttp.ClientSession], Awaitable[None]]
_KINDS: dict[str, _Kind] = {
    "create": Mix._create,
    "stream": Mix._stream,
    "leave mid-stream": Mix._leave,
    "retrieve": Mix._retrieve,
    "update": Mix._update,
    "delete": Mix._delete,
    "list": Mix._list,
    "upstream fails": Mix._upstream_fails,
    "upstream breaks off": Mix._upstream_breaks,
}
_WEIGHTS: dict[str, int] = {
    "create": 30,
    "stream": 15,
    "leave mid-stream": 5,
    "retrieve": 15,
    "update": 15,
    "delete": 15,
    "list": 5,
}
_FAULTS: dict[str, int] = {"upstream fails": 3, "upstream breaks off": 3}
