"""Sums of calls by the hour: what they are of, and how calls are added to them."""

from bisect import bisect_left
from operator import add
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from chatkeep.core.model.completion import KeyId, ProjectId, Row, Usage
from chatkeep.core.model.ids import second_of

# How a call ended: kept; answered and not to be kept; to be kept and not; not answered well.
Outcome = Literal["stored", "passed", "unkept", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("stored", "passed", "unkept", "failed")
HOUR_S = 3600

# The last milliseconds of each bucket of durations; the last bucket has no end.
BUCKETS_MS = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)
FIGURES = (
    "calls",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "priced",
    "cost_micro",
    "duration_ms",
    *(f"up_to_{bound}" for bound in BUCKETS_MS),
    "longer",
)

Sums = list[int]  # one for each of FIGURES
Group = Literal["hour", "day", "model", "upstream", "key", "outcome"]
GROUPS: tuple[Group, ...] = ("hour", "day", "model", "upstream", "key", "outcome")
PERIOD_HOURS: dict[str, int] = {"hour": 1, "day": 24}
_LARGEST = (1 << 32) - 1  # figure of one call: no hour's sum leaves what a database holds


class Account(NamedTuple):
    """What a sum is of. `hour` counts hours since 1970."""

    project: ProjectId
    hour: int
    model: str
    upstream: str
    key: KeyId | None
    outcome: Outcome


Totals = dict[tuple[Any, ...], Sums]  # by Account, or the same as a tuple, which is quicker made


class StatsQuery(Struct, frozen=True):
    """Which sums are added up, and what by. The hours are both inclusive."""

    first_hour: int
    last_hour: int
    group: tuple[Group, ...] = ()
    model: str | None = None
    upstream: str | None = None
    key: KeyId | None = None
    outcome: Outcome | None = None

    @property
    def period_hours(self) -> int:
        """How many hours are added up to one sum; 0 for all of them."""
        return next((PERIOD_HOURS[group] for group in self.group if group in PERIOD_HOURS), 0)


class Summed(NamedTuple):
    """A sum; None stands for what it was not grouped by. `period` is an hour, the first of it."""

    period: int | None
    model: str | None
    upstream: str | None
    key: KeyId | None
    outcome: Outcome | None
    figures: Sums


def count_row(totals: Totals, project: ProjectId, row: Row) -> None:
    """Adds a completion that is kept to the sums of its account."""
    hour = second_of(row.seq) // HOUR_S
    account = (project, hour, row.model, row.upstream, row.key, "stored")
    sums = totals.setdefault(account, [0] * len(FIGURES))
    _add_call(sums, row.usage, row.cost_micro, row.duration_ms)


def count(totals: Totals, account: Account, sums: Sums) -> None:
    """Adds the sums of other calls."""
    before = totals.get(account)
    totals[account] = list(sums) if before is None else added(before, sums)


def sums_of(usage: Usage, cost_micro: int | None, duration_ms: int) -> Sums:
    """The figures of one call."""
    sums = [0] * len(FIGURES)
    _add_call(sums, usage, cost_micro, duration_ms)
    return sums


def _add_call(sums: Sums, usage: Usage, cost_micro: int | None, duration_ms: int) -> None:
    # One by one, since a loop over all of them takes twice as long.
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    cached, reasoning = usage.cached_tokens or 0, usage.reasoning_tokens or 0
    sums[0] += 1
    sums[1] += prompt if prompt < _LARGEST else _LARGEST
    sums[2] += completion if completion < _LARGEST else _LARGEST
    sums[3] += cached if cached < _LARGEST else _LARGEST
    sums[4] += reasoning if reasoning < _LARGEST else _LARGEST
    if cost_micro is not None:
        sums[5] += 1
        sums[6] += cost_micro if cost_micro < _LARGEST else _LARGEST
    sums[7] += duration_ms if duration_ms < _LARGEST else _LARGEST
    sums[8 + bisect_left(BUCKETS_MS, duration_ms)] += 1


def added(one: Sums, other: Sums) -> Sums:
    return list(map(add, one, other))
