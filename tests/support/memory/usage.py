"""Sums of usage in memory."""

from collections.abc import Sequence

from support.memory.data import Data

from chatkeep.core.model.completion import Project
from chatkeep.core.model.usage import Account, StatsQuery, Summed, Sums, count

_COLUMNS = ("model", "upstream", "key", "outcome")


class MemoryLedger:
    def __init__(self, data: Data) -> None:
        self._data = data

    async def add_usage(self, sums: Sequence[tuple[Account, Sums]]) -> None:
        for account, figures in sums:
            count(self._data.totals, account, figures)

    async def usage(self, project: Project, query: StatsQuery, limit: int) -> list[Summed]:
        found: dict[tuple[object, ...], Summed] = {}
        for of, figures in self._data.totals.items():
            account = Account(*of)
            if account.project == project.id and _is_asked_for(account, query):
                summed = _nothing_yet(account, query)
                found.setdefault(summed[:-1], summed).figures.add(figures)
        return sorted(found.values(), key=_newest_and_most)[:limit]


def _is_asked_for(account: Account, query: StatsQuery) -> bool:
    return query.first_hour <= account.hour <= query.last_hour and all(
        getattr(query, name) in (None, getattr(account, name)) for name in _COLUMNS
    )


def _nothing_yet(account: Account, query: StatsQuery) -> Summed:
    hours = query.period_hours
    period = account.hour // hours * hours if hours else None
    by = {name: getattr(account, name) if name in query.group else None for name in _COLUMNS}
    return Summed(period, **by, figures=Sums())


def _newest_and_most(one: Summed) -> tuple[object, ...]:
    period, *named, figures = one
    return (-(period or 0), -figures.calls, *(str(name or "") for name in named))
