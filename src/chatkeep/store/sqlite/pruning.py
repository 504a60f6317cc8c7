"""Drops heads that nothing can go on from any more."""

from typing import Any, NamedTuple

import apsw

from chatkeep.core.model.completion import ProjectId
from chatkeep.core.model.ids import Seq
from chatkeep.store import sql

SQL = sql.blocks("chatkeep.store.sqlite", "pruning.sql") | sql.blocks(
    "chatkeep.store.sqlite", "bodies.sql"
)


class HeadPlace(NamedTuple):
    """Where a head stands among a project's: heads in their order, and of one the places."""

    head: int = -1
    seq: int = 0


def prune(
    connection: apsw.Connection, project: ProjectId, below: Seq, behind: HeadPlace
) -> HeadPlace | None:
    """Looks at some heads and says where to go on, None at the end."""
    found: Any = connection.execute(SQL["some_heads"], (project, *behind)).fetchall()
    old = [(project, head, seq) for head, seq in found if seq < below]
    if old:
        connection.execute(SQL["note_pruned"], (project, below))
        connection.executemany(SQL["delete_head"], old)
    return HeadPlace(*found[-1]) if found else None
