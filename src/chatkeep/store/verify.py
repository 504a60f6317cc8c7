"""Holds what records say against what the indexes of a store have: postings, prefix hashes, texts.

A database reads the rows and the index entries one by one; what each record is to have, and what
differs, is found here. Memory does not grow with the store: of large indexes sums are kept, and
only where these differ the entries are read again.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from chatkeep.core.model.ids import Seq
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding import deltas, rows
from chatkeep.store.encoding.body import Delta, Remnant
from chatkeep.store.encoding.chain import INDEXED
from chatkeep.store.encoding.graph import Graph
from chatkeep.store.encoding.recent import Found
from chatkeep.store.index import postings
from chatkeep.store.index.balance import Balance, Entry


class Expected(NamedTuple):
    """The index entries that a record is to have, each a term or a hash and the record's seq."""

    postings: Sequence[Entry]
    prefix_hashes: Sequence[Entry]


def expected(graph: Graph, found: Found) -> Expected:
    """Raises RecordCorrupt for a record that cannot be read."""
    row = rows.stored(found, graph).row
    body, _ = graph.opened(found.seq, found.body)
    hashes: list[Entry] = []
    if isinstance(body, Delta) and body.count:
        hashes.append((body.prefix_hash & INDEXED, found.seq))
    terms = postings.of_row(graph.project.secret, found.form, found.label_set, row.metadata)
    return Expected([(term, found.seq) for term in terms], hashes)


class Held:
    """What a project's records say beside what its indexes have.

    Prefix hashes of seqs `below` may be gone. Of `broken` records nothing is known.
    """

    def __init__(self, below: int) -> None:
        self.postings, self.prefix_hashes = Balance(), Balance()
        self.broken: set[int] = set()
        self.below = below

    def add(self, record: Expected) -> None:
        self.postings.add(record.postings)
        self.prefix_hashes.add(self.needed(record.prefix_hashes))

    def take(self, found_postings: Iterable[Entry], found_hashes: Iterable[Entry]) -> None:
        """Takes out what the indexes have; what is left over is wrong."""
        self.postings.take(self.readable(found_postings))
        self.prefix_hashes.take(self.needed(self.readable(found_hashes)))

    @property
    def even(self) -> bool:
        return self.postings.even and self.prefix_hashes.even

    def readable(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        return (entry for entry in entries if entry[1] not in self.broken)

    def needed(self, prefix_hashes: Iterable[Entry]) -> Iterator[Entry]:
        return (entry for entry in prefix_hashes if entry[1] >= self.below)


class Differences:
    """The second reading, where the sums of `Held` say that something is wrong."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._postings: set[Entry] = set()
        self._prefix_hashes: set[Entry] = set()

    def add(self, record: Expected) -> None:
        held = self._held
        self._postings |= held.postings.uneven(record.postings)
        self._prefix_hashes |= held.prefix_hashes.uneven(held.needed(record.prefix_hashes))

    def faults(
        self, found_postings: Iterable[Entry], found_hashes: Iterable[Entry]
    ) -> Iterator[str]:
        held = self._held
        found = held.postings.uneven(held.readable(found_postings))
        yield from _apart("posting", self._postings, found)
        found = held.prefix_hashes.uneven(held.needed(held.readable(found_hashes)))
        yield from _apart("prefix hash", self._prefix_hashes, found)


class Uses:
    """How often bodies refer to shared texts, beside what is counted."""

    def __init__(self) -> None:
        self._uses: Counter[int] = Counter()

    def add_record(self, graph: Graph, found: Found) -> None:
        """Raises RecordCorrupt when the record cannot be put together whole."""
        graph.request(found)
        body, _ = graph.opened(found.seq, found.body)
        if isinstance(body, Delta):
            self._uses.update(deltas.shared_of(body, graph.load))

    def add_remnant(self, graph: Graph, seq: Seq, body: bytes) -> Iterator[str]:
        try:
            remnant, _ = graph.opened(seq, body)
            if isinstance(remnant, Remnant):
                self._uses.update(deltas.shared_by(remnant))
        except RecordCorrupt as error:
            yield f"the rest of {seq}: {error}"
        if graph.quotes(seq) is None:
            yield f"the rest of {seq} is not needed by anybody"

    def faults(self, counted: Iterable[tuple[int, int, bool]]) -> Iterator[str]:
        """`counted` are the keys there are, how often each is counted, and if its text is there."""
        for key, uses, there in counted:
            if uses != self._uses.pop(key, 0):
                yield f"shared text {key} is counted {uses} times, which is wrong"
            if not there:
                yield f"shared text {key} is not there"
        yield from (f"shared text {key} is not counted" for key in self._uses)


def _apart(what: str, wanted: set[Entry], found: set[Entry]) -> Iterator[str]:
    yield from (f"{what} {entry} is missing" for entry in sorted(wanted - found))
    yield from (f"{what} {entry} should not be there" for entry in sorted(found - wanted))
