"""The index of postings in SQLite: any entries that come and go, in many chunks."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, get_args

import apsw
import pytest

from chatkeep.core.model.completion import Order, ProjectId
from chatkeep.core.model.ids import MAX_SEQ, Seq
from chatkeep.store.sqlite.chunks import MOST, Chunk, seqs_in
from chatkeep.store.sqlite.connection import connect, migrate
from chatkeep.store.sqlite.postings import Changes, seqs

OURS, THEIRS = ProjectId(1), ProjectId(2)
TERM = 7


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    connection = connect(tmp_path / "chatkeep.db")
    migrate(connection, tmp_path / "chatkeep.db")
    yield connection
    connection.close()


def written(
    connection: apsw.Connection, added: Iterable[int] = (), removed: Iterable[int] = ()
) -> None:
    changes = Changes(connection.cursor(), {})
    for seq in added:
        changes.add(OURS, [TERM], Seq(seq))
    for seq in removed:
        changes.remove(OURS, [TERM], Seq(seq))
    changes.write()


def chunks(connection: apsw.Connection) -> list[list[int]]:
    found: Any = connection.execute("SELECT seq, more FROM posting ORDER BY project, term, seq")
    return [seqs_in(Chunk(*row)) for row in found]


def listed(
    connection: apsw.Connection, low: int = 0, high: int = MAX_SEQ, order: Order = "asc"
) -> list[int]:
    return list(seqs(connection, OURS, TERM, low, high, order))


def test_there_is_nothing_under_a_term_nobody_has(connection: apsw.Connection) -> None:
    assert listed(connection) == listed(connection, order="desc") == []


@pytest.mark.parametrize("seed", range(4))
def test_what_came_and_did_not_go_is_there_between_any_bounds(
    connection: apsw.Connection, seed: int
) -> None:
    luck = Random(seed)
    there: set[int] = set()
    for _ in range(60):
        spread = luck.choice((300, 1 << 20, 1 << 62))
        added = {luck.randrange(spread) for _ in range(luck.randrange(150))}
        removed = set(luck.sample(sorted(there), len(there) // luck.choice((2, 5, 50)))) - added
        with connection:
            written(connection, added, removed)
        there = (there | added) - removed
        low, high = sorted(luck.sample(sorted(there | {0, 1 << 62}), 2))
        for order in get_args(Order):
            every = sorted(there, reverse=order == "desc")
            assert listed(connection, order=order) == every
            wanted = [place for place in every if low <= place <= high]
            assert listed(connection, low, high, order) == wanted
        runs = chunks(connection)
        assert [place for run in runs for place in run] == sorted(there)
        assert all(1 <= len(run) <= MOST for run in runs)


def test_what_came_and_went_in_one_transaction_is_not_there(connection: apsw.Connection) -> None:
    changes = Changes(connection.cursor(), {})
    for change in (changes.add, changes.remove):
        change(OURS, [TERM, 8], Seq(5))
    changes.add(OURS, [8], Seq(5))
    changes.write()
    assert listed(connection) == []
    assert list(seqs(connection, OURS, 8, 0, MAX_SEQ, "asc")) == [5]


def test_entries_written_once_are_not_written_again(connection: apsw.Connection) -> None:
    changes = Changes(connection.cursor(), {})
    changes.add(OURS, [TERM], Seq(5))
    changes.write()
    written(connection, removed={5})
    changes.write()
    assert listed(connection) == []


def test_another_projects_entries_are_apart(connection: apsw.Connection) -> None:
    changes = Changes(connection.cursor(), {})
    for project, seq in ((OURS, 5), (THEIRS, 6)):
        changes.add(project, [TERM], Seq(seq))
    changes.write()
    assert listed(connection) == [5]
    assert list(seqs(connection, THEIRS, TERM, 0, MAX_SEQ, "desc")) == [6]


def test_what_is_removed_leaves_no_empty_chunk(connection: apsw.Connection) -> None:
    written(connection, range(1000))
    written(connection, removed=range(1000))
    assert chunks(connection) == []


@pytest.mark.parametrize("backwards", [False, True])
def test_one_entry_after_the_other_fills_its_chunks(
    connection: apsw.Connection, backwards: bool
) -> None:
    with connection:
        for seq in range(20 * MOST):
            written(connection, {20 * MOST - seq if backwards else seq})
    assert len(chunks(connection)) <= 40
