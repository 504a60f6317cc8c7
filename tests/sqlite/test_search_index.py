"""The search index in SQLite: its plans, the work it does, and what a delete leaves of it."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import get_args

import apsw
import pytest
from support.backends import SqliteBackend
from support.database import direct
from support.samples import listed, place, row, said

from chatkeep.core.model.completion import Order, ProjectId, Query, Scope
from chatkeep.core.model.ids import Seq
from chatkeep.store.sqlite import search
from chatkeep.store.sqlite.connection import connect, migrate

READ: frozenset[Scope] = frozenset({"read"})
OURS = ProjectId(1)
HIGHEST = (1 << 63) - 1
WORD = search.document(OURS, ["word"])


@pytest.fixture
def database(tmp_path: Path) -> Iterator[apsw.Connection]:
    path = tmp_path / "chatkeep.db"
    connection = connect(path)
    migrate(connection, path)
    yield connection
    connection.close()


# The bounds of rowid, the words; FTS5 says by a number which order it gives.
WORDS = "SCAN search VIRTUAL TABLE INDEX {}:M1><"
DOCUMENT = "SEARCH searched USING INTEGER PRIMARY KEY (rowid=?)"
PLANS: dict[str, list[str]] = {
    "search_insert": [],
    "search_append": ["SCAN carray VIRTUAL TABLE INDEX 1:"],
    "search_delete": [],
    "search_desc": [WORDS.format(192), DOCUMENT],
    "search_asc": [WORDS.format(64), DOCUMENT],
    "insert_crowded": [],
    "delete_crowded": ["SEARCH crowded USING INTEGER PRIMARY KEY (rowid=?)"],
    "some_crowded": ["SEARCH crowded USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
    "crowded_desc": [WORDS.format(64)],
    "crowded_asc": [WORDS.format(192)],
    "newest_number": ["SCAN searched"],  # of which it takes the last row
    "number_up_to": [
        "SEARCH searched",  # of which it takes the last row
        "SCAN halved",  # the step before
        "SEARCH there USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH searched USING INTEGER PRIMARY KEY (rowid>?)",
        DOCUMENT,
    ],
    "number_from": ["SEARCH searched USING INTEGER PRIMARY KEY (rowid>?)"],
    "insert_searched": [],
    "delete_searched": [DOCUMENT],
}


@pytest.mark.parametrize("name", sorted(search.SQL))
def test_a_statement_reads_what_it_looks_for_and_sorts_nothing(
    database: apsw.Connection, name: str
) -> None:
    count = len(set(re.findall(r"\?\d", search.SQL[name])))
    rows = database.execute(f"EXPLAIN QUERY PLAN {search.SQL[name]}", (None,) * count)
    steps = [str(row[3]) for row in rows]
    assert not [step for step in steps if "TEMP B-TREE" in step or "AUTOMATIC" in step]
    read = [step for step in steps if step.startswith(("SEARCH", "SCAN "))]
    assert {*read} - {"SCAN CONSTANT ROW"} == {*PLANS[name]}


async def test_completions_that_share_a_commit_are_numbered_in_their_order(
    tmp_path: Path,
) -> None:
    """Whoever ended first: else there would soon be no numbers left between them."""
    backend = SqliteBackend(tmp_path)
    store = await backend.open()
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    rows = [row(place(number)) for number in range(20)]
    await asyncio.gather(*(store.insert(project, one, said()) for one in reversed(rows)))
    await listed(store, project, Query(q="hello"))
    await store.aclose()
    with direct(backend.path) as connection:
        numbered = connection.execute("SELECT seq FROM searched ORDER BY doc").fetchall()
    assert numbered == [(one.seq,) for one in rows]


@pytest.mark.parametrize("seed", range(4))
def test_completions_that_come_anywhere_are_found_in_their_order(
    database: apsw.Connection, seed: int
) -> None:
    """Also where so many come between two that no number is left for them."""
    luck = Random(seed)
    there: set[int] = set()
    for _ in range(6):
        around = luck.randrange(1 << 20)
        coming = {around + luck.randrange(300) for _ in range(60)} - there
        going = set(luck.sample(sorted(there), len(there) // 4))
        with database:
            for seq in luck.sample(sorted(coming), len(coming)):
                search.insert(database, Seq(seq), WORD)
            for seq in going:
                search.delete(database, Seq(seq), WORD)
        there = (there | coming) - going
        low, high = sorted(luck.sample(range(1 << 20), 2))
        for order in get_args(Order):
            places = search.opened(database, search.expression(OURS, "word"), order)
            every = sorted(there, reverse=order == "desc")
            assert list(places(0, HIGHEST)) == every
            assert list(places(low, high)) == [seq for seq in every if low <= seq <= high]
    assert database.execute("SELECT count(*) FROM crowded").fetchall() != [(0,)]


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
    texts = [f"common {PLANTED[n % 2] if n in (7, 30) else n}" for n in range(64)]
    said = {Seq(n << 31): search.document(OURS, [text]) for n, text in enumerate(texts)}
    for start in range(0, 64, batch):
        with connection:
            for seq in list(said)[start : start + batch]:
                search.insert(connection, seq, said[seq])
    if deleted:
        for number in (7, 30):
            with connection:
                search.delete(connection, Seq(number << 31), said[Seq(number << 31)])
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    connection.close()
    assert b"common" in content
    for word in PLANTED:
        assert (word[:5].encode() in content) is not deleted


@pytest.mark.parametrize("gone", [True, False])
async def test_the_words_of_a_body_that_was_let_go_are_in_no_file(
    tmp_path: Path, gone: bool
) -> None:
    backend = SqliteBackend(tmp_path)
    store = await backend.open()
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    for number in range(8):
        text = f"common {PLANTED[number % 2]}" if number < 2 else "common"
        await store.insert(project, row(place(number)), said(text))
    await listed(store, project, Query(q="common"))
    if gone:
        for _ in PLANTED:
            await store.expire_bodies(project, place(8), 1)
    await store.aclose()
    content = backend.path.read_bytes()
    assert b"common" in content
    for word in PLANTED:
        assert (word[:5].encode() in content) is not gone


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[apsw.Connection]]:
    """A store with a few completions, and one with ten times as many."""
    connections = []
    for count in (2000, 20_000):
        path = tmp_path_factory.mktemp("grown") / "chatkeep.db"
        connection = connect(path)
        migrate(connection, path)
        for start in range(0, count, 100):
            with connection:
                for number in range(start, start + 100):
                    half = "half" if number % 2 else "other"
                    rare = "rare" if number % 500 == 0 else ""
                    words = search.document(OURS, [f"all word {half} {rare}"])
                    search.insert(connection, Seq(number << 31), words)
        connections.append(connection)
    yield connections
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    "q", ["all", "half", "rare", "all rare", '"all word"', "half all", "absent", "all absent"]
)
def test_the_work_for_a_page_does_not_grow_with_the_store(
    grown: list[apsw.Connection], order: Order, q: str
) -> None:
    few, many = (_pages_read(connection, order, q) for connection in grown)
    assert many < 2 * few + 20


def _pages_read(connection: apsw.Connection, order: Order, q: str) -> int:
    places = search.opened(connection, search.expression(OURS, q), order)
    before = _pages(connection)
    for _ in zip(range(4), places(0, HIGHEST), strict=False):
        pass
    return _pages(connection) - before


def _pages(connection: apsw.Connection) -> int:
    counters = (apsw.SQLITE_DBSTATUS_CACHE_HIT, apsw.SQLITE_DBSTATUS_CACHE_MISS)
    return sum(connection.status(counter)[0] for counter in counters)
