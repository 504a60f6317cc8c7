"""The completions of one conversation: all that goes on from its first, in every branch."""

from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from chatkeep.core.model.completion import Conversation, Order, Project, Turn
from chatkeep.core.model.ids import MAX_SEQ, CompletionId, Seq
from chatkeep.store import sql
from chatkeep.store.encoding import rows
from chatkeep.store.encoding.graph import Kept, parent_of
from chatkeep.store.encoding.identity import id_of, of_found
from chatkeep.store.encoding.recent import Found
from chatkeep.store.sqlite.bodies import Bodies

SQL = sql.blocks("chatkeep.store.sqlite", "conversation.sql") | sql.blocks(
    "chatkeep.store.sqlite", "queries.sql"
)


def conversation(
    connection: apsw.Connection,
    project: Project,
    bodies: Bodies,
    seq: Seq,
    after: Seq | None,
    order: Order,
    limit: int,
) -> Conversation:
    """A page of the conversation that the completion at `seq` is part of."""
    if limit == 0:
        return Conversation([], has_more=False)
    begin = (-1 if order == "asc" else MAX_SEQ) if after is None else after
    bindings = (bodies.first(seq), project.id, begin, limit + 1)
    found: Any = connection.execute(SQL[f"conversation_{order}"], bindings).fetchall()
    seqs = [Seq(seq) for (seq,) in found]
    turns = list(_turns(connection, project, bodies, seqs[:limit]))
    return Conversation(turns, has_more=len(seqs) > limit)


def _turns(
    connection: apsw.Connection, project: Project, bodies: Bodies, seqs: Sequence[Seq]
) -> Iterator[Turn]:
    for seq in seqs:
        for result in connection.execute(SQL["select_stored"], (seq, project.id)):
            found = Found._make(result)
            item = rows.stored(found, bodies)
            kept = Kept(found.base, found.parent, found.body)
            yield Turn(item, _id(connection, project, parent_of(kept)))


def _id(connection: apsw.Connection, project: Project, seq: Seq) -> CompletionId | None:
    """What the completion at a seq is known by; None when there is none any more."""
    here: Any = connection.execute(SQL["select_stored"], (seq, project.id)).fetchall()
    if not here:
        return None
    found = Found._make(here[0])
    return id_of(found, of_found(found, project))
