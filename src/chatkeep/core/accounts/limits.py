"""How many model calls a project and its keys may make: at a time, and a minute.

Counted in memory, so each process grants the limits anew. Calls without a limit cost nothing.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chatkeep.core.model.completion import Key, Project
from chatkeep.errors import RateLimitReached

_MINUTE_S = 60.0
_NOTHING_S = 1e-9  # what sums of fractions are off by
_AT_A_TIME_WAIT_S = 1.0  # nobody knows when a call in progress ends
HEADERS = (
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)


class Whose(NamedTuple):
    """Whom a limit is for: a project, or one key of it."""

    kind: str
    id: int
    label: str


Limit = tuple[Whose, int]
RateHeaders = Sequence[tuple[str, str]]


class Rate(NamedTuple):
    """What a limited caller learns; `reset_s` is when all of `limit` is free again."""

    limit: int
    remaining: int
    reset_s: float

    @property
    def headers(self) -> RateHeaders:
        return tuple(
            zip(
                HEADERS,
                (str(self.limit), str(self.remaining), format_duration(self.reset_s)),
                strict=True,
            )
        )


class Granted(NamedTuple):
    """A call that may go on. `end` gives its place free; `headers` go out with its answer."""

    end: Callable[[], object]
    headers: RateHeaders


class Limits:
    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._running: dict[Whose, int] = {}
        # When the calls made so far are paid for, at an even pace: all there is to remember.
        self._paid_at: dict[Whose, float] = {}

    def enter(self, key: Key) -> Granted | None:
        """None when there are no limits. Raises RateLimitReached, and then counts nothing."""
        project = key.project
        if not limited(project):
            return None
        ours = Whose("project", project.id, f"project {project.name}")
        its = Whose("key", key.id, f"key {key.hint}")
        places = _set((ours, project.max_concurrent), (its, project.key_max_concurrent))
        paces = _set((ours, project.requests_per_minute), (its, project.key_requests_per_minute))
        now = self._monotonic()
        for whose, limit in places:
            self._check_place(whose, limit)
        for whose, limit in paces:
            self._check_pace(whose, limit, now)
        for whose, _ in places:
            self._running[whose] = self._running.get(whose, 0) + 1
        return Granted(lambda: self._leave(places), self._paid(paces, now))

    def _check_place(self, whose: Whose, limit: int) -> None:
        running = self._running.get(whose, 0)
        if running >= limit:
            raise _refusal(whose, "requests at a time", limit, running, _AT_A_TIME_WAIT_S, ())

    def _check_pace(self, whose: Whose, limit: int, now: float) -> None:
        wait_s = self._paid_at.get(whose, now) + _MINUTE_S / limit - now - _MINUTE_S
        if wait_s > _NOTHING_S:
            headers = self._rate(whose, limit, now).headers
            raise _refusal(whose, "requests per min (RPM)", limit, limit, wait_s, headers)

    def _paid(self, paces: list[Limit], now: float) -> RateHeaders:
        """Counts the call; the headers are of the limit that is nearest."""
        for whose, limit in paces:
            self._paid_at[whose] = max(self._paid_at.get(whose, now), now) + _MINUTE_S / limit
        rates = [self._rate(whose, limit, now) for whose, limit in paces]
        return min(rates, key=lambda rate: rate.remaining).headers if rates else ()

    def _rate(self, whose: Whose, limit: int, now: float) -> Rate:
        reset_s = max(self._paid_at.get(whose, now) - now, 0.0)
        free = (_MINUTE_S - reset_s) * limit / _MINUTE_S
        return Rate(limit, max(math.floor(free + 1e-6), 0), reset_s)

    def _leave(self, places: list[Limit]) -> None:
        for whose, _ in places:
            self._running[whose] -= 1
            if not self._running[whose]:
                del self._running[whose]


def limited(project: Project) -> bool:
    return not (
        project.max_concurrent is None
        and project.requests_per_minute is None
        and project.key_max_concurrent is None
        and project.key_requests_per_minute is None
    )


def format_duration(seconds: float) -> str:
    """A duration as OpenAI's headers have it: `6ms`, `1.5s`, `1m0.052s`."""
    ms = math.ceil(seconds * 1000 - 1e-6)
    if ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    return f"{minutes}m{ms / 1000:g}s" if minutes else f"{ms / 1000:g}s"


def _set(*limits: tuple[Whose, int | None]) -> list[Limit]:
    return [(whose, limit) for whose, limit in limits if limit is not None]


def _refusal(
    whose: Whose, what: str, limit: int, used: int, wait_s: float, headers: RateHeaders
) -> RateLimitReached:
    after = (
        ("retry-after", str(math.ceil(wait_s - 1e-6))),
        ("retry-after-ms", str(math.ceil(wait_s * 1000 - 1e-6))),
    )
    return RateLimitReached(
        of=whose.label,
        what=what,
        limit=limit,
        used=used,
        wait=format_duration(wait_s),
        headers=(*after, *headers),
    )
