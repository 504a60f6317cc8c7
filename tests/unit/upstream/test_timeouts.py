"""Waiting with one timer for all: each gives up when its own time is over, whatever others do."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.upstream.http.timeouts import Patience, Silent

END = 20


class Plan(NamedTuple):
    """Times at which one begins to wait, has waited for long enough, hears something and is done.

    From `paused` on it is the upstream that waits, and from `resumed` on no longer.
    """

    begins: int
    lasts: int
    silence: int
    hears: set[int]
    done: int
    paused: int
    resumed: int


class Waiting:
    def __init__(self, plan: Plan, patience: Patience) -> None:
        self.deadline = float(plan.begins + plan.lasts)
        self.silence_s = float(plan.silence)
        self.heard = float(plan.begins)
        self.failure: Exception | None = None
        self.waits = False
        self._patience = patience

    def give_up(self, failure: Exception) -> None:
        self.failure = failure
        self._patience.leave(self)


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


def step(plan: Plan, one: Waiting, patience: Patience, now: int) -> None:
    if now == plan.begins:
        one.waits = True
        patience.watch(one)
    elif one.waits and now == plan.done:
        one.waits = False
        patience.leave(one)
    elif one.waits and now == plan.paused:
        one.heard = float("inf")
    elif one.waits and now == plan.resumed:
        one.heard = float(now)
        patience.watch(one)
    elif one.waits and now in plan.hears and one.heard <= now:
        one.heard = float(now)


def late(one: Waiting, now: int) -> type[Exception] | None:
    if not one.waits or now < min(one.deadline, one.heard + one.silence_s):
        return None
    return TimeoutError if now >= one.deadline else Silent


plans = st.builds(
    Plan,
    begins=st.integers(0, 9),
    lasts=st.integers(1, 12),
    silence=st.integers(1, 12),
    hears=st.sets(st.integers(0, END)),
    done=st.integers(1, 2 * END),
    paused=st.integers(1, 2 * END),
    resumed=st.integers(1, 2 * END),
)


@given(st.lists(plans, max_size=6))
def test_each_gives_up_when_its_own_time_is_over(plans: list[Plan]) -> None:
    patience, loop = Patience(), Loop()
    waiting = [(plan, Waiting(plan, patience)) for plan in plans]

    def steps() -> None:
        for plan, one in waiting:
            step(plan, one, patience, loop.now)

    try:
        for loop.now in range(END):
            loop.do(steps)
            for _, one in waiting:
                gave_up = None if one.failure is None else type(one.failure)
                assert gave_up is late(one, loop.now)
                one.waits, one.failure = one.waits and gave_up is None, None
    finally:
        patience.end()
        loop.close()
