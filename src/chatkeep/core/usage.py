"""Calls, tokens, cost and time, summed by the hour (DESIGN.md §4).

Completions that are kept are counted by the store in the commit that keeps them. All other calls
are summed here and written once a second: a crash loses at most the last second of them.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import add
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from chatkeep.core.model.completion import Key, KeyId, ProjectId, Row, Usage
from chatkeep.core.model.ids import second_of
from chatkeep.core.prices import Prices
from chatkeep.core.wire.answer import Spent, scrubbed, spent_by, spent_of
from chatkeep.errors import StoreBusy, StoreFailed

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

TAIL = 2048  # of an answer's last bytes, where the usage stands
_MOST = 1000  # sums in memory; callers choose the models' names, so there is an end to it
_NAME = 256
_LARGEST = (1 << 32) - 1  # figure of one call: no hour's sum leaves what a database holds
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_JSON = json.JSONDecoder()
_OF_RESPONSES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}


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


class Ledger(Protocol):
    """Where sums are kept."""

    async def add_usage(self, sums: Sequence[tuple[Account, Sums]]) -> None: ...


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


class Meter:
    """Sums up the calls that are not kept."""

    def __init__(
        self, unix: Callable[[], float], monotonic: Callable[[], float], prices: Prices
    ) -> None:
        self._unix = unix
        self.now = monotonic
        self._prices = prices
        self._sums: dict[tuple[object, ...], tuple[Account, Sums]] = {}

    def count(
        self,
        key: Key,
        model: str,
        upstream: str,
        outcome: Outcome,
        started: float,
        tail: bytes = b"",
    ) -> None:
        """One call that ended now; `tail` are the last bytes of its answer."""
        model = scrubbed(model)[:_NAME]
        spent = _spent_in(tail)
        usage, cost = spent.usage, spent.cost_micro
        if cost is None:
            cost = self._prices.cost_micro(upstream, model, usage)
        duration_ms = round((self.now() - started) * 1000)
        hour = int(self._unix()) // HOUR_S
        of = (key.project.id, hour, model, upstream, key.id, outcome)
        found = self._sums.get(of)  # an Account, which takes longer to make
        sums = self._sum(Account(*of)) if found is None else found[1]
        _add_call(sums, usage, cost, duration_ms)

    async def flush(self, ledger: Ledger) -> None:
        """Writes the sums; what cannot be written now waits for the next time."""
        if not self._sums:
            return
        sums, self._sums = self._sums, {}
        try:
            await ledger.add_usage(list(sums.values()))
        except (StoreBusy, StoreFailed):
            for account, figures in sums.values():
                again = self._sum(account)
                again[:] = added(again, figures)

    def _sum(self, account: Account) -> Sums:
        if account not in self._sums and len(self._sums) >= _MOST:
            account = account._replace(model="")
        return self._sums.setdefault(account, (account, [0] * len(FIGURES)))[1]


def added(one: Sums, other: Sums) -> Sums:
    return list(map(add, one, other))


def _spent_in(tail: bytes) -> Spent:
    """What the last usage in the end of an answer says, of whatever kind."""
    at = tail.rfind(b'"usage"')
    if at >= 0 and (spent := spent_by(b"{" + tail[at:])) is not None:
        usage = spent.usage  # of a whole answer of the usual kind
        if usage.prompt_tokens is not None and usage.completion_tokens is not None:
            return spent
    return _any_spent_in(tail)


def _any_spent_in(tail: bytes) -> Spent:
    at = len(tail)
    while (at := tail.rfind(b'"usage"', 0, at)) >= 0:
        found = _USAGE.match(tail, at)
        if found is None:
            continue
        try:
            usage, _ = _JSON.raw_decode(tail[found.end() :].decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        return spent_of({_OF_RESPONSES.get(name, name): value for name, value in usage.items()})
    return Spent()
