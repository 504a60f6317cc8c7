"""How many model calls a project and its keys may make: at a time, and a minute.

Counted in memory, so each process grants the limits anew. Calls without a limit cost nothing.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from chatkeep.core.model import Key, Project
from chatkeep.core.ports import Headers
from chatkeep.errors import RateLimitReached

_MINUTE_S = 60.0
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
    said: str


class Rate(NamedTuple):
    """What a limited caller is told; `reset_s` is when all of `limit` is free again."""

    limit: int
    remaining: int
    reset_s: float

    @property
    def headers(self) -> Headers:
        return tuple(
            zip(HEADERS, (str(self.limit), str(self.remaining), told(self.reset_s)), strict=True)
        )


class Granted(NamedTuple):
    """A call that may go on. `end` gives its place free; `headers` go out with its answer."""

    end: Callable[[], object]
    headers: Headers


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
        taken = [
            (whose, most)
            for whose, most in ((ours, project.max_concurrent), (its, project.key_max_concurrent))
            if most is not None
        ]
        paced = [
            (whose, rpm)
            for whose, rpm in (
                (ours, project.requests_per_minute),
                (its, project.key_requests_per_minute),
            )
            if rpm is not None
        ]
        return self._granted(taken, paced)

    def _granted(self, taken: list[tuple[Whose, int]], paced: list[tuple[Whose, int]]) -> Granted:
        now = self._monotonic()
        for whose, most in taken:
            running = self._running.get(whose, 0)
            if running >= most:
                raise _refusal(whose, "requests at a time", most, running, _AT_A_TIME_WAIT_S, ())
        for whose, limit in paced:
            wait_s = self._paid_at.get(whose, now) + _MINUTE_S / limit - now - _MINUTE_S
            if wait_s > 1e-9:
                rate = self._rate(whose, limit, now)
                what = "requests per min (RPM)"
                raise _refusal(whose, what, limit, limit, wait_s, rate.headers)
        for whose, limit in paced:
            self._paid_at[whose] = max(self._paid_at.get(whose, now), now) + _MINUTE_S / limit
        for whose, _ in taken:
            self._running[whose] = self._running.get(whose, 0) + 1
        rates = [self._rate(whose, limit, now) for whose, limit in paced]
        headers = min(rates, key=lambda rate: rate.remaining).headers if rates else ()
        return Granted(lambda: self._leave(taken), headers)

    def _rate(self, whose: Whose, limit: int, now: float) -> Rate:
        reset_s = max(self._paid_at.get(whose, now) - now, 0.0)
        free = (_MINUTE_S - reset_s) * limit / _MINUTE_S
        return Rate(limit, max(math.floor(free + 1e-6), 0), reset_s)

    def _leave(self, taken: list[tuple[Whose, int]]) -> None:
        for whose, _ in taken:
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


def told(seconds: float) -> str:
    """A duration as OpenAI's headers have it: `6ms`, `1.5s`, `1m0.052s`."""
    ms = math.ceil(seconds * 1000 - 1e-6)
    if ms < 1000:
        return f"{ms}ms"
    minutes, ms = divmod(ms, 60_000)
    return f"{minutes}m{ms / 1000:g}s" if minutes else f"{ms / 1000:g}s"


def _refusal(
    whose: Whose, what: str, limit: int, used: int, wait_s: float, headers: Headers
) -> RateLimitReached:
    after = (
        ("retry-after", str(math.ceil(wait_s - 1e-6))),
        ("retry-after-ms", str(math.ceil(wait_s * 1000 - 1e-6))),
    )
    return RateLimitReached(
        of=whose.said,
        what=what,
        limit=limit,
        used=used,
        wait=told(wait_s),
        headers=(*after, *headers),
    )
