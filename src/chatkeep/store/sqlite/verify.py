"""Holds a file against itself: rows, bodies, postings, prefix hashes, shared texts, search."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import Seq
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.encoding.body import Codec
from chatkeep.store.encoding.cipher import PLAIN, Cipher
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.encoding.recent import Found
from chatkeep.store.index.balance import Entry
from chatkeep.store.sqlite import accounts, encryption
from chatkeep.store.sqlite.bodies import Bodies
from chatkeep.store.sqlite.chunks import MOST, Chunk, seqs_in
from chatkeep.store.sqlite.connection import connect, migrate
from chatkeep.store.verify import Differences, Held, Uses, expected

SQL = sql.blocks("chatkeep.store.sqlite", "verify.sql") | sql.blocks(
    "chatkeep.store.sqlite", "queries.sql"
)


@contextmanager
def verifying(path: Path, key: bytes | None = None) -> Iterator["Verifier"]:
    """The file as it is at one moment, also while a server writes to it.

    Raises StoreUnreadable, StoreEncrypted, BadSetting.
    """
    with closing(connect(path)) as connection:
        migrate(connection, path)
        connection.pragma("query_only", 1)
        connection.execute("BEGIN")
        yield Verifier(connection, _cipher(connection, path, key))


def _cipher(connection: apsw.Connection, path: Path, key: bytes | None) -> Cipher:
    try:
        return encryption.unlocked(connection, path, key)
    except apsw.Error:
        return PLAIN  # so that the damage is told of, as far as it can be seen


class Verifier:
    """Reads a whole file over one connection; `checked` counts the records so far."""

    def __init__(self, connection: apsw.Connection, cipher: Cipher) -> None:
        self._connection = connection
        self._context = RecordContext(Codec(), cipher)
        self._uses = Uses()
        self.checked = 0

    def faults(self) -> Iterator[str]:
        """What is wrong, a sentence each; nothing when all is well."""
        try:
            yield from self._damage()
            for project in accounts.projects(self._connection, self._context.cipher):
                yield from self._project(project)
            yield from self._shared()
            yield from self._searched()
        except apsw.Error as error:
            yield f"what follows cannot be read: {error}"

    def _damage(self) -> Iterator[str]:
        yield from (text for (text,) in self._all("integrity") if text != "ok")
        yield from (f"refers to nothing: {found}" for found in self._all("foreign_keys"))
        yield from (
            f"metadata of {seq}, which is not there" for (seq,) in self._all("changes_of_nothing")
        )

    def _project(self, project: Project) -> Iterator[str]:
        bodies = Bodies(self._connection, project, self._context)
        held = Held(self._all("pruned_below", project.id)[0][0])
        for (seq,) in self._each("all_records", project.id):
            self.checked += 1
            try:
                found = self._found(project, seq)
                record = expected(bodies, found)
                self._uses.add_record(bodies, found)
            except RecordCorrupt as error:
                held.broken.add(seq)
                yield f"completion {seq}: {error}"
            else:
                held.add(record)
        yield from self._chunks(project)
        held.take(self._postings(project), self._prefix_hashes(project))
        if not held.even:
            yield from self._differences(project, bodies, held)
        yield from self._needless(project, bodies, held)
        for seq, body in self._each("remnants_of_project", project.id):
            yield from self._uses.add_remnant(bodies, Seq(seq), body)

    def _differences(self, project: Project, bodies: Bodies, held: Held) -> Iterator[str]:
        differences = Differences(held)
        for (seq,) in self._each("all_records", project.id):
            if seq not in held.broken:
                differences.add(expected(bodies, self._found(project, seq)))
        yield from differences.faults(self._postings(project), self._prefix_hashes(project))

    def _needless(self, project: Project, bodies: Bodies, held: Held) -> Iterator[str]:
        """Prefix hashes that may be gone must be right as long as they are there."""
        for entry in held.readable(self._prefix_hashes(project)):
            if entry[1] < held.below and not self._has_prefix_hash(project, bodies, entry):
                yield f"prefix hash {tuple(entry)} should not be there"

    def _has_prefix_hash(self, project: Project, bodies: Bodies, entry: Entry) -> bool:
        try:
            return entry in expected(bodies, self._found(project, entry[1])).prefix_hashes
        except RecordCorrupt:
            return False

    def _chunks(self, project: Project) -> Iterator[str]:
        """Chunks follow each other, each of no more seqs than it may have."""
        before: Entry | None = None
        for term, *chunk in self._each("postings_of_project", project.id):
            try:
                entries = [(term, seq) for seq in seqs_in(Chunk(*chunk))]
            except RecordCorrupt as error:
                yield f"posting {(term, chunk[0])}: {error}"
                continue
            in_order = sorted(set(entries)) == entries and (not before or before < entries[0])
            if not in_order or len(entries) > MOST:
                yield f"posting {entries[0]} begins a chunk that is not in order"
            before = entries[-1]

    def _postings(self, project: Project) -> Iterator[Entry]:
        for term, *chunk in self._each("postings_of_project", project.id):
            with suppress(RecordCorrupt):  # `_chunks` says so
                yield from ((term, seq) for seq in seqs_in(Chunk(*chunk)))

    def _prefix_hashes(self, project: Project) -> Iterator[Entry]:
        return self._each("prefix_hashes_of_project", project.id)

    def _found(self, project: Project, seq: int) -> Found:
        results = self._all("select_stored", seq, project.id)
        if not results:
            raise RecordCorrupt("its label set is not there")
        return Found._make(results[0])

    def _shared(self) -> Iterator[str]:
        yield from self._uses.faults(self._each("all_uses"))
        if self._all("unused_texts") != [(0,)]:
            yield "there are shared texts that nobody refers to"

    def _searched(self) -> Iterator[str]:
        """Numbers of the search index are in the order of the completions they stand for."""
        before = 0
        for seq, there in self._each("all_searched"):
            if not there:
                yield f"search finds {seq}, which is not there"
            if seq < before:
                yield f"search has {seq} behind {before}"
            before = seq
        for (seq,) in self._all("crowded_of_nothing"):
            yield f"search finds {seq}, which is not there"
        for (seq,) in self._all("searched_and_waiting"):
            yield f"search has {seq} already, and will have it again"

    def _all(self, statement: str, *bindings: Any) -> list[Any]:
        return list(self._each(statement, *bindings))

    def _each(self, statement: str, *bindings: Any) -> Iterator[Any]:
        """One row after the other: a store may have more than fit into memory."""
        return iter(self._connection.execute(SQL[statement], bindings))
