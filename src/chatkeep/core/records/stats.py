"""Figures over time: sums of usage, grouped as asked. They stay when completions are deleted."""

from typing import Any

import msgspec
from msgspec.structs import asdict

from chatkeep.core.model.completion import Project
from chatkeep.core.model.usage import (
    GROUPS,
    HOUR_S,
    OUTCOMES,
    PERIOD_HOURS,
    Group,
    Outcome,
    StatsQuery,
    Summed,
)
from chatkeep.core.ports.usage import UsageLedger
from chatkeep.core.records.filters import RECORDS
from chatkeep.core.wire.query import Filter, Pairs, read, rows
from chatkeep.errors import InvalidValue

MOST = 10_000  # sums in an answer
_LAST_SECOND = 1 << 40


def _quoted(words: tuple[str, ...]) -> str:
    quoted = [f"'{word}'" for word in words]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _group(name: str, value: str) -> tuple[Group, ...]:
    asked = value.split(",")
    groups = tuple(group for group in GROUPS if group in asked)
    if sorted(groups) != sorted(asked) or {"hour", "day"} <= set(asked):
        supported = f"{_quoted(GROUPS)}, several joined by commas, hour and day not together"
        raise InvalidValue(name, got=value, expected=f"Supported values are: {supported}.")
    return groups


def _outcome(name: str, value: str) -> Outcome:
    for outcome in OUTCOMES:
        if outcome == value:
            return outcome
    raise InvalidValue(name, got=value, expected=f"Supported values are: {_quoted(OUTCOMES)}.")


STATS: tuple[Filter, ...] = (
    Filter(
        "group",
        _group,
        {"type": "string"},
        "What to sum by: hour or day, model, upstream, key, outcome; several joined by commas.",
    ),
    Filter(
        "outcome",
        _outcome,
        {"type": "string", "enum": list(OUTCOMES)},
        "Calls that ended so: stored, passed (not to be stored), unkept (to be stored, and not) or"
        " failed (no answer, or an error).",
    ),
    *rows(RECORDS, "model", "upstream", "key", "created_after", "created_before"),
)


async def stats(ledger: UsageLedger, project: Project, pairs: Pairs) -> bytes:
    """Raises what the parameters are refused with."""
    query = _query(read(STATS, pairs))
    found = await ledger.usage(project, query, MOST + 1)
    data = [_shown(query, one) for one in found[:MOST]]
    return msgspec.json.encode({"data": data, "complete": len(found) <= MOST})


def _query(given: dict[str, Any]) -> StatsQuery:
    first = given.pop("created_after", 0)
    last = given.pop("created_before", _LAST_SECOND)
    return StatsQuery(first_hour=_hour(first), last_hour=_hour(last), **given)


def _hour(unix: int) -> int:
    return max(-1, min(unix, _LAST_SECOND) // HOUR_S)


def _shown(query: StatsQuery, summed: Summed) -> dict[str, Any]:
    by: dict[str, Any] = {}
    for group in query.group:
        if group in PERIOD_HOURS:
            by["start"] = (summed.period or 0) * HOUR_S
        else:
            by[group] = getattr(summed, group)
    figures: dict[str, int | None] = asdict(summed.figures)
    if not figures["priced"]:
        figures["cost_micro"] = None
    return {**by, **figures}
