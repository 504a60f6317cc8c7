"""Lets go of bodies that are kept no longer; their rows stay."""

from typing import Any

import apsw

from chatkeep.core.husk import husk
from chatkeep.core.ids import Seq
from chatkeep.core.model import Project
from chatkeep.core.ports import Hollowed
from chatkeep.core.said import said
from chatkeep.store import sql
from chatkeep.store.sqlite import rows, search
from chatkeep.store.sqlite.bodies import Bodies, Texts
from chatkeep.store.sqlite.recent import Found

SQL = sql.blocks("chatkeep.store.sqlite", "hollowing.sql") | sql.blocks(
    "chatkeep.store.sqlite", "queries.sql"
)
_LOOKED_AT = 256  # completions at the most, for one that has its body


def hollow(connection: apsw.Connection, project: Project, below: Seq, texts: Texts) -> Hollowed:
    """Lets go of the oldest body there is below a place."""
    bodies = Bodies(connection, project, texts)
    for _ in range(_LOOKED_AT):
        found: Any = connection.execute(SQL["oldest_with_body"], (project.id, below)).fetchall()
        if not found:
            return Hollowed(done=False, more=False)
        seq, body = found[0]
        connection.execute(SQL["note_hollow"], (project.id, seq + 1))
        if not bodies.is_hollow(seq, body):
            _hollow(connection, project, bodies, seq)
            return Hollowed(done=True, more=True)
    return Hollowed(done=False, more=True)


def note_body(connection: apsw.Connection, project: Project, seq: Seq) -> None:
    """Says of a completion that has come late that it has a body."""
    connection.execute(SQL["note_not_hollow"], (project.id, seq))


def _hollow(connection: apsw.Connection, project: Project, bodies: Bodies, seq: Seq) -> None:
    result: Any = connection.execute(SQL["select_stored"], (seq, project.id)).fetchall()
    found = Found(*result[0])
    item = rows.stored(found, project, bodies)
    search.delete(connection, project.id, seq, said(bodies.new(seq), item.answer))
    connection.execute(SQL["change_metadata"], (seq, item.row.metadata.decode()))
    left = husk(item, bodies.follows(seq, found.body, found.basis))
    bodies.hollow(seq, found.basis, found.body, left)
    bodies.recent.forget(seq)
