"""Records in SQLite: their rows with all that belongs to them, in one transaction each."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import apsw
import msgspec

from chatkeep.core.model import ids
from chatkeep.core.model.completion import Page, Project, Query, Row, Stored
from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import CompletionId, Name, Seq
from chatkeep.core.model.record import Record, Request
from chatkeep.core.model.usage import count_row
from chatkeep.core.ports.claims import Claim
from chatkeep.core.ports.records import Import
from chatkeep.errors import BodyExpired, RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.encoding import rows
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.encoding.identity import id_of, import_place, of_found
from chatkeep.store.encoding.recent import Columns, Found, Written
from chatkeep.store.index import postings
from chatkeep.store.index.text import searchable_texts
from chatkeep.store.sqlite import claims, expiry, search
from chatkeep.store.sqlite.batch import Batch
from chatkeep.store.sqlite.bodies import Bodies
from chatkeep.store.sqlite.scan import seqs

SQL = sql.blocks("chatkeep.store.sqlite", "queries.sql")
# So many completions of a page may have to be read from bodies of that length, at once: a page of
# 20 and the one that tells whether there are more. It takes some 60 µs each; to hand a page over
# when most of it has been looked at would cost more.
_FEW, _SHORT = 21, 1 << 12
NODE = 0  # one process serves a file, so there is one node

Cursor = apsw.Connection | apsw.Cursor  # a connection makes one for each statement


def insert(
    batch: Batch,
    project: Project,
    row: Row,
    record: Record,
    context: RecordContext,
    claim: Claim | None = None,
) -> None:
    columns = _insert(batch, project, row, record, context)
    if claim is not None:
        claims.answer(batch.connection, SQL, project, claim, row)
    request = record.request.before + record.request.after
    written = Written(row, request, record.answer, record.id, record.upstream_id)
    context.recent.put(columns, written)


def _insert(
    batch: Batch, project: Project, row: Row, record: Record, context: RecordContext
) -> Columns:
    added = Bodies(batch.cursor, project, context).add(row.seq, row.form, record, row.metadata)
    label_set = batch.label_set(project, row)
    bindings = rows.bindings(project, row, label_set, added)
    batch.cursor.execute(SQL["insert_record"], bindings)
    count_row(batch.totals, project.id, row)
    batch.postings.add(
        project.id, postings.of_row(project.secret, row.form, label_set, row.metadata), row.seq
    )
    texts: Sequence[str] = ()
    if project.full_text:
        texts = searchable_texts(added.new, record.answer, record.texts)
    batch.search.add(row.seq, search.document(project.id, texts), context)
    return rows.columns(row, bindings)


def insert_foreign(
    batch: Batch, project: Project, one: Import, context: RecordContext
) -> Row | None:
    connection = batch.connection
    id, created_unix, row, record = one
    known = alias(connection, project, id)
    if known and find(connection, project, known) is not None:
        return None
    own = ids.decode(id)
    if own is not None and find(connection, project, own) is not None:
        return None
    place = import_place(
        project.secret,
        id,
        created_unix,
        is_taken=lambda seq: bool(connection.execute(SQL["seq_taken"], (seq,)).fetchall()),
        highest=lambda low, high: _highest(connection, low, high),
    )
    hash = ids.alias_hash(project.secret, id)
    if place.alias is not None:
        connection.execute(SQL["upsert_alias"], (project.id, hash, place.seq))
    elif known:
        connection.execute(SQL["delete_alias"], (project.id, hash))
    request_id = ids.request_id_of(project.secret, id)
    placed = msgspec.structs.replace(row, request_id=request_id, **place._asdict())
    _insert(batch, project, placed, record, context)
    expiry.note_body(connection, project, place.seq)
    return placed


def alias(connection: apsw.Connection, project: Project, id: str) -> Name | None:
    """Where the completion imported under an id stands or stood."""
    hash = ids.alias_hash(project.secret, id)
    found: Any = connection.execute(SQL["select_alias"], (project.id, hash)).fetchall()
    if not found:
        return None
    request_id = ids.request_id_of(project.secret, id)
    return Name(Seq(found[0][0]), ids.tag_of(project.secret, request_id), CompletionId(id))


def _highest(connection: apsw.Connection, low: Seq, high: Seq) -> Seq | None:
    found: Any = connection.execute(SQL["highest_between"], (low, high)).fetchall()[0][0]
    return None if found is None else Seq(found)


def high_water(connection: apsw.Connection) -> Seq | None:
    deleted: Any = connection.execute(SQL["deleted_high"], (NODE,)).fetchall()
    known = [Seq(seq) for (seq,) in deleted]
    highest = _highest_of_node(connection)
    return max(known if highest is None else [*known, highest], default=None)


def _highest_of_node(connection: apsw.Connection) -> Seq | None:
    """Hops over the seconds whose newest completion was imported."""
    bound = ids.MAX_SEQ
    while True:
        found: Any = connection.execute(SQL["highest_up_to"], (bound,)).fetchall()[0][0]
        if found is None or ids.node_of(Seq(found)) == NODE:
            return None if found is None else Seq(found)
        bound = ids.last_of_node(ids.second_of(Seq(found)), NODE)


def find(cursor: Cursor, project: Project, name: Name) -> Found | None:
    row = _at(cursor, project, name.seq)
    if row is None:
        return None
    found = Found._make(row)
    return found if _is_named(of_found(found, project).tag, found.form, name) else None


def _at(cursor: Cursor, project: Project, seq: Seq) -> Columns | None:
    here: Any = cursor.execute(SQL["select_stored"], (seq, project.id)).fetchall()
    return here[0] if here else None


def get(cursor: Cursor, project: Project, name: Name, context: RecordContext) -> Stored | None:
    row = _at(cursor, project, name.seq)
    if row is None:
        return None
    known = context.recent.get(row)
    if known is not None:
        return known if _is_named(known.row.tag, known.row.form, name) else None
    found = Found._make(row)
    named = of_found(found, project)
    if not _is_named(named.tag, found.form, name):
        return None
    # With its tag the id has been compared, too: it need not be spelled.
    id = name.id if named.alias is None else CompletionId(named.alias)
    return rows.read(found, named, id, Bodies(cursor, project, context))


def _is_named(tag: bytes, form: FormName, name: Name) -> bool:
    return secrets.compare_digest(tag, name.tag) and form == name.form


def is_short(found: Found) -> bool:
    """Whether its request is put together from itself, and in no time."""
    return found.base is None and len(found.body) <= _SHORT


def request(cursor: Cursor, project: Project, name: Name, context: RecordContext) -> Request | None:
    found = find(cursor, project, name)
    return None if found is None else request_of(cursor, project, found, context)


def request_of(cursor: Cursor, project: Project, found: Found, context: RecordContext) -> Request:
    request = Bodies(cursor, project, context).request(found)
    if request is None:
        named = of_found(found, project)
        raise BodyExpired("completion_id", id=id_of(found, named))
    return request


def change_metadata(
    batch: Batch,
    project: Project,
    name: Name,
    change: Callable[[bytes], bytes],
    context: RecordContext,
) -> Stored | None:
    item = get(batch.cursor, project, name, context)
    if item is None:
        return None
    old = item.row
    new = msgspec.structs.replace(old, metadata=change(old.metadata))
    batch.cursor.execute(SQL["change_metadata"], (old.seq, new.metadata.decode()))
    go, come = postings.changed(project.secret, old.metadata, new.metadata)
    batch.postings.remove(project.id, go, old.seq)
    batch.postings.add(project.id, come, old.seq)
    return msgspec.structs.replace(item, row=new)


def delete(batch: Batch, project: Project, name: Name, context: RecordContext) -> bool:
    connection = batch.connection
    found = find(connection, project, name)
    if found is None:
        return False
    bodies = Bodies(connection, project, context)
    seq = found.seq
    try:
        item = rows.stored(found, bodies)
    except RecordCorrupt:
        metadata = (found.metadata or "{}").encode()
        search.lose(connection, seq)
        _delete_row(connection, seq)
        bodies.lose(seq, found.base)
    else:
        metadata = item.row.metadata
        texts = searchable_texts(bodies.new(seq), item.answer)
        search.delete(connection, seq, search.document(project.id, texts))
        _delete_row(connection, seq)
        bodies.remove(seq, found.base, found.body)
    terms = postings.of_row(project.secret, found.form, found.label_set, metadata)
    batch.postings.remove(project.id, terms, seq)
    return True


def _delete_row(connection: apsw.Connection, seq: Seq) -> None:
    connection.execute(SQL["delete_changed_metadata"], (seq,))
    connection.execute(SQL["delete_record"], (seq,))
    if ids.node_of(seq) == ids.IMPORT_NODE:
        connection.execute(SQL["mark_deleted_import"], (seq,))
    else:
        connection.execute(SQL["mark_deleted"], (ids.node_of(seq), seq))


def page(
    connection: apsw.Connection,
    project: Project,
    query: Query,
    context: RecordContext,
    *,
    damaged: bool,
) -> Page:
    bodies = Bodies(connection, project, context)
    stored = rows.stored_or_damaged if damaged else rows.stored
    return _page(connection, project, query, lambda row: stored(Found._make(row), bodies))


def page_at_once(
    connection: apsw.Connection, project: Project, query: Query, context: RecordContext
) -> Page | None:
    """A page of a simple query, when enough of it is remembered or short; else None."""
    bodies = Bodies(connection, project, context)
    unknown = 0

    def item_of(row: Columns) -> Stored:
        nonlocal unknown
        known = context.recent.get(row)
        if known is None:
            found = Found._make(row)
            unknown += 1
            if unknown > _FEW or len(found.body) > _SHORT:
                raise LookupError
            known = rows.stored(found, bodies)
        return known

    try:
        return _page(connection, project, query, item_of)
    except LookupError:
        return None


def _page(
    connection: apsw.Connection,
    project: Project,
    query: Query,
    item_of: Callable[[Columns], Stored],
) -> Page:
    items: list[Stored] = []
    if query.limit == 0:
        return Page(items, has_more=False)
    compares, matches = postings.compares(query), postings.matching(query)
    for row in _rows(connection, project, query):
        full = len(items) == query.limit
        if full and not compares:  # whatever is in it
            return Page(items, has_more=True)
        item = item_of(row)
        if matches(item.row):
            if full:
                return Page(items, has_more=True)
            items.append(item)
    return Page(items, has_more=False)


def _rows(connection: apsw.Connection, project: Project, query: Query) -> Iterator[Columns]:
    """What stands at the seqs of a query, in batches of a page."""
    wanted = seqs(connection, project, query)
    while batch := list(islice(wanted, query.limit + 1)):
        bindings = (msgspec.json.encode(batch).decode(), project.id)
        yield from connection.execute(SQL["stored_at"], bindings)
