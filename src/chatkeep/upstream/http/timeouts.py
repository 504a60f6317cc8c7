"""How long an upstream is waited for: until all has come, and for the next bytes of it."""

import asyncio
from typing import Protocol


class ReadTimeout(TimeoutError):
    """Nothing came for too long."""


class Waiting(Protocol):
    """Who waits until `deadline`, and no longer than `read_timeout_s` after `last_received`.

    Times are the loop's. While it is us who let the upstream wait, `last_received` is infinity.
    """

    deadline: float
    read_timeout_s: float
    last_received: float

    def give_up(self, failure: Exception) -> object: ...


class Timeouts:
    """Has those give up who have waited for too long.

    One timer does for all of them. It is set anew neither when something comes nor when one of them
    is done, since setting one costs more than the rest of waiting.
    """

    def __init__(self) -> None:
        self._waiting: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def watch(self, one: Waiting) -> None:
        """Begins to watch, or goes on when one of its limits has come nearer."""
        self._waiting.add(one)
        due = _due(one)
        if self._timer is None or due < self._due:
            self._set_timer(due)

    def leave(self, one: Waiting) -> None:
        self._waiting.discard(one)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, due: float) -> None:
        self.end()
        self._due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for one in tuple(self._waiting):
            if now >= one.deadline:
                one.give_up(TimeoutError())
            elif now >= one.last_received + one.read_timeout_s:
                one.give_up(ReadTimeout())
        if self._waiting:
            self._set_timer(min(map(_due, self._waiting)))


def _due(one: Waiting) -> float:
    return min(one.deadline, one.last_received + one.read_timeout_s)
