"""The store in a SQLite file.

Reads by primary key and the write batches run on the event loop, where they take microseconds;
lists run on the reader pool.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import islice
from typing import ParamSpec, TypeVar

import apsw

from chatkeep.core.model.completion import (
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
from chatkeep.core.model.ids import Name, Seq, first_of
from chatkeep.core.model.record import Record, Request
from chatkeep.core.model.usage import Account, StatsQuery, Summed, Sums, count
from chatkeep.core.ports.claims import Claim, ClaimState
from chatkeep.core.ports.records import Counted, Expired, Failure, Import
from chatkeep.store import sql
from chatkeep.store.encoding.body import Codec
from chatkeep.store.encoding.chain import MAX_AGE_S
from chatkeep.store.encoding.cipher import Cipher
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.sqlite import (
    accounts,
    claims,
    expiry,
    facets,
    indexing,
    pruning,
    records,
    usage,
)
from chatkeep.store.sqlite.batch import Batch
from chatkeep.store.sqlite.bodies import Bodies
from chatkeep.store.sqlite.conversation import conversation
from chatkeep.store.sqlite.failures import mapped
from chatkeep.store.sqlite.pruning import PrefixHashPosition
from chatkeep.store.sqlite.reader import ReaderPool, snapshot
from chatkeep.store.sqlite.scan import is_simple, seqs
from chatkeep.store.sqlite.writer import Writer

T = TypeVar("T")
P = ParamSpec("P")

SQL = sql.blocks("chatkeep.store.sqlite", "queries.sql")
AGED_EVERY_S = 30.0


class SqliteStore:
    node = records.NODE
    changes_every_s = 0.5  # how often it looks for what other processes changed

    def __init__(
        self,
        writing: apsw.Connection,
        reading: apsw.Connection,
        readers: Sequence[apsw.Connection],
        lock: int | None,
        codec: Codec,
        cipher: Cipher,
    ) -> None:
        self.encrypted = cipher.seals
        self._writer = Writer(writing)
        self._cipher = cipher
        self._context = RecordContext(codec, cipher)
        self._reading = reading
        self._cursor = reading.cursor()  # a connection makes one for each statement
        self._readers = ReaderPool(readers)
        self._lock = lock
        self._aging = asyncio.get_running_loop().call_later(AGED_EVERY_S, self._age)

    async def high_water(self) -> Seq | None:
        return await self._readers.run(records.high_water)

    async def insert(
        self, project: Project, row: Row, record: Record, claim: Claim | None = None
    ) -> None:
        context = self._context
        await self._writer.submit(
            lambda batch: records.insert(batch, project, row, record, context, claim),
            row.seq,
        )

    async def claim(self, project: Project, claim: Claim, now_unix: int) -> ClaimState:
        return await self._writer.submit(
            lambda batch: claims.take(batch.connection, SQL, project, claim, now_unix)
        )

    async def renew(self, project: Project, claim: Claim, now_unix: int) -> None:
        await self._writer.submit(
            lambda batch: claims.renew(batch.connection, SQL, project, claim, now_unix)
        )

    async def release(self, project: Project, claim: Claim) -> None:
        await self._writer.submit(
            lambda batch: claims.release(batch.connection, SQL, project, claim)
        )

    async def import_many(
        self, project: Project, imports: Sequence[Import]
    ) -> list[Row | Failure | None]:
        return await _each(self._import(project, one) for one in imports)

    async def get(self, project: Project, name: Name) -> Stored | None:
        return self._look(records.get, self._cursor, project, name, self._context)

    async def request(self, project: Project, name: Name) -> Request | None:
        found = self._look(records.find, self._cursor, project, name)
        if found is None:
            return None
        if records.is_short(found):
            return self._look(records.request_of, self._cursor, project, found, self._context)
        return await self._readers.run(
            lambda connection: records.request(connection, project, name, self._context)
        )

    async def conversation(
        self, project: Project, name: Name, after: Seq | None, order: Order, limit: int
    ) -> Conversation | None:
        def read(connection: apsw.Connection) -> Conversation | None:
            if records.find(connection, project, name) is None:
                return None
            bodies = Bodies(connection, project, self._context)
            return conversation(connection, project, bodies, name.seq, after, order, limit)

        return await self._readers.run(read)

    async def alias(self, project: Project, id: str) -> Name | None:
        return self._look(records.alias, self._reading, project, id)

    async def change_metadata(
        self, project: Project, name: Name, change: Callable[[bytes], bytes]
    ) -> Stored | None:
        return await self._writer.submit(
            lambda batch: records.change_metadata(batch, project, name, change, self._context)
        )

    async def change_metadata_many(
        self, project: Project, names: Sequence[Name], change: Callable[[bytes], bytes]
    ) -> list[Stored | Failure | None]:
        return await _each(self.change_metadata(project, name, change) for name in names)

    async def delete(self, project: Project, name: Name) -> bool:
        def delete(batch: Batch) -> bool:
            self._writer.erased()
            return records.delete(batch, project, name, self._context)

        deleted = await self._writer.submit(delete)
        self._context.recent.forget(name.seq)
        return deleted

    async def delete_many(self, project: Project, names: Sequence[Name]) -> list[bool | Failure]:
        return await _each(self.delete(project, name) for name in names)

    async def expire_bodies(self, project: Project, before: Seq, limit: int) -> Expired:
        each = await _each(self._expire(project, before) for _ in range(limit))
        expired = [one for one in each if isinstance(one, Expired)]
        done = sum(one.done for one in expired)
        for failure in (one for one in each if isinstance(one, Failure)):
            if not done:
                raise failure
        return Expired(done, more=len(expired) < limit or all(one.more for one in expired))

    async def upkeep(self, now_unix: int) -> None:
        below = first_of(now_unix - MAX_AGE_S)
        for project in await self.projects():
            await self._prune_prefix_hashes(project.id, below)

    async def page(self, project: Project, query: Query, *, damaged: bool = False) -> Page:
        at_once = is_simple(query) and not damaged
        found = self._page_at_once(project, query) if at_once else None
        if found is not None:
            return found
        await self._catch_up(query)
        return await self._readers.run(
            lambda connection: records.page(
                connection, project, query, self._context, damaged=damaged
            )
        )

    async def facts(self, project: Project, query: Query, limit: int) -> list[Facts]:
        await self._catch_up(query)
        return await self._readers.run(
            lambda connection: list(islice(self._facts(connection, project, query), limit))
        )

    async def count(self, project: Project, query: Query, within_s: float) -> Counted:
        def count(connection: apsw.Connection) -> Counted:
            matched, end = 0, time.monotonic() + within_s
            for _ in self._facts(connection, project, query):
                matched += 1
                if time.monotonic() >= end:
                    return Counted(matched, complete=False)
            return Counted(matched, complete=True)

        await self._catch_up(query)
        return await self._readers.run(count)

    async def add_usage(self, sums: Sequence[tuple[Account, Sums]]) -> None:
        def add(batch: Batch) -> None:
            for account, figures in sums:
                count(batch.totals, account, figures)

        await self._writer.submit(add)

    async def usage(self, project: Project, query: StatsQuery, limit: int) -> list[Summed]:
        return await self._readers.run(
            lambda connection: usage.summed(connection, project, query, limit)
        )

    async def project(self, name: str) -> Project | None:
        return self._look(accounts.project, self._reading, self._cipher, name)

    async def projects(self) -> list[Project]:
        return await self._readers.run(
            lambda connection: accounts.projects(connection, self._cipher)
        )

    async def add_project(
        self, name: str, now_unix: int, change: Callable[[Project], Project]
    ) -> Project | None:
        return await self._writer.submit(
            lambda batch: accounts.add_project(
                batch.connection, self._cipher, name, now_unix, change
            )
        )

    async def change_project(
        self, project: ProjectId, change: Callable[[Project], Project]
    ) -> Project | None:
        def write(batch: Batch) -> Project | None:
            batch.search.catch_up(self._context)  # by what has been searched so far
            return accounts.change_project(batch.connection, self._cipher, project, change)

        return await self._writer.submit(write)

    async def key(self, digest: bytes) -> Key | None:
        return self._look(accounts.key, self._reading, self._cipher, digest)

    async def key_of(self, id: KeyId, project: ProjectId | None = None) -> Key | None:
        return self._look(accounts.key_of, self._reading, self._cipher, id, project)

    async def keys(self) -> list[Key]:
        return await self._readers.run(lambda connection: accounts.keys(connection, self._cipher))

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
            lambda batch: accounts.add_key(
                batch.connection,
                self._cipher,
                project,
                digest,
                hint,
                scopes,
                now_unix,
                name,
                expires_unix,
            )
        )

    async def change_key(self, key: KeyId, change: Callable[[Key], Key]) -> Key | None:
        return await self._writer.submit(
            lambda batch: accounts.change_key(batch.connection, self._cipher, key, change)
        )

    async def revoke_key(self, key: KeyId, now_unix: int) -> bool:
        return await self._writer.submit(
            lambda batch: accounts.revoke_key(batch.connection, key, now_unix)
        )

    async def note_used(self, used: Mapping[KeyId, int]) -> None:
        await self._writer.submit(lambda batch: accounts.note_used(batch.connection, used))

    async def changes(self) -> AsyncIterator[None]:
        seen: int | None = None
        while True:
            version = self._look(accounts.keys_version, self._reading)
            if version != seen:
                seen = version
                yield
            await asyncio.sleep(self.changes_every_s)

    async def check(self) -> None:
        self._look(accounts.keys_version, self._reading)

    def age(self) -> None:
        """Drops what is remembered of completions that were not read since the last time.

        Another process may have deleted them. What is deleted here is dropped with that.
        """
        self._context.recent.age()

    async def aclose(self) -> None:
        self._aging.cancel()
        self._readers.close()
        with contextlib.suppress(apsw.Error):
            self._reading.close()
        await self._writer.aclose()
        if self._lock is not None:
            os.close(self._lock)

    def _age(self) -> None:
        self.age()
        self._aging = asyncio.get_running_loop().call_later(AGED_EVERY_S, self._age)

    async def _import(self, project: Project, one: Import) -> Row | None:
        return await self._writer.submit(
            lambda batch: records.insert_foreign(batch, project, one, self._context)
        )

    async def _expire(self, project: Project, before: Seq) -> Expired:
        def expire(batch: Batch) -> Expired:
            self._writer.erased()
            return expiry.expire(batch, project, before, self._context)

        return await self._writer.submit(expire)

    def _facts(
        self, connection: apsw.Connection, project: Project, query: Query
    ) -> Iterator[Facts]:
        found = seqs(connection, project, query)
        return facets.facts(connection, project, query, found, self._context)

    async def _prune_prefix_hashes(self, project: ProjectId, below: Seq) -> None:
        """Some in a transaction, so that others come in between."""

        def prune(batch: Batch) -> PrefixHashPosition | None:
            return pruning.prune(batch.connection, project, below, behind)

        last: PrefixHashPosition | None = PrefixHashPosition()
        while last is not None:
            behind = last
            last = await self._writer.submit(prune)

    async def _catch_up(self, query: Query) -> None:
        """Before words are asked for: all completions that were answered are to be searched."""
        if query.q is not None and self._look(indexing.some_wait, self._reading):
            await self._writer.submit(lambda batch: batch.search.is_due(self._context))

    def _page_at_once(self, project: Project, query: Query) -> Page | None:
        def read(connection: apsw.Connection) -> Page | None:
            return records.page_at_once(connection, project, query, self._context)

        return self._look(snapshot, self._reading, read)

    def _look(self, read: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What is found by its key, on the event loop; read to the end: no snapshot stays open."""
        try:
            return read(*arguments, **named)
        except apsw.Error as error:
            raise mapped(error) from error


async def _each(changes: Iterable[Awaitable[T]]) -> list[T | Failure]:
    """What each came to: asked for at once, they share commits."""
    outcomes: list[T | Failure] = []
    for one in await asyncio.gather(*changes, return_exceptions=True):
        if isinstance(one, BaseException) and not isinstance(one, Failure):
            raise one
        outcomes.append(one)
    return outcomes
