"""The Store Protocol on SQLite.

Reads by primary key and the write batches run on the event loop, where they take microseconds;
lists run on the reader pool.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import apsw
import msgspec

from chatkeep.core import ids, postings
from chatkeep.core.ids import Name, Seq
from chatkeep.core.model import (
    Facts,
    Key,
    KeyId,
    Page,
    Project,
    ProjectId,
    Query,
    Row,
    Scope,
    Stored,
    Usage,
)
from chatkeep.core.ports import Claim, ClaimState
from chatkeep.core.usage import Account, StatsQuery, Summed, Sums, of_row
from chatkeep.store import sql
from chatkeep.store.sqlite import claims, facets, kinds, usage
from chatkeep.store.sqlite.failures import mapped
from chatkeep.store.sqlite.reader import ReaderPool
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
    ) -> None:
        self._writer = Writer(writing)
        self._reading = reading
        self._readers = ReaderPool(readers)
        self._lock = lock

    async def high_water(self) -> Seq | None:
        return await self._readers.run(_high_water)

    async def insert(
        self, project: Project, row: Row, body: bytes, claim: Claim | None = None
    ) -> None:
        await self._writer.submit(lambda connection: _insert(connection, project, row, body, claim))

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
        self, project: Project, id: str, created_unix: int, row: Row, body: bytes
    ) -> Row | None:
        return await self._writer.submit(
            lambda connection: _insert_foreign(connection, project, id, created_unix, row, body)
        )

    async def get(self, project: Project, name: Name) -> Stored | None:
        found = self._one("select_stored", (name.seq, project.id))
        return None if found is None else _if_named(_stored(found), name)

    async def alias(self, project: Project, id: str) -> Name | None:
        found = self._one("select_alias", (project.id, id))
        return None if found is None else Name(Seq(found[0]), found[1])

    async def change_metadata(
        self, project: Project, name: Name, change: Callable[[bytes], bytes]
    ) -> Stored | None:
        return await self._writer.submit(
            lambda connection: _change_metadata(connection, project, name, change)
        )

    async def delete(self, project: Project, name: Name) -> bool:
        return await self._writer.submit(lambda connection: _delete(connection, project, name))

    async def page(self, project: Project, query: Query) -> Page:
        return await self._readers.run(lambda connection: _page(connection, project, query))

    async def look(self, project: Project, query: Query, read: Callable[[Iterable[Facts]], T]) -> T:
        def looked(connection: apsw.Connection) -> T:
            found = places(connection, SQL, project, query)
            return read(facets.facts(connection, project, query, found))

        return await self._readers.run(looked)

    async def add_usage(self, sums: Sequence[tuple[Account, Sums]]) -> None:
        await self._writer.submit(lambda connection: usage.add(connection, sums))

    async def usage(self, project: Project, query: StatsQuery, limit: int) -> list[Summed]:
        return await self._readers.run(
            lambda connection: usage.summed(connection, project, query, limit)
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
        """A row by its key, read to the end so that no snapshot stays open."""
        try:
            found = self._reading.execute(SQL[statement], bindings).fetchall()
        except apsw.Error as error:
            raise mapped(error) from error
        return found[0] if found else None


def _insert(
    connection: apsw.Connection,
    project: Project,
    row: Row,
    body: bytes,
    claim: Claim | None = None,
) -> None:
    tokens = row.usage
    connection.execute(
        SQL["insert_completion"],
        (
            row.seq,
            project.id,
            row.tag,
            row.request_id,
            row.model,
            row.status,
            row.finish_reason,
            tokens.prompt_tokens,
            tokens.completion_tokens,
            tokens.total_tokens,
            row.duration_ms,
            row.first_token_ms,
            row.upstream,
            row.key,
            row.preview,
            row.metadata.decode(),
            row.alias,
            tokens.cached_tokens,
            tokens.reasoning_tokens,
            row.cost_micro,
        ),
    )
    connection.execute(SQL["insert_body"], (row.seq, body))
    kinds.add(connection, project, row)
    usage.add(connection, [of_row(project.id, row)])
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
    body: bytes,
) -> Row | None:
    known: Any = connection.execute(SQL["select_alias"], (project.id, id)).fetchall()
    if known and _select(connection, project, Name(*known[0])) is not None:
        return None
    own = ids.decode(id)
    if own is not None:
        taken = connection.execute(SQL["seq_taken"], (own.seq,)).fetchall()
        if taken == [(project.id, own.tag)]:
            return None
        if not taken:
            placed = msgspec.structs.replace(row, seq=own.seq, tag=own.tag, alias=None)
            if known:
                connection.execute(SQL["upsert_alias"], (project.id, id, own.seq, own.tag))
            _insert(connection, project, placed, body)
            return placed
    seq = ids.next_import(created_unix, lambda low, high: _highest(connection, low, high))
    placed = msgspec.structs.replace(row, seq=seq, alias=id)
    connection.execute(SQL["upsert_alias"], (project.id, id, seq, placed.tag))
    _insert(connection, project, placed, body)
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


def _select(connection: apsw.Connection, project: Project, name: Name) -> Stored | None:
    found = connection.execute(SQL["select_stored"], (name.seq, project.id)).fetchall()
    return _if_named(_stored(found[0]), name) if found else None


def _change_metadata(
    connection: apsw.Connection, project: Project, name: Name, change: Callable[[bytes], bytes]
) -> Stored | None:
    found = _select(connection, project, name)
    if found is None:
        return None
    old = found.row
    new = msgspec.structs.replace(old, metadata=change(old.metadata))
    connection.execute(SQL["update_metadata"], (old.seq, new.metadata.decode()))
    before = postings.of_metadata(project.secret, _METADATA.decode(old.metadata))
    after = postings.of_metadata(project.secret, _METADATA.decode(new.metadata))
    for kid in before - after:
        connection.execute(SQL["delete_posting"], (project.id, kid, old.seq))
    for kid in after - before:
        connection.execute(SQL["insert_posting"], (project.id, kid, old.seq))
    return Stored(new, found.body)


def _delete(connection: apsw.Connection, project: Project, name: Name) -> bool:
    found = _select(connection, project, name)
    if found is None:
        return False
    seq = found.row.seq
    for kid in postings.of_row(project.secret, found.row):
        connection.execute(SQL["delete_posting"], (project.id, kid, seq))
    connection.execute(SQL["delete_body"], (seq,))
    connection.execute(SQL["delete_completion"], (seq,))
    connection.execute(SQL["mark_deleted"], (ids.node_of(seq), seq))
    return True


def _page(connection: apsw.Connection, project: Project, query: Query) -> Page:
    items: list[Stored] = []
    if query.limit == 0:
        return Page(items, has_more=False)
    for seq in places(connection, SQL, project, query):
        for found in connection.execute(SQL["select_stored"], (seq, project.id)):
            item = _stored(found)
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


def _if_named(item: Stored, name: Name) -> Stored | None:
    return item if secrets.compare_digest(item.row.tag, name.tag) else None


def _stored(found: tuple[Any, ...]) -> Stored:
    return Stored(
        Row(
            seq=found[0],
            tag=found[1],
            request_id=found[2],
            model=found[3],
            status=found[4],
            finish_reason=found[5],
            usage=Usage(found[6], found[7], found[8], found[17], found[18]),
            duration_ms=found[9],
            first_token_ms=found[10],
            upstream=found[11],
            key=found[12],
            preview=found[13],
            metadata=found[14].encode(),
            alias=found[15],
            cost_micro=found[19],
        ),
        found[16],
    )


def _project(found: tuple[Any, ...]) -> Project:
    return Project(ProjectId(found[0]), found[1], found[2], bool(found[3]))


def _key(found: tuple[Any, ...]) -> Key:
    scopes: frozenset[Scope] = frozenset(filter(None, found[2].split(",")))
    return Key(KeyId(found[0]), _project(found[5:]), found[1], scopes, found[3], found[4])
