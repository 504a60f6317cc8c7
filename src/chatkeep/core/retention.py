"""Deletes what is kept no longer, a little at a time."""

from collections.abc import AsyncIterator, Callable

from chatkeep.core import bulk
from chatkeep.core.bulk import Outcome
from chatkeep.core.chain import MAX_AGE_S
from chatkeep.core.ids import first_of
from chatkeep.core.model import Project, Query
from chatkeep.core.ports import HeadPlace, Store
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
        late = bulk.deadline(SWEEP_S, monotonic)
        try:
            outcome = await bulk.run(store, project, query, bulk.deleting(store, project), late)
        except (Refusal, RecordCorrupt) as error:  # the other projects go on
            outcome = Outcome(complete=False, stopped_by=str(error))
        if outcome.matched or outcome.stopped_by:
            yield project, outcome


async def prune(store: Store, now_unix: float) -> None:
    """Drops what is kept to find completions by that no new one goes on from."""
    below = first_of(int(now_unix) - MAX_AGE_S)
    for project in await store.projects():
        behind: HeadPlace | None = HeadPlace()
        while behind is not None:
            behind = await store.prune_heads(project, below, behind)


def _expired(project: Project, now_unix: int) -> Query | None:
    if project.retain_days is None:
        return None
    return Query(created_before=now_unix - project.retain_days * DAY_S - 1)
