"""The search index in SQLite: its plans, the work it does, and what a delete leaves of it."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from chatkeep.core.ids import Seq
from chatkeep.core.model import Order, ProjectId
from chatkeep.store.sqlite import search
from chatkeep.store.sqlite.connection import connect, migrate

OURS = ProjectId(1)
HIGHEST = (1 << 63) - 1


@pytest.fixture
def database(tmp_path: Path) -> Iterator[apsw.Connection]:
    path = tmp_path / "chatkeep.db"
    connection = connect(path)
    migrate(connection, path)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("statement", "plan"),
    [
        ("search_has", "M1="),
        ("search_desc", "M1><"),
        ("search_asc", "M1><"),
    ],
)
def test_a_search_reads_its_words_within_bounds_and_sorts_nothing(
    database: apsw.Connection, statement: str, plan: str
) -> None:
    count = 2 if statement == "search_has" else 3
    rows = database.execute(
        f"EXPLAIN QUERY PLAN {search.SQL[statement]}", (None,) * count
    ).fetchall()
    (step,) = (str(row[3]) for row in rows)
    assert step.startswith("SCAN search VIRTUAL TABLE INDEX")
    assert set(step.rpartition(":")[2]) == set(plan)


PLANTED = ("xylophonequartz", "zweiundvierzigmal")


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("deleted", [True, False])
def test_the_words_of_a_deleted_completion_are_in_no_file(
    tmp_path: Path, deleted: bool, batch: int
) -> None:
    """Without the delete they are, or this would look in the wrong place."""
    path = tmp_path / "chatkeep.db"
    connection = connect(path)
    migrate(connection, path)
    said = {Seq(n << 31): [f"common {PLANTED[n % 2] if n in (7, 30) else n}"] for n in range(64)}
    for start in range(0, 64, batch):
        with connection:
            for seq in list(said)[start : start + batch]:
                search.insert(connection, OURS, seq, said[seq])
    if deleted:
        for number in (7, 30):
            with connection:
                search.delete(connection, OURS, Seq(number << 31), said[Seq(number << 31)])
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    connection.close()
    assert b"common" in content
    for word in PLANTED:
        assert (word[:5].encode() in content) is not deleted


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    "q", ["all", "half", "rare", "all rare", '"all word"', "half all", "absent", "all absent"]
)
def test_the_work_for_a_page_does_not_grow_with_the_store(
    database: apsw.Connection, order: Order, q: str
) -> None:
    """Counted in pages read from the index, which is what a search costs."""
    work = []
    for start, end in ((0, 2000), (2000, 20_000)):
        with database:
            for number in range(start, end):
                words = f"all word {'half' if number % 2 else 'other'}"
                search.insert(
                    database, OURS, Seq(number << 31), [words + " rare" * (number % 500 == 0)]
                )
        work.append(_pages_read(database, order, q))
    assert work[1] < 2 * work[0] + 20, work


def _pages_read(database: apsw.Connection, order: Order, q: str) -> int:
    expression = search.expression(OURS, q)
    database.cache_flush()
    before = database.status(apsw.SQLITE_DBSTATUS_CACHE_HIT)[0]
    before += database.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
    places = search.opened(database, expression, order)(0, HIGHEST)
    for _ in zip(range(4), places, strict=False):
        pass
    after = database.status(apsw.SQLITE_DBSTATUS_CACHE_HIT)[0]
    return after + database.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0] - before
