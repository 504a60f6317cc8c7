"""Sums of usage in SQLite."""

from typing import Any

import apsw
from msgspec.structs import astuple

from chatkeep.core.model.completion import Project
from chatkeep.core.model.usage import StatsQuery, Summed, Sums, Totals
from chatkeep.store import sql

SQL = sql.blocks("chatkeep.store.sqlite", "usage.sql")
_NOBODY = -1  # a primary key takes no NULL


def add(cursor: apsw.Cursor, totals: Totals) -> None:
    for (project, hour, form, model, upstream, key, outcome), sums in totals.items():
        named = (project, hour, form, model, upstream, _NOBODY if key is None else key, outcome)
        cursor.execute(SQL["add_usage"], (*named, *astuple(sums)))


def summed(
    connection: apsw.Connection, project: Project, query: StatsQuery, limit: int
) -> list[Summed]:
    by = [name in query.group for name in ("model", "upstream", "key", "outcome")]
    equal = (query.model, query.upstream, query.key, query.outcome)
    hours = (query.first_hour, query.last_hour, query.period_hours)
    found = connection.execute(SQL["select_usage"], (project.id, *hours, *by, *equal, limit))
    return [_summed(row) for row in found]


def _summed(found: tuple[Any, ...]) -> Summed:
    period, model, upstream, key, outcome, *figures = found
    return Summed(period, model, upstream, None if key == _NOBODY else key, outcome, Sums(*figures))
