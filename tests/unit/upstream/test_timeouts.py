"""Waiting with one timer for all: each gives up when its own time is over, whatever others do."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.upstream.http.timeouts import ReadTimeout, Timeouts

END = 20


class Plan(NamedTuple):
    """Times at which one begins to wait, has waited for long enough, hears something and is done.

    From `paused` on it is the upstream that waits, and from `resumed` on no longer.
    """

    begins: int
    lasts: int
    read_timeout: int
    hears: set[int]
    done: int
    paused: int
    resumed: int


class Waiting:
    def __init__(self, plan: Plan, timeouts: Timeouts) -> None:
        self.deadline = float(plan.begins + plan.lasts)
        self.read_timeout_s = float(plan.read_timeout)
        self.last_received = float(plan.begins)
        self.failure: Exception | None = None
        self.waits = False
        self._timeouts = timeouts

    def give_up(self, failure: Exception) -> None:
        self.failure = failure
        self._timeouts.leave(self)


class Loop(asyncio.SelectorEventLoop):
    """Its time is what the test says."""

    now = 0

    def time(self) -> float:
        return float(self.now)

    def do(self, step: Callable[[], object]) -> None:
        self.call_soon(step)
        for _ in range(2):  # what it does, and what is due after that
            self.call_soon(self.stop)
            self.run_forever()


def step(plan: Plan, one: Waiting, timeouts: Timeouts, now: int) -> None:
    if now == plan.begins:
        one.waits = True
        timeouts.watch(one)
    elif one.waits and now == plan.done:
        one.waits = False
        timeouts.leave(one)
    elif one.waits and now == plan.paused:
        one.last_received = float("inf")
    elif one.waits and now == plan.resumed:
        one.last_received = float(now)
        timeouts.watch(one)
    elif one.waits and now in plan.hears and one.last_received <= now:
        one.last_received = float(now)


def late(one: Waiting, now: int) -> type[Exception] | None:
    if not one.waits or now < min(one.deadline, one.last_received + one.read_timeout_s):
        return None
    return TimeoutError if now >= one.deadline else ReadTimeout


plans = st.builds(
    Plan,
    begins=st.integers(0, 9),
    lasts=st.integers(1, 12),
    read_timeout=st.integers(1, 12),
    hears=st.sets(st.integers(0, END)),
    done=st.integers(1, 2 * END),
    paused=st.integers(1, 2 * END),
    resumed=st.integers(1, 2 * END),
)


@given(st.lists(plans, max_size=6))
def test_each_gives_up_when_its_own_time_is_over(plans: list[Plan]) -> None:
    timeouts, loop = Timeouts(), Loop()
    waiting = [(plan, Waiting(plan, timeouts)) for plan in plans]

    def steps() -> None:
        for plan, one in waiting:
            step(plan, one, timeouts, loop.now)

    try:
        for loop.now in range(END):
            loop.do(steps)
            for _, one in waiting:
                gave_up = None if one.failure is None else type(one.failure)
                assert gave_up is late(one, loop.now)
                one.waits, one.failure = one.waits and gave_up is None, None
    finally:
        timeouts.end()
        loop.close()
