"""Expires bodies: they are kept no longer; their rows stay."""

from itertools import islice
from typing import Any

import apsw

from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import Seq
from chatkeep.core.ports.records import Expired
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.encoding import rows
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.encoding.expired import expired_body
from chatkeep.store.encoding.graph import Kept
from chatkeep.store.encoding.recent import Found
from chatkeep.store.index.text import searchable_texts
from chatkeep.store.sqlite import search
from chatkeep.store.sqlite.batch import Batch
from chatkeep.store.sqlite.bodies import Bodies
from chatkeep.store.sqlite.postings import of_forms

SQL = sql.blocks("chatkeep.store.sqlite", "expiry.sql") | sql.blocks(
    "chatkeep.store.sqlite", "queries.sql"
)
_LOOKED_AT = 256  # completions at the most, for one that has its body


def expire(batch: Batch, project: Project, below: Seq, context: RecordContext) -> Expired:
    """Expires the oldest body there is below a seq."""
    batch.postings.write()  # by which completions of the same batch are found, too
    connection = batch.connection
    bodies = Bodies(connection, project, context)
    known: Any = connection.execute(SQL["expired_below"], (project.id,)).fetchall()
    low = known[0][0]
    every = of_forms(connection, project.id, None, low, below - 1, "asc")
    looked_at = [Seq(seq) for seq in islice(every, _LOOKED_AT)]
    for seq in looked_at:
        connection.execute(SQL["note_expired"], (project.id, seq + 1))
        if _has_body(connection, bodies, seq):
            batch.search.catch_up_with(seq, context)
            _expire(connection, project, bodies, seq)
            return Expired(1, more=True)
    return Expired(0, more=len(looked_at) == _LOOKED_AT)


def note_body(connection: apsw.Connection, project: Project, seq: Seq) -> None:
    """Says of a completion that has come late that it has a body."""
    connection.execute(SQL["note_not_expired"], (project.id, seq))


def _has_body(connection: apsw.Connection, bodies: Bodies, seq: Seq) -> bool:
    """What is damaged counts as one."""
    found: Any = connection.execute(SQL["select_body_of"], (seq,)).fetchall()
    try:
        return not bodies.is_expired(seq, found[0][0])
    except RecordCorrupt:
        return True


def _expire(connection: apsw.Connection, project: Project, bodies: Bodies, seq: Seq) -> None:
    result: Any = connection.execute(SQL["select_stored"], (seq, project.id)).fetchall()
    found = Found._make(result[0])
    damaged = False
    try:
        item = rows.stored(found, bodies)
        left = expired_body(item)
        texts = searchable_texts(bodies.new(seq), item.answer)
        search.delete(connection, seq, search.document(project.id, texts))
    except RecordCorrupt:
        damaged = True
        item = rows.stored_or_damaged(found, bodies)
        left = expired_body(item)
        search.lose(connection, seq)
    connection.execute(SQL["change_metadata"], (seq, item.row.metadata.decode()))
    kept = Kept(found.base, found.parent, found.body)
    bodies.expire(seq, kept, left, damaged=damaged)
    bodies.context.recent.forget(seq)
