"""`python -m bench.soak`: mixed load for a long time, then every acknowledged record is checked.

With --faults upstreams and clients misbehave, too, and during the first quarter the server is
killed and ended and its disk is full, again and again. What is left of the first half warms its
caches, and the second half tells whether its memory is flat.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path

import click

from bench import disk, ledger
from bench.calls import CALLS
from bench.faults import FAULTS
from bench.machine import cores, folder_on_disk
from bench.mix import RECORDS, Mix
from bench.process import Broken, clean_environment, end_in_peace, module
from bench.target import Stage, chatkeep, stage, start_chatkeep
from bench.verdict import Sample, Verdict

_STORE = "soak"
_ROUNDS = 2
_FULL_S = 8.0
_FILLED_EVERY_S = 0.05  # what a server gives back of a full disk is taken again
_SAMPLES = 240


class Soak:
    """One server after the other on one store; `small` is its disk when that may be full."""

    def __init__(
        self, ground: Stage, file: Path, seconds: float, mix: Mix, small: Path | None
    ) -> None:
        self.samples: list[Sample] = []
        self.troubles: Counter[str] = Counter()
        self._ground = ground
        self._file = file
        self._seconds = seconds
        self._small = small
        self._mix = mix
        self._target = start_chatkeep(ground, _STORE, file)

    async def run(self, *, faults: bool) -> None:
        self._came_up()
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._watch())]
                if faults:
                    beside.append(group.create_task(self._trouble()))
                await self._mix.run(self._seconds)
                for task in beside:
                    task.cancel()
        finally:
            self._target.process.kill()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            await asyncio.sleep(self._seconds / _SAMPLES)
            process = self._target.process
            if self._mix.server.up.is_set():
                with contextlib.suppress(OSError):  # it may be killed at this moment
                    rss, files = process.rss_bytes() / 1e6, process.open_files()
                    self.samples.append(Sample(loop.time() - started, rss, files))

    async def _trouble(self) -> None:
        acts: list[Callable[[], Awaitable[None]]] = [self._kill, self._end]
        small = self._small
        if small is not None:
            acts.append(lambda: self._fill(small))
        for act in acts * _ROUNDS:
            await asyncio.sleep(self._seconds / 4 / (len(acts) * _ROUNDS + 1))
            await act()

    async def _kill(self) -> None:
        self._target.process.kill()
        await self._start_again("killed")

    async def _end(self) -> None:
        self._mix.server.up.clear()  # what is under way is answered to its end
        code = await asyncio.to_thread(self._target.process.stop)
        if code != 0:
            self._mix.counted.odd[f"SIGTERM ended it with {code}"] += 1
        await self._start_again("ended by SIGTERM")

    async def _start_again(self, after: str) -> None:
        self._mix.server.up.clear()
        self.troubles[after] += 1
        self._target = await asyncio.to_thread(start_chatkeep, self._ground, _STORE, self._file)
        self._came_up()

    def _came_up(self) -> None:
        self._mix.server.url = self._target.url
        self._mix.server.up.set()

    async def _fill(self, small: Path) -> None:
        self.troubles["disk full"] += 1
        loop = asyncio.get_running_loop()
        end = loop.time() + _FULL_S
        try:
            while loop.time() < end:
                await asyncio.to_thread(disk.fill, small)
                await asyncio.sleep(_FILLED_EVERY_S)
        finally:
            disk.empty(small)


@click.command()
@click.option(
    "--minutes",
    type=float,
    default=30.0,
    show_default=True,
    help="In less its caches still warm, and memory may not be flat yet.",
)
@click.option("--per-second", type=float, default=50.0, show_default=True, help="Calls a second.")
@click.option("--faults", is_flag=True, help="Upstreams, clients, disk and process go wrong.")
def main(minutes: float, per_second: float, faults: bool) -> None:
    """Keep chatkeep busy with all kinds of calls, then check every acknowledged record."""
    end_in_peace()
    with (
        folder_on_disk() as folder,
        disk.small(folder) if faults else nullcontext() as small,
        stage(folder, cores()) as ground,
    ):
        file = (small or folder) / f"{_STORE}.db"
        try:
            verdict = _soaked(ground, file, small, minutes * 60, per_second, faults=faults)
        except Broken as error:
            click.echo(str(error), err=True)
            sys.exit(1)
    click.echo(str(verdict))
    sys.exit(1 if verdict.failures else 0)


def _soaked(
    ground: Stage,
    file: Path,
    small: Path | None,
    seconds: float,
    per_second: float,
    *,
    faults: bool,
) -> Verdict:
    mix = Mix(per_second, CALLS + FAULTS if faults else CALLS)
    with chatkeep(ground, _STORE, file) as target:
        ledger.fill(target.url, mix.ledger, (mix.number() for _ in range(RECORDS)))
    mix.take_over()
    soak = asyncio.run(_run(ground, file, small, seconds, mix, faults=faults))
    with chatkeep(ground, _STORE, file) as target:
        checked = ledger.check(_STORE, target.url, mix.ledger)
    return Verdict(mix.counted, soak.troubles, checked, _faults(file), soak.samples)


async def _run(
    ground: Stage, file: Path, small: Path | None, seconds: float, mix: Mix, *, faults: bool
) -> Soak:
    soak = Soak(ground, file, seconds, mix, small)
    await soak.run(faults=faults)
    return soak


def _faults(file: Path) -> str:
    """What `chatkeep verify` finds; empty when all is sound."""
    command = module("chatkeep", "verify", "--store", f"sqlite:///{file}")
    said = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False
    )
    return "" if said.returncode == 0 else said.stdout[-2000:] + said.stderr[-2000:]


if __name__ == "__main__":
    main()
