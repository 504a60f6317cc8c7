"""What facets need of the completions a query wants, the newest first."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import apsw
import msgspec

from chatkeep.core.model.completion import Facts, Project, Query
from chatkeep.core.model.ids import Seq
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.index import postings
from chatkeep.store.sqlite.bodies import Bodies

SQL = sql.blocks("chatkeep.store.sqlite", "facets.sql")
_BATCH = 64  # completions that are looked up at once


def facts(
    connection: apsw.Connection,
    project: Project,
    query: Query,
    seqs: Iterable[int],
    context: RecordContext,
) -> Iterator[Facts]:
    """Of the seqs that have what the query wants."""
    bodies = Bodies(connection, project, context)
    matches = postings.matching(query)
    left = iter(seqs)
    while batch := list(islice(left, _BATCH)):
        bindings = (msgspec.json.encode(batch).decode(), project.id)
        rows: Any = connection.execute(SQL["facts_at"], bindings)
        for seq, model, status, finish_reason, upstream, key, changed, body in rows:
            metadata = _created_with(bodies, seq, body) if changed is None else changed.encode()
            found = Facts(model, status, finish_reason, upstream, key, metadata)
            if matches(found):
                yield found


def _created_with(bodies: Bodies, seq: Seq, body: bytes) -> bytes:
    """Nothing where that cannot be read."""
    try:
        return bodies.metadata(seq, body)
    except RecordCorrupt:
        return b"{}"
