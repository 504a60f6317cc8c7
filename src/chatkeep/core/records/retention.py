"""Deletes what is kept no longer, a little at a time: completions, or what was said in them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, NamedTuple

from chatkeep.core.model.completion import Project, Query
from chatkeep.core.model.ids import first_of
from chatkeep.core.ports import Expiry, Store
from chatkeep.core.records import bulk
from chatkeep.core.records.bulk import BATCH, Late, Outcome
from chatkeep.errors import RecordCorrupt, Refusal

DAY_S = 86_400
SWEEP_S = 5.0  # of each project at a time, so that a first sweep is not all that a server does


Expired = Literal["completions", "bodies"]
_Delete = Callable[[Store, Project, int, Late], Awaitable[Outcome]]


class Swept(NamedTuple):
    project: Project
    what: Expired
    outcome: Outcome


async def sweep(
    store: Store, now_unix: float, monotonic: Callable[[], float]
) -> AsyncIterator[Swept]:
    """Each project of which something was, or could not be, deleted.

    What was not done in time is left for later.
    """
    for project in await store.projects():
        kept: tuple[tuple[Expired, int | None, _Delete], ...] = (
            ("completions", project.retain_days, _delete),
            ("bodies", project.retain_body_days, _expire),
        )
        for what, days, delete in kept:
            if days is None:
                continue
            late = bulk.deadline(SWEEP_S, monotonic)
            try:
                outcome = await delete(store, project, int(now_unix) - days * DAY_S, late)
            except (Refusal, RecordCorrupt) as error:  # the others go on
                outcome = Outcome(complete=False, stopped_by=str(error))
            if outcome.matched or outcome.stopped_by:
                yield Swept(project, what, outcome)


async def _delete(store: Store, project: Project, before_unix: int, late: Late) -> Outcome:
    query = Query(created_before=before_unix - 1)
    return await bulk.run(store, project, query, bulk.deleting(store, project), late)


async def _expire(store: Store, project: Project, before_unix: int, late: Late) -> Outcome:
    """Lets go of bodies, the oldest first."""
    below = first_of(before_unix)
    outcome = Outcome(complete=False)
    while not outcome.complete and outcome.stopped_by is None:
        batch = (store.expire(project, below) for _ in range(BATCH))
        found = await asyncio.gather(*batch, return_exceptions=True)
        expired = [one for one in found if isinstance(one, Expiry)]
        for failure in (one for one in found if isinstance(one, BaseException)):
            outcome.stopped_by = _reason(failure)
        outcome.done += sum(one.done for one in expired)
        outcome.matched = outcome.done
        outcome.complete = not all(one.more for one in expired)
        if late():
            break
    return outcome


def _reason(failure: BaseException) -> str:
    if isinstance(failure, Refusal | RecordCorrupt):
        return str(failure)
    raise failure
