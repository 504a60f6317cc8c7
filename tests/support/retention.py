"""How long projects keep what they have, and a sweep's clock."""

from support.samples import SECOND

from chatkeep.core.accounts.projects import changed
from chatkeep.core.model.completion import Project, Query
from chatkeep.core.model.ids import Seq
from chatkeep.core.ports.store import Store
from chatkeep.core.records.retention import DAY_S

NOW = SECOND + 40 * DAY_S


def still() -> float:
    return 0.0


async def retain(
    store: Store, project: Project, days: int | None, setting: str = "retain_days"
) -> None:
    await store.change_project(project.id, changed({setting: days}))


async def with_bodies(store: Store, project: Project) -> list[Seq]:
    page = await store.page(project, Query(limit=100, order="asc"))
    return [item.row.seq for item in page.items if item.has_body]
