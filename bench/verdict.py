"""What a soak has shown, and whether all of it is as it should be."""

from collections import Counter
from collections.abc import Sequence
from statistics import linear_regression

from msgspec import Struct

from bench.ledger import Check

FLAT_MB = 4.0
FLAT_FILES = 8.0


class Sample(Struct, frozen=True):
    """A look at the server: `second` of the soak, memory, open files."""

    second: float
    rss_mb: float
    open_files: int


class Counted(Struct):
    """Calls by kind.

    `lost` are those whose connection broke; `busy` were answered 503 with `retry-after`; `unkept`
    could not be stored, and said so; `failed` are other errors of the server's own; `odd` is what
    else was answered otherwise than it should be.
    """

    done: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    busy: Counter[str] = Counter()
    unkept: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    odd: Counter[str] = Counter()


class Verdict(Struct, frozen=True):
    """`troubles` counts what was done to the server; `faults` is what `chatkeep verify` found."""

    counted: Counted
    troubles: Counter[str]
    check: Check
    faults: str
    samples: Sequence[Sample]

    @property
    def failures(self) -> list[str]:
        """What is not as it should be, by name."""
        counted = self.counted
        found = {
            "records": not self.check.passed,
            "verify": bool(self.faults),
            "own 5xx": bool(counted.failed),
            "answers": bool(counted.odd),
            "broken connections": bool(counted.lost) and not self.troubles,
            "unkept": bool(counted.unkept) and not self.troubles["disk full"],
            "memory": growth(self.samples, "rss_mb") >= FLAT_MB,
            "open files": growth(self.samples, "open_files") >= FLAT_FILES,
        }
        return [name for name, wrong in found.items() if wrong]

    def __str__(self) -> str:
        counted, check = self.counted, self.check
        return "\n".join(
            [
                *_listed("done:", counted.done),
                *_listed("done to the server:", self.troubles),
                *_listed("connection broke:", counted.lost),
                *_listed("busy, 503 with retry-after:", counted.busy),
                *_listed("not kept, and told so:", counted.unkept),
                *_listed("OWN ERRORS:", counted.failed),
                *_listed("NOT AS IT SHOULD BE:", counted.odd),
                f"acknowledged {check.acknowledged:,}, missing {check.missing},"
                f" wrong {check.wrong}; unacknowledged {check.extra} of {check.unsure} cut off in"
                " flight",
                f"verify: {self.faults or 'no faults'}",
                f"own 5xx {counted.failed.total()}; busy {counted.busy.total()}; not kept"
                f" {counted.unkept.total()}",
                _course("memory, MB:", [one.rss_mb for one in self.samples])
                + f"; {growth(self.samples, 'rss_mb'):+.1f} over the second half, flat is under"
                f" {FLAT_MB:g}",
                _course("open files:", [one.open_files for one in self.samples]),
                f"FAILED: {', '.join(self.failures)}" if self.failures else "PASSED",
            ]
        )


def growth(samples: Sequence[Sample], what: str) -> float:
    """By how much it grows over the second half, as a line through all of that half has it."""
    half = samples[len(samples) // 2 :]
    if len(half) < 2:
        return 0.0
    seconds = [one.second for one in half]
    slope = linear_regression(seconds, [float(getattr(one, what)) for one in half]).slope
    return slope * (seconds[-1] - seconds[0])


def _listed(title: str, counted: Counter[str]) -> list[str]:
    if not counted:
        return []
    return [title, *(f"  {count:>8,}  {kind}" for kind, count in counted.most_common())]


def _course(title: str, values: Sequence[float]) -> str:
    if not values:
        return title
    return (
        f"{title} {values[0]:.4g} at first, {values[len(values) // 2]:.4g} in the middle,"
        f" {values[-1]:.4g} at last, {max(values):.4g} at most"
    )
