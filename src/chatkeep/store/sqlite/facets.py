"""What facets need of the completions a query wants, the newest first."""

from collections.abc import Iterable, Iterator

import apsw

from chatkeep.core import postings
from chatkeep.core.ids import Seq
from chatkeep.core.model import Facts, Project, Query
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.sqlite.bodies import Bodies, Texts

SQL = sql.blocks("chatkeep.store.sqlite", "facets.sql")


def facts(
    connection: apsw.Connection, project: Project, query: Query, places: Iterable[Seq], texts: Texts
) -> Iterator[Facts]:
    """Of the places that have what the query wants."""
    bodies = Bodies(connection, project, texts)
    matches = postings.matching(query)
    for seq in places:
        for row in connection.execute(SQL["select_facts"], (seq, project.id)):
            model, status, finish_reason, upstream, key, changed, body = row
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
