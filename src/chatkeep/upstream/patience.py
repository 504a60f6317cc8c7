"""How long an upstream is waited for: until all has come, and for the next bytes of it."""

import asyncio
import math
from collections.abc import Callable


class Silent(TimeoutError):
    """Nothing came for too long."""


class Patience:
    """Calls `give_up` with the reason unless it was ended before.

    One timer does for both limits, and is not set anew whenever something comes.
    """

    def __init__(
        self, deadline: float, silence_s: float, give_up: Callable[[Exception], object]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._silence_s = silence_s
        self._give_up: Callable[[Exception], object] | None = give_up
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._loop.time()
        self.until(deadline)

    def until(self, deadline: float) -> None:
        """Sets when all must have come, in the loop's time."""
        self._deadline = deadline
        self._set_timer()

    def heard(self) -> None:
        self._heard = self._loop.time()

    def pause(self) -> None:
        """It is us who let the upstream wait."""
        self._heard = math.inf

    def resume(self) -> None:
        self.heard()
        self._set_timer()

    def end(self) -> None:
        self._give_up = None  # which knows us
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        due = min(self._deadline, self._heard + self._silence_s)
        if self._give_up is None or (self._timer is not None and self._timer.when() <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._give_up is None:
            return
        if now >= self._deadline:
            self._give_up(TimeoutError())
        elif now >= self._heard + self._silence_s:
            self._give_up(Silent())
        else:
            self._set_timer()
