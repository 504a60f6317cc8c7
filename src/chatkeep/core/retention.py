"""Deletes what projects keep no longer, a few completions at a time."""

from collections.abc import AsyncIterator, Callable

from chatkeep.core import bulk
from chatkeep.core.bulk import Outcome
from chatkeep.core.model import Project, Query
from chatkeep.core.ports import Store
from chatkeep.errors import RecordCorrupt, Refusal

DAY_S = 86_400
SWEEP_S = 5.0  # of each project at a time, so that a first sweep is not all that a server does


async def sweep(
    store: Store, now_unix: float, monotonic: Callable[[], float]
) -> AsyncIterator[tuple[Project, Outcome]]:
    """Each project of which something was, or could not be, deleted.

    What was not done in time is left for later.
    """
    for project in await store.projects():
        query = _expired(project, int(now_unix))
        if query is None:
            continue
        late = bulk.after(SWEEP_S, monotonic)
        try:
            outcome = await bulk.run(store, project, query, bulk.deleting(store, project), late)
        except (Refusal, RecordCorrupt) as error:  # the other projects go on
            outcome = Outcome(complete=False, stopped_by=str(error))
        if outcome.matched or outcome.stopped_by:
            yield project, outcome


def _expired(project: Project, now_unix: int) -> Query | None:
    if project.retain_days is None:
        return None
    return Query(created_before=now_unix - project.retain_days * DAY_S - 1)
