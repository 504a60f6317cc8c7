"""Deletes what is kept no longer, a little at a time: completions, or what was said in them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, NamedTuple

from chatkeep.core.model.completion import Project, Query
from chatkeep.core.model.ids import first_of
from chatkeep.core.ports.accounts import Accounts
from chatkeep.core.ports.records import Records
from chatkeep.core.records import bulk
from chatkeep.core.records.bulk import BATCH, Late, Outcome
from chatkeep.errors import RecordCorrupt, Refusal

DAY_S = 86_400
SWEEP_S = 5.0  # of each project at a time, so that a first sweep is not all that a server does


Expired = Literal["completions", "bodies"]
_Delete = Callable[[Records, Project, int, Late], Awaitable[Outcome]]


class Swept(NamedTuple):
    project: Project
    what: Expired
    outcome: Outcome


async def sweep(
    accounts: Accounts, records: Records, now_unix: float, monotonic: Callable[[], float]
) -> AsyncIterator[Swept]:
    """Each project of which something was, or could not be, deleted.

    What was not done in time is left for later.
    """
    for project in await accounts.projects():
        kept: tuple[tuple[Expired, int | None, _Delete], ...] = (
            ("completions", project.retain_days, _delete),
            ("bodies", project.retain_body_days, _expire),
        )
        for what, days, delete in kept:
            if days is None:
                continue
            late = bulk.deadline(SWEEP_S, monotonic)
            try:
                outcome = await delete(records, project, int(now_unix) - days * DAY_S, late)
            except (Refusal, RecordCorrupt) as error:  # the others go on
                outcome = Outcome(complete=False, stopped_by=str(error))
            if outcome.matched or outcome.stopped_by:
                yield Swept(project, what, outcome)


async def _delete(records: Records, project: Project, before_unix: int, late: Late) -> Outcome:
    query = Query(created_before=before_unix - 1)
    return await bulk.run(records, project, query, bulk.deleting(records, project), late)


async def _expire(records: Records, project: Project, before_unix: int, late: Late) -> Outcome:
    """Drops bodies, the oldest first."""
    before = first_of(before_unix)
    outcome = Outcome(complete=False)
    while not outcome.complete:
        try:
            expired = await records.expire_bodies(project, before, BATCH)
        except (Refusal, RecordCorrupt) as error:
            outcome.stopped_by = str(error)
            break
        outcome.done += expired.done
        outcome.matched = outcome.done
        outcome.complete = not expired.more
        if late():
            break
    return outcome
