"""Holds a file against itself: rows, bodies, postings, prefix hashes, shared texts, search."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import Seq
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.encoding import deltas, rows
from chatkeep.store.encoding.body import Body, Codec, Delta, Remnant
from chatkeep.store.encoding.chain import INDEXED
from chatkeep.store.encoding.cipher import PLAIN, Cipher
from chatkeep.store.encoding.context import RecordContext
from chatkeep.store.encoding.recent import Found
from chatkeep.store.index import postings
from chatkeep.store.index.balance import Balance, Entry
from chatkeep.store.sqlite import accounts, encryption
from chatkeep.store.sqlite.bodies import Bodies
from chatkeep.store.sqlite.chunks import MOST, Chunk, seqs_in
from chatkeep.store.sqlite.connection import connect, migrate

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
    """Reads a whole file over one connection; `checked` counts the completions so far.

    Its memory does not grow with the store: of large indexes it keeps sums. Only where these differ
    it reads again.
    """

    def __init__(self, connection: apsw.Connection, cipher: Cipher) -> None:
        self._connection = connection
        self._context = RecordContext(Codec(), cipher)
        self._uses: Counter[int] = Counter()
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
        held = _Held(self._all("pruned_below", project.id)[0][0])
        for (place,) in self._each("all_completions", project.id):
            self.checked += 1
            try:
                read = self._read(project, bodies, Seq(place))
                self._whole(bodies, read)
            except RecordCorrupt as error:
                held.broken.add(place)
                yield f"completion {place}: {error}"
            else:
                held.postings.add(read.postings)
                held.prefix_hashes.add(held.needed(read.prefix_hashes))
        yield from self._chunks(project)
        held.postings.take(held.readable(self._postings(project)))
        held.prefix_hashes.take(held.needed(held.readable(self._prefix_hashes(project))))
        if not (held.postings.even and held.prefix_hashes.even):
            yield from self._differences(project, bodies, held)
        yield from self._needless(project, bodies, held)
        for place, body in self._each("remnants_of_project", project.id):
            yield from self._remnant(bodies, place, body)

    def _differences(self, project: Project, bodies: Bodies, held: "_Held") -> Iterator[str]:
        """The second reading: what stands where the sums say that something is wrong."""
        postings: set[Entry] = set()
        prefix_hashes: set[Entry] = set()
        for (place,) in self._each("all_completions", project.id):
            if place not in held.broken:
                read = self._read(project, bodies, Seq(place))
                postings |= held.postings.uneven(read.postings)
                prefix_hashes |= held.prefix_hashes.uneven(held.needed(read.prefix_hashes))
        found = held.postings.uneven(held.readable(self._postings(project)))
        yield from _apart("posting", postings, found)
        found = held.prefix_hashes.uneven(held.needed(held.readable(self._prefix_hashes(project))))
        yield from _apart("prefix hash", prefix_hashes, found)

    def _needless(self, project: Project, bodies: Bodies, held: "_Held") -> Iterator[str]:
        """Heads that may be gone must be right as long as they are there."""
        for prefix_hash, place in held.readable(self._prefix_hashes(project)):
            if place < held.below and not self._has_prefix_hash(
                project, bodies, prefix_hash, Seq(place)
            ):
                yield f"prefix hash {(prefix_hash, place)} should not be there"

    def _has_prefix_hash(
        self, project: Project, bodies: Bodies, prefix_hash: int, seq: Seq
    ) -> bool:
        try:
            return (prefix_hash, seq) in self._read(project, bodies, seq).prefix_hashes
        except RecordCorrupt:
            return False

    def _chunks(self, project: Project) -> Iterator[str]:
        """Chunks follow each other, each of no more places than it may have."""
        before: Entry | None = None
        for term, *chunk in self._each("postings_of_project", project.id):
            try:
                entries = [(term, place) for place in seqs_in(Chunk(*chunk))]
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
                yield from ((term, place) for place in seqs_in(Chunk(*chunk)))

    def _prefix_hashes(self, project: Project) -> Iterator[Entry]:
        return self._each("prefix_hashes_of_project", project.id)

    def _read(self, project: Project, bodies: Bodies, seq: Seq) -> "_Read":
        results = self._all("select_stored", seq, project.id)
        if not results:
            raise RecordCorrupt("its label set is not there")
        found = Found._make(results[0])
        row = rows.stored(found, bodies).row
        body, _ = bodies.opened(seq, found.body)
        prefix_hashes = (
            [(body.prefix_hash & INDEXED, seq)] if isinstance(body, Delta) and body.count else []
        )
        terms = postings.of_row(project.secret, found.form, found.label_set, row.metadata)
        return _Read(found, [(term, seq) for term in terms], prefix_hashes, body)

    def _whole(self, bodies: Bodies, read: "_Read") -> None:
        bodies.request(read.found)
        if isinstance(read.body, Delta):
            self._uses.update(deltas.shared_of(read.body, bodies.load))

    def _remnant(self, bodies: Bodies, place: int, body: bytes) -> Iterator[str]:
        try:
            remnant, _ = bodies.opened(Seq(place), body)
            if isinstance(remnant, Remnant):
                self._uses.update(deltas.shared_by(remnant))
        except RecordCorrupt as error:
            yield f"the rest of {place}: {error}"
        if bodies.quotes(Seq(place)) is not None:
            return
        yield f"the rest of {place} is not needed by anybody"

    def _shared(self) -> Iterator[str]:
        for key, uses, there in self._each("all_uses"):
            if uses != self._uses.pop(key, 0):
                yield f"shared text {key} is counted {uses} times, which is wrong"
            if not there:
                yield f"shared text {key} is not there"
        yield from (f"shared text {key} is not counted" for key in self._uses)
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


class _Read(NamedTuple):
    """A completion: its row, the index entries it is to have, and its body."""

    found: Found
    postings: Sequence[Entry]
    prefix_hashes: Sequence[Entry]
    body: Body


class _Held:
    """What a project's completions say beside what its indexes have.

    Heads of places `below` may be gone. Of `broken` completions nothing is known.
    """

    def __init__(self, below: int) -> None:
        self.postings, self.prefix_hashes = Balance(), Balance()
        self.broken: set[int] = set()
        self.below = below

    def readable(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        return (entry for entry in entries if entry[1] not in self.broken)

    def needed(self, prefix_hashes: Iterable[Entry]) -> Iterator[Entry]:
        return (entry for entry in prefix_hashes if entry[1] >= self.below)


def _apart(what: str, wanted: set[Entry], found: set[Entry]) -> Iterator[str]:
    yield from (f"{what} {entry} is missing" for entry in sorted(wanted - found))
    yield from (f"{what} {entry} should not be there" for entry in sorted(found - wanted))
