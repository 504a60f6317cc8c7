"""Drops prefix hashes that nothing can go on from any more."""

from typing import Any, NamedTuple

import apsw

from chatkeep.core.model.completion import ProjectId
from chatkeep.core.model.ids import Seq
from chatkeep.store import sql

SQL = sql.blocks("chatkeep.store.sqlite", "pruning.sql") | sql.blocks(
    "chatkeep.store.sqlite", "bodies.sql"
)


class PrefixHashPosition(NamedTuple):
    """Where a prefix hash stands among a project's: they in their order, and of one the seqs."""

    prefix_hash: int = -1
    seq: int = 0


def prune(
    connection: apsw.Connection, project: ProjectId, below: Seq, behind: PrefixHashPosition
) -> PrefixHashPosition | None:
    """Looks at some prefix hashes and says where to go on, None at the end."""
    found: Any = connection.execute(SQL["some_prefix_hashes"], (project, *behind)).fetchall()
    old = [(project, prefix_hash, seq) for prefix_hash, seq in found if seq < below]
    if old:
        connection.execute(SQL["note_pruned"], (project, below))
        connection.executemany(SQL["delete_prefix_hash"], old)
    return PrefixHashPosition(*found[-1]) if found else None
