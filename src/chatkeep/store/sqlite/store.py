"""The Store Protocol on SQLite.

Reads by primary key and the write batches run on the event loop, where they take microseconds;
lists run on the reader pool.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import apsw
import msgspec

from chatkeep.core import ids, postings
from chatkeep.core.ids import Name, Seq
from chatkeep.core.model import (
    Conversation,
    Facts,
    Key,
    KeyId,
    Order,
    Page,
    Project,
    ProjectId,
    Query,
    Row,
    Scope,
    Stored,
)
from chatkeep.core.packed import Codec
from chatkeep.core.ports import Claim, ClaimState, HeadPlace
from chatkeep.core.record import Record, Request
from chatkeep.core.said import said
from chatkeep.core.usage import Account, StatsQuery, Summed, Sums, of_row
from chatkeep.store import sql
from chatkeep.store.sqlite import accounts, claims, facets, kinds, pruning, rows, search, usage
from chatkeep.store.sqlite.bodies import Bodies, Texts
from chatkeep.store.sqlite.conversation import conversation
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
            lambda connection: _insert(connection, project, row, record, texts, claim), row.seq
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
        return self._look(lambda connection: _get(connection, project, name, self._texts))

    async def request(self, project: Project, name: Name) -> Request | None:
        return await self._readers.run(
            lambda connection: _request(connection, project, name, self._texts)
        )

    async def conversation(
        self, project: Project, name: Name, after: Seq | None, order: Order, limit: int
    ) -> Conversation | None:
        def read(connection: apsw.Connection) -> Conversation | None:
            if _find(connection, project, name) is None:
                return None
            bodies = Bodies(connection, project, self._texts)
            return conversation(connection, project, bodies, name.seq, after, order, limit)

        return await self._readers.run(read)

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
        def delete(connection: apsw.Connection) -> bool:
            self._writer.erased()
            return _delete(connection, project, name, self._texts)

        return await self._writer.submit(delete)

    async def prune_heads(
        self, project: Project, below: Seq, behind: HeadPlace
    ) -> HeadPlace | None:
        return await self._writer.submit(
            lambda connection: pruning.prune(connection, project.id, below, behind)
        )

    async def page(self, project: Project, query: Query) -> Page:
        return await self._readers.run(
            lambda connection: _page(connection, project, query, self._texts)
        )

    async def look(self, project: Project, query: Query, read: Callable[[Iterable[Facts]], T]) -> T:
        def looked(connection: apsw.Connection) -> T:
            found = places(connection, SQL, project, query)
            return read(facets.facts(connection, project, query, found, self._texts))

        return await self._readers.run(looked)

    async def add_usage(self, sums: Sequence[tuple[Account, Sums]]) -> None:
        await self._writer.submit(lambda connection: usage.add(connection, sums))

    async def usage(self, project: Project, query: StatsQuery, limit: int) -> list[Summed]:
        return await self._readers.run(
            lambda connection: usage.summed(connection, project, query, limit)
        )

    async def project(self, name: str) -> Project | None:
        return self._look(lambda connection: accounts.project(connection, name))

    async def projects(self) -> list[Project]:
        return await self._readers.run(accounts.projects)

    async def add_project(
        self, name: str, now_unix: int, change: Callable[[Project], Project]
    ) -> Project | None:
        return await self._writer.submit(
            lambda connection: accounts.add_project(connection, name, now_unix, change)
        )

    async def change_project(
        self, project: ProjectId, change: Callable[[Project], Project]
    ) -> Project | None:
        return await self._writer.submit(
            lambda connection: accounts.change_project(connection, project, change)
        )

    async def key(self, digest: bytes) -> Key | None:
        return self._look(lambda connection: accounts.key(connection, digest))

    async def key_of(self, id: KeyId, project: ProjectId | None = None) -> Key | None:
        return self._look(lambda connection: accounts.key_of(connection, id, project))

    async def keys(self) -> list[Key]:
        return await self._readers.run(accounts.keys)

    async def add_key(
        self,
        project: str,
        digest: bytes,
        hint: str,
        scopes: frozenset[Scope],
        now_unix: int,
        *,
        name: str = "",
        expires_unix: int | None = None,
    ) -> Key:
        return await self._writer.submit(
            lambda connection: accounts.add_key(
                connection, project, digest, hint, scopes, now_unix, name, expires_unix
            )
        )

    async def change_key(self, key: KeyId, change: Callable[[Key], Key]) -> Key | None:
        return await self._writer.submit(
            lambda connection: accounts.change_key(connection, key, change)
        )

    async def revoke_key(self, key: KeyId, now_unix: int) -> bool:
        return await self._writer.submit(
            lambda connection: accounts.revoke_key(connection, key, now_unix)
        )

    async def note_used(self, used: Mapping[KeyId, int]) -> None:
        await self._writer.submit(lambda connection: accounts.note_used(connection, used))

    async def keys_version(self) -> int:
        return self._look(accounts.keys_version)

    async def aclose(self) -> None:
        self._readers.close()
        with contextlib.suppress(apsw.Error):
            self._reading.close()
        await self._writer.aclose()
        if self._lock is not None:
            os.close(self._lock)

    def _one(self, statement: str, bindings: tuple[Any, ...]) -> tuple[Any, ...] | None:
        found = self._look(
            lambda connection: connection.execute(SQL[statement], bindings).fetchall()
        )
        return found[0] if found else None

    def _look(self, read: Callable[[apsw.Connection], T]) -> T:
        """What is found by its key, on the event loop; read to the end: no snapshot stays open."""
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
    added = Bodies(connection, project, texts).add(row.seq, record, row.metadata)
    if kinds.add(connection, project, row):
        connection.execute(SQL["insert_words"], rows.words(row))
    bindings = rows.bindings(project, row, added.basis, added.body)
    connection.execute(SQL["insert_completion"], bindings)
    usage.add(connection, [of_row(project.id, row)])
    kids = postings.of_row(project.secret, row)
    connection.executemany(SQL["insert_posting"], [(project.id, kid, row.seq) for kid in kids])
    if project.full_text:
        search.insert(connection, project.id, row.seq, said(added.new, record.answer))
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
        taken = connection.execute(SQL["seq_taken"], (own.seq,)).fetchall()
        if not taken and ids.is_near(own.seq, created_unix):
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
    item = rows.stored(found, project, bodies)
    row = item.row
    for kid in postings.of_row(project.secret, row):
        connection.execute(SQL["delete_posting"], (project.id, kid, row.seq))
    search.delete(connection, project.id, row.seq, said(bodies.new(row.seq), item.answer))
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
    for seq in places(connection, SQL, project, query):
        for found in connection.execute(SQL["select_stored"], (seq, project.id)):
            item = rows.stored(Found(*found), project, bodies)
            if postings.matches(query, item.row):
                if len(items) == query.limit:
                    return Page(items, has_more=True)
                items.append(item)
    return Page(items, has_more=False)
