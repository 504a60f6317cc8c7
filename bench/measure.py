"""One run of a load against a target, and what it cost."""

import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import streams, wrk
from bench.ledger import Ledger
from bench.machine import busy_s, on_cores
from bench.process import Broken, children_cpu_s, clean_environment, module
from bench.target import Stage, Target

_NUMBERS_A_RUN = 10**8


class Requests(Struct, frozen=True):
    """Plain requests by wrk. `stores` says that every answer tells of a record.

    Those that name a completion name one after the other, of all or of so `many`.
    """

    connections: int
    template: str
    stores: bool = False
    many: int | None = None


class Streams(Struct, frozen=True):
    """Streams of so many chunks, made by our own generator."""

    connections: int
    template: str
    chunks: int
    stores: bool = False


Load = Requests | Streams


class Measured(Struct, frozen=True):
    """An operation is a request or a chunk. `errors` are answers and ends as they should not be.

    The shares are of one core: the target's own, that of generator and mock together, and what
    everybody else took of the target's core.
    """

    operations: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int
    first_p50_ms: float = 0.0
    gap_p99_ms: float = 0.0
    server_cpu_s: float = 0.0
    server_share: float = 0.0
    load_share: float = 0.0
    others_share: float = 0.0


class Driver:
    """Runs loads one after the other; every run has numbers of its own."""

    def __init__(self, stage: Stage, seconds: int) -> None:
        self._stage = stage
        self._seconds = seconds
        self._firsts: Iterator[int] = count(_NUMBERS_A_RUN, _NUMBERS_A_RUN)

    def measure(self, target: Target, load: Load, ledger: Ledger) -> Measured:
        """Raises Broken."""
        acknowledged = self._stage.folder / "acknowledged" if load.stores else None
        before = self._used(target)
        measured = self._run(target, load, ledger, acknowledged)
        wall, server, generating, core = (
            now - then for now, then in zip(self._used(target), before, strict=True)
        )
        measured = msgspec.structs.replace(
            measured,
            server_cpu_s=server,
            server_share=server / wall,
            load_share=generating / wall,
            others_share=max(0.0, core - server) / wall,
        )
        return measured if acknowledged is None else _noted(measured, load, acknowledged, ledger)

    def _run(
        self, target: Target, load: Load, ledger: Ledger, acknowledged: Path | None
    ) -> Measured:
        first = next(self._firsts)
        if isinstance(load, Requests):
            return self._requests(target, load, ledger, first, acknowledged)
        return self._streams(target, load, first, acknowledged)

    def _requests(
        self, target: Target, load: Requests, ledger: Ledger, first: int, acknowledged: Path | None
    ) -> Measured:
        template, ids = self._stage.folder / "template", self._stage.folder / "ids"
        template.write_bytes(load.template.encode())
        ids.write_text(ledger.ids(load.many))
        job = wrk.Job(
            url=target.url,
            connections=load.connections,
            seconds=self._seconds,
            template=template,
            first=first,
            ids=ids if "@ID@" in load.template else None,
            acknowledged=acknowledged,
        )
        with on_cores(self._stage.cores.load):
            result = wrk.run(job)
        return Measured(
            operations=result.requests,
            seconds=result.duration_us / 1e6,
            p50_ms=result.p50_us / 1000,
            p99_ms=result.p99_us / 1000,
            errors=result.refused + result.socket_errors,
        )

    def _streams(
        self, target: Target, load: Streams, first: int, acknowledged: Path | None
    ) -> Measured:
        job = streams.Job(
            host="127.0.0.1",
            port=target.port,
            connections=load.connections,
            seconds=self._seconds,
            template=load.template,
            first=first,
            chunks=load.chunks,
            acknowledged=None if acknowledged is None else str(acknowledged),
        )
        with on_cores(self._stage.cores.load):
            result = _generated(job)
        return Measured(
            operations=result.chunks,
            seconds=result.seconds,
            p50_ms=result.first_p50_us / 1000,
            p99_ms=result.first_p99_us / 1000,
            errors=result.broken,
            first_p50_ms=result.first_p50_us / 1000,
            gap_p99_ms=result.gap_p99_us / 1000,
        )

    def _used(self, target: Target) -> tuple[float, float, float, float]:
        """The clock, and CPU seconds of the target, of generator and mock, of the target's core."""
        mock = self._stage.mock
        pinned = self._stage.cores.load if target is mock else self._stage.cores.server
        generating = children_cpu_s() + (0 if target is mock else mock.process.cpu_s())
        return time.perf_counter(), target.process.cpu_s(), generating, busy_s(pinned)


def _noted(measured: Measured, load: Load, acknowledged: Path, ledger: Ledger) -> Measured:
    """Takes what was acknowledged; an answer that says it was not stored is an error."""
    lines = acknowledged.read_text()
    ledger.read(lines)
    ledger.unsure += load.connections
    if isinstance(load, Streams):
        return measured  # one line a stream, and the generator looks at each end itself
    not_stored = measured.operations - measured.errors - lines.count("\n")
    return msgspec.structs.replace(measured, errors=measured.errors + max(0, not_stored))


def _generated(job: streams.Job) -> streams.Result:
    command = module("bench.streams", msgspec.json.encode(job).decode())
    said = subprocess.run(command, env=clean_environment(), capture_output=True, check=False)
    if said.returncode:
        raise Broken(f"the stream generator failed:\n{said.stderr.decode()}")
    return msgspec.json.decode(said.stdout, type=streams.Result)
