"""Sums of calls, tokens, cost and time, by the hour."""

from collections.abc import Sequence
from typing import Protocol

from chatkeep.core.model.completion import Project
from chatkeep.core.model.usage import Account, StatsQuery, Summed, Sums


class UsageLedger(Protocol):
    """Holds the sums of all projects. They stay when records are deleted."""

    async def add_usage(self, sums: Sequence[tuple[Account, Sums]]) -> None:
        """Adds to the sums, in one commit, what calls came to that are not in the store.

        `Records` counts the ones it keeps by itself. Raises StoreBusy, StoreFailed; then nothing
        was added.
        """
        ...

    async def usage(self, project: Project, query: StatsQuery, limit: int) -> list[Summed]:
        """Up to `limit` sums of the project: the newest periods first, and of a period those of the
        most calls.

        Raises StoreBusy when it takes too long, StoreFailed when they cannot be read.
        """
        ...
