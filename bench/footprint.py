"""What chatkeep needs before it does anything: disk, memory, and time to start."""

import importlib.metadata
import re
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from bench.figures import OURS, Figure
from bench.goals import limit
from bench.process import ROOT
from bench.scenarios import FOOTPRINT
from bench.target import Stage, chatkeep

_STARTS = 3
_SETTLED_S = 1.0
_TITLE = "Before any work"
_REQUIREMENT = re.compile(r"^([\w.-]+)==", re.MULTILINE)


def footprint(stage: Stage) -> list[Figure]:
    return [
        _figure("start", "s from start to first answer", _start_s(stage)),
        _figure("memory", "MB of memory, idle", _idle_bytes(stage) / 1e6),
        _figure("install", "MB installed, without the model", _installed_bytes() / 1e6),
    ]


def _figure(name: str, label: str, value: float) -> Figure:
    goal = limit(FOOTPRINT, name, fsync_ms=0)
    return Figure(FOOTPRINT, _TITLE, name, label, False, {OURS: value}, goal)


def _start_s(stage: Stage) -> float:
    """The median of starts on a new file each."""
    took = []
    for attempt in range(_STARTS):
        started = time.perf_counter()
        with chatkeep(stage, f"start-{attempt}"):
            took.append(time.perf_counter() - started)
    return statistics.median(took)


def _idle_bytes(stage: Stage) -> int:
    with chatkeep(stage, "idle") as target:
        time.sleep(_SETTLED_S)
        return target.process.rss_bytes()


def _installed_bytes() -> int:
    """chatkeep's own files and those of what it needs at run time."""
    pinned = _REQUIREMENT.findall((ROOT / "requirements" / "runtime.txt").read_text())
    own = (path for path in (ROOT / "src").rglob("*") if "__pycache__" not in path.parts)
    return _size(own) + sum(map(_distribution_bytes, pinned))


def _distribution_bytes(name: str) -> int:
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        return 0  # not for this platform
    return _size(Path(str(file.locate())) for file in files)


def _size(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files if path.is_file())
