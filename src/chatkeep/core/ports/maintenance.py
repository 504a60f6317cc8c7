"""What a store needs done to it beside reads and writes."""

from collections.abc import Iterator
from typing import Protocol


class Maintenance(Protocol):
    """The care of an open store."""

    async def check(self) -> None:
        """Returns when the store can be read just now. Raises StoreBusy, StoreFailed."""
        ...

    async def upkeep(self, now_unix: int) -> None:
        """Drops what a store keeps for itself and needs no more, a little at a time.

        To be called now and then, as every hour; `now_unix` is in seconds. Raises StoreBusy,
        StoreFailed; what was dropped by then stays dropped.
        """
        ...

    async def aclose(self) -> None:
        """Commits what is waiting and closes the store, which cannot be used afterwards."""
        ...


class Inspection(Protocol):
    """Holds all that a store keeps against itself."""

    checked: int  # completions so far

    def faults(self) -> Iterator[str]:
        """What is wrong, a sentence each, as it is found; nothing of what completions say."""
        ...
