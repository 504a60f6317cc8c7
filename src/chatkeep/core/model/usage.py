"""Sums of calls by the hour: what they are of, and how calls are added to them."""

from bisect import bisect_left
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from chatkeep.core.model.completion import KeyId, ProjectId, Row, Usage
from chatkeep.core.model.ids import second_of

# How a call ended: stored; answered and not to be stored; to be stored and not; not answered well.
Outcome = Literal["stored", "passed", "unkept", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("stored", "passed", "unkept", "failed")
HOUR_S = 3600

# The last milliseconds of each bucket of durations; the last bucket has no end.
BUCKETS_MS = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)
_LARGEST = (1 << 32) - 1  # figure of one call: no hour's sum leaves what a database holds


class Sums(Struct, gc=False):
    """The figures of calls, added up; stores keep them in this order.

    Those from `up_to_100` on count calls by the milliseconds they took. `priced` counts the calls
    whose cost is known, in millionths of a US dollar.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    priced: int = 0
    cost_micro: int = 0
    duration_ms: int = 0
    up_to_100: int = 0
    up_to_300: int = 0
    up_to_1000: int = 0
    up_to_3000: int = 0
    up_to_10000: int = 0
    up_to_30000: int = 0
    up_to_100000: int = 0
    longer: int = 0

    def add_call(self, usage: Usage, cost_micro: int | None, duration_ms: int) -> None:
        self.calls += 1
        self.prompt_tokens += min(usage.prompt_tokens or 0, _LARGEST)
        self.completion_tokens += min(usage.completion_tokens or 0, _LARGEST)
        self.cached_tokens += min(usage.cached_tokens or 0, _LARGEST)
        self.reasoning_tokens += min(usage.reasoning_tokens or 0, _LARGEST)
        if cost_micro is not None:
            self.priced += 1
            self.cost_micro += min(cost_micro, _LARGEST)
        self.duration_ms += min(duration_ms, _LARGEST)
        bucket = _BUCKETS[bisect_left(BUCKETS_MS, duration_ms)]
        setattr(self, bucket, getattr(self, bucket) + 1)

    def add(self, other: "Sums") -> None:
        for name in FIGURES:
            setattr(self, name, getattr(self, name) + getattr(other, name))


FIGURES = Sums.__struct_fields__
_BUCKETS = (*(f"up_to_{bound}" for bound in BUCKETS_MS), "longer")

Group = Literal["hour", "day", "model", "upstream", "key", "outcome"]
GROUPS: tuple[Group, ...] = ("hour", "day", "model", "upstream", "key", "outcome")
PERIOD_HOURS: dict[str, int] = {"hour": 1, "day": 24}


class Account(NamedTuple):
    """What a sum is of. `hour` counts hours since 1970.

    `form` is a wire format, or of calls that are only forwarded their path, like `embeddings`.
    """

    project: ProjectId
    hour: int
    form: str
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
    """Adds a completion that is stored to the sums of its account."""
    hour = second_of(row.seq) // HOUR_S
    account = (project, hour, row.form, row.model, row.upstream, row.key, "stored")
    sums = totals.get(account)
    if sums is None:
        sums = totals[account] = Sums()
    sums.add_call(row.usage, row.cost_micro, row.duration_ms)


def count(totals: Totals, account: Account, sums: Sums) -> None:
    """Adds the sums of other calls."""
    before = totals.get(account)
    if before is None:
        before = totals[account] = Sums()
    before.add(sums)
