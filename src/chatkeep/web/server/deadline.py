"""How long a client is waited for."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `late` when the time set last has passed and was not cleared.

    One timer a connection does: it goes off too early rather than being set for each request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[], None]) -> None:
        self._loop = loop
        self._late = late
        self._due: float | None = None  # in the loop's time
        self._timer: asyncio.TimerHandle | None = None  # goes off when that is due, or before
        self._timer_due = 0.0

    def set(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        if self._timer is None:
            self._set_timer(self._due)
        elif self._due < self._timer_due:
            self._timer.cancel()
            self._set_timer(self._due)

    def clear(self) -> None:
        self._due = None

    def end(self) -> None:
        """Clears it for good, and lets go of who is called."""
        self._due = None
        self._late = _nothing
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, due: float) -> None:
        self._timer = self._loop.call_at(due, self._went_off)
        self._timer_due = due

    def _went_off(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._due > self._timer_due:
            self._set_timer(self._due)
        else:
            self._late()


def _nothing() -> None:
    pass
