"""The machine a run happens on: its cores, its disk, what else it does."""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from chatkeep import __version__

_SYNCS = 100
_WORK = 2_000
_SOMETHING = {"text": "some text " * 20, "numbers": list(range(20))}
# Temporary files that outlive a restart are on a disk; /tmp may be memory.
_ON_DISK = Path("/var/tmp")  # noqa: S108  # only a parent for a private folder


class Cores(Struct, frozen=True):
    """Which cores the measured server has, and which the load and the mock share."""

    server: frozenset[int] = frozenset()
    load: frozenset[int] = frozenset()

    def __str__(self) -> str:
        if not self.server:
            return "not pinned to cores: take the figures with more salt"
        return f"server pinned to core {_list(self.server)}, load and mock to {_list(self.load)}"


class Machine(Struct, frozen=True):
    """`busy` is the load average before the run began; `fsync_ms` the disk's time for one."""

    chatkeep: str
    system: str
    processor: str
    cores: int
    python: str
    pinning: str
    fsync_ms: float
    busy: float

    def __str__(self) -> str:
        return (
            f"chatkeep {self.chatkeep} on {self.system}, {self.cores} cores ({self.processor}),"
            f" Python {self.python}\n{self.pinning}; one fsync {self.fsync_ms:.2f} ms;"
            f" load average before the run {self.busy:.1f}"
        )


def cores() -> Cores:
    """The first core for the server, the others for what drives it; none where there is one."""
    if sys.platform != "linux":
        return Cores()
    usable = sorted(os.sched_getaffinity(0))
    return Cores(frozenset(usable[:1]), frozenset(usable[1:])) if len(usable) > 1 else Cores()


@contextmanager
def on_cores(wanted: Set[int]) -> Iterator[None]:
    """What is started meanwhile runs on these cores only."""
    if sys.platform != "linux" or not wanted:
        yield
        return
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def busy_s(wanted: Set[int]) -> float:
    """How long these cores have been busy, with whatever; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0.0
    names = {f"cpu{core}" for core in wanted}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *times = line.split()
        if name in names:
            user, nice, system, _idle, _iowait, *interrupts = map(int, times[:8])
            ticks += user + nice + system + sum(interrupts)
    return ticks / os.sysconf("SC_CLK_TCK")


def work_ms(wanted: Set[int]) -> float:
    """How long these cores take for a piece of work that is always the same."""
    with on_cores(wanted):
        started = time.perf_counter()
        for _ in range(_WORK):
            json.loads(json.dumps(_SOMETHING))
        return (time.perf_counter() - started) * 1000


def describe(pinned: Cores, folder: Path) -> Machine:
    return Machine(
        chatkeep=__version__,
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        python=f"{platform.python_version()} ({os.path.realpath(sys.executable)})",
        pinning=str(pinned),
        fsync_ms=_fsync_ms(folder),
        busy=os.getloadavg()[0],
    )


@contextmanager
def folder_on_disk() -> Iterator[Path]:
    parent = _ON_DISK if _ON_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="chatkeep-bench-", dir=parent) as folder:
        yield Path(folder)


def _fsync_ms(folder: Path) -> float:
    """The median of appending a page and waiting for the disk, as a commit does."""
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(os.urandom(8192))
            started = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - started)
    return statistics.median(took) * 1000


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _list(cores: Set[int]) -> str:
    return ", ".join(map(str, sorted(cores)))
