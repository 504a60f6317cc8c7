"""Holds a file against itself: rows, bodies, postings, heads, shared texts, the search index."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from chatkeep.core import fold, postings
from chatkeep.core.chain import INDEXED
from chatkeep.core.chunks import MOST, Chunk, unpacked
from chatkeep.core.ids import Seq
from chatkeep.core.model import Project
from chatkeep.core.packed import Codec, Ghost, Husk, Packed
from chatkeep.errors import RecordCorrupt
from chatkeep.store import sql
from chatkeep.store.sqlite import accounts, rows
from chatkeep.store.sqlite.bodies import Bodies, Texts
from chatkeep.store.sqlite.connection import connect, migrate
from chatkeep.store.sqlite.recent import Found

SQL = sql.blocks("chatkeep.store.sqlite", "verify.sql") | sql.blocks(
    "chatkeep.store.sqlite", "queries.sql"
)
Entry = tuple[int, int]


@contextmanager
def verifying(path: Path) -> Iterator["Verifier"]:
    """The file as it is at one moment, also while a server writes to it.

    Raises StoreUnreadable.
    """
    with closing(connect(path)) as connection:
        migrate(connection, path)
        connection.pragma("query_only", 1)
        connection.execute("BEGIN")
        yield Verifier(connection)


class Verifier:
    """Reads a whole file over one connection; `checked` counts the completions so far."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._texts = Texts(Codec())
        self._uses: Counter[int] = Counter()
        self.checked = 0

    def faults(self) -> Iterator[str]:
        """What is wrong, a sentence each; nothing when all is well."""
        try:
            yield from self._damage()
            for project in accounts.projects(self._connection):
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
        bodies = Bodies(self._connection, project, self._texts)
        wanted: set[Entry] = set()
        heads: set[Entry] = set()
        broken: set[int] = set()
        for (place,) in self._all("all_completions", project.id):
            self.checked += 1
            try:
                wanted |= self._completion(project, bodies, Seq(place), heads)
            except RecordCorrupt as error:
                broken.add(place)
                yield f"completion {place}: {error}"
        entries: set[Entry] = set()
        yield from self._postings(project, entries)
        found = _of_others(broken, entries)
        yield from _differences("posting", wanted - found, found - wanted)
        found = _of_others(broken, self._all("heads_of_project", project.id))
        yield from self._heads(project, heads, found)
        for place, body in self._all("ghosts_of_project", project.id):
            yield from self._ghost(bodies, place, body)

    def _postings(self, project: Project, found: set[Entry]) -> Iterator[str]:
        """Chunks follow each other, each of no more places than it may have."""
        before: Entry | None = None
        for kid, *chunk in self._all("postings_of_project", project.id):
            try:
                places = unpacked(Chunk(*chunk))
            except RecordCorrupt as error:
                yield f"posting {(kid, chunk[0])}: {error}"
                continue
            entries = [(kid, place) for place in places]
            in_order = sorted(set(entries)) == entries and (not before or before < entries[0])
            if not in_order or len(entries) > MOST:
                yield f"posting {entries[0]} begins a chunk that is not in order"
            before = entries[-1]
            found.update(entries)

    def _heads(self, project: Project, wanted: set[Entry], found: set[Entry]) -> Iterator[str]:
        below = max((place for (place,) in self._all("pruned_below", project.id)), default=0)
        missing = {(head, seq) for head, seq in wanted - found if seq >= below}
        yield from _differences("head", missing, found - wanted)

    def _completion(
        self, project: Project, bodies: Bodies, seq: Seq, heads: set[Entry]
    ) -> set[Entry]:
        results = self._all("select_stored", seq, project.id)
        if not results:
            raise RecordCorrupt("its kind is not there")
        found = Found(*results[0])
        row = rows.stored(found, project, bodies).row
        packed, _ = bodies.opened(seq, found.body)
        if not isinstance(packed, Husk):
            bodies.request(seq)
        if isinstance(packed, Packed):
            self._uses.update(fold.shared_of(packed, bodies.load))
            if packed.count:
                heads.add((packed.head & INDEXED, seq))
        return {(kid, seq) for kid in postings.of_row(project.secret, found.kind, row)}

    def _ghost(self, bodies: Bodies, place: int, body: bytes) -> Iterator[str]:
        try:
            ghost, _ = bodies.opened(Seq(place), body)
            if isinstance(ghost, Ghost):
                self._uses.update(fold.shared_by(ghost))
        except RecordCorrupt as error:
            yield f"the rest of {place}: {error}"
        if bodies.is_built_on(Seq(place)):
            return
        yield f"the rest of {place} is not needed by anybody"

    def _shared(self) -> Iterator[str]:
        for key, uses, there in self._all("all_uses"):
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
        for seq, there in self._connection.execute(SQL["all_searched"]):
            if not there:
                yield f"search finds {seq}, which is not there"
            if seq < before:
                yield f"search has {seq} behind {before}"
            before = seq

    def _all(self, statement: str, *bindings: Any) -> list[Any]:
        return self._connection.execute(SQL[statement], bindings).fetchall()


def _of_others(broken: set[int], entries: Iterable[Entry]) -> set[Entry]:
    """The entries of completions that could be read."""
    return {entry for entry in entries if entry[1] not in broken}


def _differences(what: str, missing: set[Entry], excess: set[Entry]) -> Iterator[str]:
    yield from (f"{what} {entry} is missing" for entry in sorted(missing))
    yield from (f"{what} {entry} should not be there" for entry in sorted(excess))
