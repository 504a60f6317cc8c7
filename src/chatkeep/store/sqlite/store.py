"""The Store Protocol on SQLite.

Reads by primary key and the write batches run on the event loop, where they take microseconds;
lists run on the reader pool.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import apsw
import msgspec

from chatkeep.core import ids, postings
from chatkeep.core.ids import Name, Seq
from chatkeep.core.model import (
    Key,
    KeyId,
    Page,
    Project,
    ProjectId,
    Query,
    Row,
    Scope,
    Stored,
)
from chatkeep.core.packed import Codec
from chatkeep.core.ports import Claim, ClaimState
from chatkeep.core.record import Record, Request
from chatkeep.store import sql
from chatkeep.store.sqlite import claims, rows
from chatkeep.store.sqlite.bodies import Bodies, Texts
from chatkeep.store.sqlite.failures import mapped
from chatkeep.store.sqlite.reader import ReaderPool
from chatkeep.store.sqlite.rows import Found
from chatkeep.store.sqlite.scan import places
from chatkeep.store.sqlite.writer import Writer

T = TypeVar("T")

SQL = sql.blocks("chatkeep.store.sqlite", "queries.sql")
NODE = 0  # one process serves a file, so there is one node
_METADATA = msgspec.json.Decoder(dict[str, str])


class SqliteStore:
    node = NODE

    def __init__(
        self,
        writing: apsw.Connection,
        reading: apsw.Connection,
        readers: Sequence[apsw.Connection],
        lock: int | None,
        codec: Codec,
    ) -> None:
        self._writer = Writer(writing)
        self._texts = Texts(codec)
        self._reading = reading
        self._readers = ReaderPool(readers)
        self._lock = lock

    async def high_water(self) -> Seq | None:
        return await self._readers.run(_high_water)

    async def insert(
        self, project: Project, row: Row, record: Record, claim: Claim | None = None
    ) -> None:
        texts = self._texts
        await self._writer.submit(
            lambda connection: _insert(connection, project, row, record, texts, claim)
        )

    async def claim(self, project: Project, claim: Claim, now_unix: int) -> ClaimState:
        return await self._writer.submit(
            lambda connection: claims.take(connection, SQL, project, claim, now_unix)
        )

    async def renew(self, project: Project, claim: Claim, now_unix: int) -> None:
        await self._writer.submit(
            lambda connection: claims.renew(connection, SQL, project, claim, now_unix)
        )

    async def release(self, project: Project, claim: Claim) -> None:
        await self._writer.submit(
            lambda connection: claims.release(connection, SQL, project, claim)
        )

    async def insert_foreign(
        self, project: Project, id: str, created_unix: int, row: Row, record: Record
    ) -> Row | None:
        texts = self._texts
        return await self._writer.submit(
            lambda connection: _insert_foreign(
                connection, project, id, created_unix, row, record, texts
            )
        )

    async def get(self, project: Project, name: Name) -> Stored | None:
        return self._here(lambda connection: _get(connection, project, name, self._texts))

    async def request(self, project: Project, name: Name) -> Request | None:
        return await self._readers.run(
            lambda connection: _request(connection, project, name, self._texts)
        )

    async def alias(self, project: Project, id: str) -> Name | None:
        found = self._one("select_alias", (project.id, id))
        return None if found is None else Name(Seq(found[0]), found[1])

    async def change_metadata(
        self, project: Project, name: Name, change: Callable[[bytes], bytes]
    ) -> Stored | None:
        return await self._writer.submit(
            lambda connection: _change_metadata(connection, project, name, change, self._texts)
        )

    async def delete(self, project: Project, name: Name) -> bool:
        return await self._writer.submit(
            lambda connection: _delete(connection, project, name, self._texts)
        )

    async def page(self, project: Project, query: Query) -> Page:
        return await self._readers.run(
            lambda connection: _page(connection, project, query, self._texts)
        )

    async def key(self, digest: bytes) -> Key | None:
        found = self._one("select_key", (digest,))
        return None if found is None else _key(found)

    async def keys(self) -> list[Key]:
        return await self._readers.run(
            lambda connection: [_key(found) for found in connection.execute(SQL["select_keys"])]
        )

    async def add_key(
        self, project: str, digest: bytes, hint: str, scopes: frozenset[Scope], now_unix: int
    ) -> Key:
        return await self._writer.submit(
            lambda connection: _add_key(connection, project, digest, hint, scopes, now_unix)
        )

    async def revoke_key(self, key: KeyId, now_unix: int) -> bool:
        return await self._writer.submit(lambda connection: _revoke(connection, key, now_unix))

    async def keys_version(self) -> int:
        found = self._one("keys_version", ())
        return 0 if found is None else int(found[0])

    async def aclose(self) -> None:
        self._readers.close()
        with contextlib.suppress(apsw.Error):
            self._reading.close()
        await self._writer.aclose()
        if self._lock is not None:
            os.close(self._lock)

    def _one(self, statement: str, bindings: tuple[Any, ...]) -> tuple[Any, ...] | None:
        found = self._here(
            lambda connection: connection.execute(SQL[statement], bindings).fetchall()
        )
        return found[0] if found else None

    def _here(self, read: Callable[[apsw.Connection], T]) -> T:
        """Reads by keys, to the end so that no snapshot stays open."""
        try:
            return read(self._reading)
        except apsw.Error as error:
            raise mapped(error) from error


def _insert(
    connection: apsw.Connection,
    project: Project,
    row: Row,
    record: Record,
    texts: Texts,
    claim: Claim | None = None,
) -> None:
    bodies = Bodies(connection, project, texts)
    basis, body = bodies.add(row.seq, record, row.metadata)
    connection.execute(SQL["insert_words"], rows.words(row))
    connection.execute(SQL["insert_completion"], rows.bindings(project, row, basis, body))
    for kid in postings.of_row(project.secret, row):
        connection.execute(SQL["insert_posting"], (project.id, kid, row.seq))
    if claim is not None:
        claims.answer(connection, SQL, project, claim, Name(row.seq, row.tag))


def _insert_foreign(
    connection: apsw.Connection,
    project: Project,
    id: str,
    created_unix: int,
    row: Row,
    record: Record,
    texts: Texts,
) -> Row | None:
    known: Any = connection.execute(SQL["select_alias"], (project.id, id)).fetchall()
    if known and _find(connection, project, Name(*known[0])) is not None:
        return None
    own = ids.decode(id)
    if own is not None:
        if _find(connection, project, own) is not None:
            return None
        if not connection.execute(SQL["seq_taken"], (own.seq,)).fetchall():
            placed = msgspec.structs.replace(row, seq=own.seq, tag=own.tag, alias=None)
            if known:
                connection.execute(SQL["upsert_alias"], (project.id, id, own.seq, own.tag))
            _insert(connection, project, placed, record, texts)
            return placed
    seq = ids.next_import(created_unix, lambda low, high: _highest(connection, low, high))
    placed = msgspec.structs.replace(row, seq=seq, alias=id)
    connection.execute(SQL["upsert_alias"], (project.id, id, seq, placed.tag))
    _insert(connection, project, placed, record, texts)
    return placed


def _highest(connection: apsw.Connection, low: Seq, high: Seq) -> Seq | None:
    found: Any = connection.execute(SQL["highest_between"], (low, high)).fetchall()[0][0]
    return None if found is None else Seq(found)


def _high_water(connection: apsw.Connection) -> Seq | None:
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


def _find(connection: apsw.Connection, project: Project, name: Name) -> Found | None:
    here: Any = connection.execute(SQL["select_stored"], (name.seq, project.id)).fetchall()
    if not here:
        return None
    found = Found(*here[0])
    tag = found.tag or ids.tag_of(project.secret, found.request_id)
    return found if secrets.compare_digest(tag, name.tag) else None


def _get(connection: apsw.Connection, project: Project, name: Name, texts: Texts) -> Stored | None:
    found = _find(connection, project, name)
    return (
        None if found is None else rows.stored(found, project, Bodies(connection, project, texts))
    )


def _request(
    connection: apsw.Connection, project: Project, name: Name, texts: Texts
) -> Request | None:
    found = _find(connection, project, name)
    return None if found is None else Bodies(connection, project, texts).request(found.seq)


def _change_metadata(
    connection: apsw.Connection,
    project: Project,
    name: Name,
    change: Callable[[bytes], bytes],
    texts: Texts,
) -> Stored | None:
    item = _get(connection, project, name, texts)
    if item is None:
        return None
    old = item.row
    new = msgspec.structs.replace(old, metadata=change(old.metadata))
    connection.execute(SQL["change_metadata"], (old.seq, new.metadata.decode()))
    before = postings.of_metadata(project.secret, _METADATA.decode(old.metadata))
    after = postings.of_metadata(project.secret, _METADATA.decode(new.metadata))
    for kid in before - after:
        connection.execute(SQL["delete_posting"], (project.id, kid, old.seq))
    for kid in after - before:
        connection.execute(SQL["insert_posting"], (project.id, kid, old.seq))
    return msgspec.structs.replace(item, row=new)


def _delete(connection: apsw.Connection, project: Project, name: Name, texts: Texts) -> bool:
    found = _find(connection, project, name)
    if found is None:
        return False
    bodies = Bodies(connection, project, texts)
    row = rows.stored(found, project, bodies).row
    for kid in postings.of_row(project.secret, row):
        connection.execute(SQL["delete_posting"], (project.id, kid, row.seq))
    connection.execute(SQL["delete_changed_metadata"], (row.seq,))
    connection.execute(SQL["delete_completion"], (row.seq,))
    bodies.remove(row.seq, found.basis, found.body)
    connection.execute(SQL["mark_deleted"], (ids.node_of(row.seq), row.seq))
    return True


def _page(connection: apsw.Connection, project: Project, query: Query, texts: Texts) -> Page:
    items: list[Stored] = []
    if query.limit == 0:
        return Page(items, has_more=False)
    bodies = Bodies(connection, project, texts)
    kids = postings.wanted(project.secret, query)
    for seq in places(connection, SQL, project.id, kids, query):
        for found in connection.execute(SQL["select_stored"], (seq, project.id)):
            item = rows.stored(Found(*found), project, bodies)
            if postings.matches(query, item.row):
                if len(items) == query.limit:
                    return Page(items, has_more=True)
                items.append(item)
    return Page(items, has_more=False)


def _add_key(
    connection: apsw.Connection,
    project: str,
    digest: bytes,
    hint: str,
    scopes: frozenset[Scope],
    now_unix: int,
) -> Key:
    found = connection.execute(SQL["select_project"], (project,)).fetchall()
    if not found:
        secret = secrets.token_bytes(32)
        connection.execute(SQL["insert_project"], (project, secret, now_unix))
        found = connection.execute(SQL["select_project"], (project,)).fetchall()
    owner = _project(found[0])
    bindings = (owner.id, digest, hint, ",".join(sorted(scopes)), now_unix)
    connection.execute(SQL["insert_key"], bindings)
    connection.execute(SQL["bump_keys_version"])
    return _key(connection.execute(SQL["select_key"], (digest,)).fetchall()[0])


def _revoke(connection: apsw.Connection, key: KeyId, now_unix: int) -> bool:
    revoked = connection.execute(SQL["revoke_key"], (key, now_unix)).fetchall()
    connection.execute(SQL["bump_keys_version"])
    return bool(revoked)


def _project(found: tuple[Any, ...]) -> Project:
    return Project(ProjectId(found[0]), found[1], found[2], bool(found[3]))


def _key(found: tuple[Any, ...]) -> Key:
    scopes: frozenset[Scope] = frozenset(filter(None, found[2].split(",")))
    return Key(KeyId(found[0]), _project(found[5:]), found[1], scopes, found[3], found[4])
