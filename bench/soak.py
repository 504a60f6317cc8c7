"""`python -m bench.soak`: mixed load for a long time, then every acknowledged record is checked.

With --faults the upstream fails and breaks off, too, and during the first half the server is killed
again and again; the second half is left alone so that its memory can be read.
"""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import linear_regression

import click
from msgspec import Struct

from bench.library import check
from bench.machine import cores, folder_on_disk
from bench.mix import Mix, Server
from bench.process import Broken, end_in_peace
from bench.target import Stage, chatkeep, stage, start_chatkeep

_STORE = "soak"
_KILLS = 5
_SAMPLES = 240


class Sample(Struct, frozen=True):
    """A look at the server: `second` of the soak, memory, open files."""

    second: float
    rss_mb: float
    open_files: int


class Soak:
    def __init__(self, stage: Stage, seconds: float, per_second: float, *, faults: bool) -> None:
        self.samples: list[Sample] = []
        self._stage = stage
        self._seconds = seconds
        self._faults = faults
        self._target = start_chatkeep(stage, _STORE)
        self._server = Server(self._target.url, asyncio.Event())
        self.mix = Mix(self._server, per_second, faults=faults)

    async def run(self) -> None:
        self._server.up.set()
        beside = [asyncio.create_task(self._watch())]
        if self._faults:
            beside.append(asyncio.create_task(self._kill_repeatedly()))
        try:
            await self.mix.run(self._seconds)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            self._target.process.kill()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            await asyncio.sleep(self._seconds / _SAMPLES)
            process = self._target.process
            if self._server.up.is_set():
                with contextlib.suppress(OSError):  # it may be killed at this moment
                    rss, files = process.rss_bytes() / 1e6, process.open_files()
                    self.samples.append(Sample(loop.time() - started, rss, files))

    async def _kill_repeatedly(self) -> None:
        for _ in range(_KILLS):
            await asyncio.sleep(self._seconds / 2 / (_KILLS + 1))
            self._target.process.kill()
            self._server.up.clear()
            await asyncio.sleep(0)  # whoever was in a call learns that it is over
            self._target = start_chatkeep(self._stage, _STORE)
            self._server.url = self._target.url
            self._server.up.set()


def slope_mb_an_hour(samples: Sequence[Sample]) -> float:
    """How memory grows over the second half, when all is warm."""
    half = samples[len(samples) // 2 :]
    if len(half) < 2:
        return 0.0
    seconds, sizes = [one.second for one in half], [one.rss_mb for one in half]
    return linear_regression(seconds, sizes).slope * 3600


def _counted(title: str, counted: Counter[str]) -> list[str]:
    return [title, *(f"  {count:>8,}  {kind}" for kind, count in counted.most_common())]


def _memory(samples: Sequence[Sample]) -> list[str]:
    if not samples:
        return []
    sizes, files = [one.rss_mb for one in samples], [one.open_files for one in samples]
    return [
        f"memory: {sizes[0]:.1f} MB at first, {sizes[len(sizes) // 2]:.1f} in the middle,"
        f" {sizes[-1]:.1f} at last, {max(sizes):.1f} at most;"
        f" {slope_mb_an_hour(samples):+.1f} MB an hour over the second half",
        f"open files: {files[0]} at first, {files[-1]} at last, {max(files)} at most",
    ]


@click.command()
@click.option("--minutes", type=float, default=30.0, show_default=True)
@click.option("--per-second", type=float, default=50.0, show_default=True, help="Calls a second.")
@click.option("--faults", is_flag=True, help="The upstream fails, the server is killed.")
def main(minutes: float, per_second: float, faults: bool) -> None:
    """Keep chatkeep busy with all kinds of calls, then check every acknowledged record."""
    end_in_peace()
    with folder_on_disk() as folder, stage(folder, cores()) as ground:
        try:
            passed = _soaked(ground, minutes * 60, per_second, faults=faults)
        except Broken as error:
            click.echo(str(error), err=True)
            passed = False
    sys.exit(0 if passed else 1)


def _soaked(ground: Stage, seconds: float, per_second: float, *, faults: bool) -> bool:
    soak = asyncio.run(_run(ground, seconds, per_second, faults=faults))
    with chatkeep(ground, _STORE) as target:
        checked = check(_STORE, target.url, soak.mix.ledger)
    mix = soak.mix
    lines = _counted("done:", mix.done) + _counted("connection broke:", mix.lost)
    lines += _counted("NOT AS IT SHOULD BE:", mix.odd) if mix.odd else []
    click.echo("\n".join([*lines, *_memory(soak.samples), str(checked)]))
    # Without faults no connection breaks.
    return checked.passed and not mix.odd and (faults or not mix.lost)


async def _run(ground: Stage, seconds: float, per_second: float, *, faults: bool) -> Soak:
    soak = Soak(ground, seconds, per_second, faults=faults)
    await soak.run()
    return soak


if __name__ == "__main__":
    main()
