"""The load generator for streams: counts chunks, checks every end, remembers what was stored.

python -m bench.streams JOB_AS_JSON      prints a Result as JSON
"""

import asyncio
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import cast

import httptools
import msgspec
import uvloop
from msgspec import Struct

from bench import samples

_MARK = b"data: {"
_DONE = b"data: [DONE]"
_NOT_STORED = b": chatkeep stored=no"
_TAIL = 512
_PATIENCE_S = 15.0  # for the streams that are under way when the time is over


class Job(Struct, frozen=True):
    """`chunks` is how many events with data every stream must have, before `[DONE]`."""

    host: str
    port: int
    connections: int
    seconds: float
    template: str
    first: int
    chunks: int
    acknowledged: str | None = None


class Result(Struct, frozen=True):
    """`broken` streams had other than 200, no `[DONE]`, too few chunks, or were not kept."""

    streams: int
    chunks: int
    broken: int
    seconds: float
    first_p50_us: float
    first_p99_us: float
    gap_p50_us: float
    gap_p99_us: float


class Load:
    """All connections of a run and what they have seen."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.numbers: Iterator[int] = count(job.first)
        self.streams = self.chunks = self.broken = 0
        self.firsts = array("d")
        self.gaps = array("d")
        self.stored: list[tuple[str, int]] = []
        self._started = time.perf_counter()

    async def run(self) -> Result:
        loop = asyncio.get_running_loop()
        job = self.job
        ends = []
        for _ in range(job.connections):
            _, made = await loop.create_connection(lambda: _Connection(self), job.host, job.port)
            ends.append(made.ended)
        waited = await asyncio.wait(ends, timeout=job.seconds + _PATIENCE_S)
        self.broken += len(waited[1])
        return self._result()

    @property
    def over(self) -> bool:
        return time.perf_counter() - self._started > self.job.seconds

    def _result(self) -> Result:
        return Result(
            streams=self.streams,
            chunks=self.chunks,
            broken=self.broken,
            seconds=time.perf_counter() - self._started,
            first_p50_us=percentile(self.firsts, 50) * 1e6,
            first_p99_us=percentile(self.firsts, 99) * 1e6,
            gap_p50_us=percentile(self.gaps, 50) * 1e6,
            gap_p99_us=percentile(self.gaps, 99) * 1e6,
        )


class _Connection(asyncio.Protocol):
    """One stream after the other, until the time is over."""

    _transport: asyncio.WriteTransport

    def __init__(self, load: Load) -> None:
        self._load = load
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is one in all but name
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self._load.broken += 1
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self._pieces:
            self._take(b"".join(self._pieces))
            self._pieces.clear()
        if self._complete:
            self._finish()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-chatkeep-id":
            self._id = value.decode()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._complete = True

    def _ask(self) -> None:
        self._number = next(self._load.numbers)
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._complete = False
        self._id = ""
        self._chunks = 0
        self._tail = b""
        self._asked = self._latest = time.perf_counter()
        self._transport.write(samples.filled(self._load.job.template, self._number).encode())

    def _take(self, body: bytes) -> None:
        # A mark may be split between two reads: the tail is too short to hold a whole one.
        found = (self._tail[-len(_MARK) + 1 :] + body).count(_MARK)
        self._tail = (self._tail + body)[-_TAIL:] if len(body) < _TAIL else body[-_TAIL:]
        if found:
            now = time.perf_counter()
            if self._chunks:
                self._load.gaps.append(now - self._latest)
            else:
                self._load.firsts.append(now - self._asked)
            self._latest = now
            self._chunks += found

    def _finish(self) -> None:
        load = self._load
        load.streams += 1
        load.chunks += self._chunks
        good = self._parser.get_status_code() == 200 and _DONE in self._tail
        if not good or self._chunks != load.job.chunks or _NOT_STORED in self._tail:
            load.broken += 1
        elif self._id:
            load.stored.append((self._id, self._number))
        if load.over:
            self.ended.set_result(None)
            self._transport.close()
        else:
            self._ask()


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] if ordered else 0.0


def main() -> None:
    job = msgspec.json.decode(sys.argv[1], type=Job)
    load = Load(job)
    result = uvloop.run(load.run())
    if job.acknowledged is not None:
        lines = (f"{id} {number} -\n" for id, number in load.stored)
        Path(job.acknowledged).write_text("".join(lines))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
