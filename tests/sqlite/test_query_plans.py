"""Each query finds its rows by an index: SQLite's own plan of every named block."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw
import pytest

from chatkeep.core.model.completion import Order, ProjectId
from chatkeep.core.model.ids import MAX_SEQ, Seq
from chatkeep.store import sql
from chatkeep.store.index.postings import of_form
from chatkeep.store.sqlite.connection import connect, migrate
from chatkeep.store.sqlite.postings import Changes, seqs

PACKAGE = "chatkeep.store.sqlite"
SQL = {
    name: text
    for entry in files(PACKAGE).iterdir()
    if entry.name.endswith(".sql") and not entry.name[0].isdigit()
    for name, text in sql.blocks(PACKAGE, entry.name).items()
}

LISTED = of_form("chat.completion")
LABELS = "SEARCH label_set USING INTEGER PRIMARY KEY (rowid=?)"
RECORD = "SEARCH record USING INTEGER PRIMARY KEY (rowid=?)"
CHUNKS_UP_TO = "SEARCH posting USING PRIMARY KEY (project=? AND term=? AND seq<?)"
CHUNKS_FROM = [
    "SEARCH posting USING PRIMARY KEY (project=? AND term=? AND seq>?)",
    "SCALAR SUBQUERY 1",
    CHUNKS_UP_TO,
]
CLAIM = "SEARCH claim USING PRIMARY KEY (project=? AND key=?)"

STORED = [
    LABELS,
    "SEARCH changed_metadata USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
]
# What runs for every request, exactly.
HOT: dict[str, list[str]] = {
    "select_stored": [RECORD, *STORED],
    "stored_at": ["SCAN place VIRTUAL TABLE INDEX 1:", RECORD, *STORED],
    "change_metadata": [],
    "delete_record": [RECORD],
    "candidates": [
        "SEARCH prefix_hash USING PRIMARY KEY (project=? AND hash=? AND seq>? AND seq<?)"
    ],
    "newest_chunks": [
        "SCAN wanted VIRTUAL TABLE INDEX 1:",
        "SEARCH posting USING PRIMARY KEY (project=? AND term=? AND seq=?)",
        "CORRELATED SCALAR SUBQUERY 1",
        "SEARCH newest USING PRIMARY KEY (project=? AND term=?)",
    ],
    "chunk_at": CHUNKS_FROM,
    "delete_single": ["SEARCH posting USING PRIMARY KEY (project=? AND term=? AND seq=?)"],
    "delete_chunk": ["SEARCH posting USING PRIMARY KEY (project=? AND term=? AND seq=?)"],
    "chunks_desc": [CHUNKS_UP_TO],
    "chunks_asc": CHUNKS_FROM,
    "label_set_of": [RECORD],
    "deleted_high": ["SEARCH deleted_high USING INTEGER PRIMARY KEY (rowid=?)"],
    "select_alias": ["SEARCH alias USING PRIMARY KEY (project=? AND hash=?)"],
    "select_key": ["SEARCH api_key USING INDEX sqlite_autoindex_api_key_1 (digest=?)"],
    "select_project_of": ["SEARCH project USING INTEGER PRIMARY KEY (rowid=?)"],
    "note_key_used": ["SEARCH api_key USING INTEGER PRIMARY KEY (rowid=?)"],
    "select_claim": [CLAIM, f"{RECORD} LEFT-JOIN", f"{LABELS} LEFT-JOIN"],
    "renew_claim": [CLAIM],
    "answer_claim": [CLAIM],
    "waiting": ["SEARCH record USING INTEGER PRIMARY KEY (rowid>?)"],
    "release_claim": [CLAIM],
}
# What may read a table from end to end, and why.
SCANS = {
    "count_others": "status reads everything",
    "data_keys": "shows them all",
    "is_new": "one row of an answer",
    "search_off": "changes them all",
    "select_keys": "shows them all",
    "select_projects": "shows them all",
    "keys_version": "the table has one row",
    "conversation_asc": "what has been found of one conversation",
    "conversation_desc": "what has been found of one conversation",
    "remnants_of_project": "verify reads everything",
    "beginning": "what has been found of one conversation",
    "newest_number": "takes the last row",
    "number_up_to": "one row a step of the halving",
    "all_records": "verify reads everything",
    "all_uses": "verify reads everything",
    "unused_texts": "verify reads everything",
    "changes_of_nothing": "verify reads everything",
    "all_searched": "verify reads everything",
    "crowded_of_nothing": "verify reads everything",
    "searched_and_waiting": "verify reads everything",
    "reach": "the table has one row",
    "set_reach": "the table has one row",
    "some_wait": "the table has one row",
    "bump_keys_version": "the table has one row",
}

# What may sort what it finds, and why.
SORTS = {
    "select_usage": "sums of hours are few",
    "conversation_asc": "one conversation",
    "conversation_desc": "one conversation",
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    path = Path(tmp_path_factory.mktemp("plans") / "chatkeep.db")
    connection = connect(path)
    migrate(connection, path)
    yield connection
    connection.close()


def plan(database: apsw.Connection, name: str) -> list[str]:
    statement = SQL[name]
    count = max((int(number) for number in re.findall(r"\?(\d+)", statement)), default=0)
    rows = database.execute(f"EXPLAIN QUERY PLAN {statement}", (None,) * count)
    return [str(row[3]) for row in rows]


@pytest.mark.parametrize("name", sorted(SQL))
def test_no_query_sorts_or_scans_without_a_reason(database: apsw.Connection, name: str) -> None:
    steps = plan(database, name)
    sorts = [step for step in steps if "TEMP B-TREE" in step or "AUTOMATIC" in step]
    assert name in SORTS or not sorts
    assert name in SCANS or not [
        step for step in steps if step.startswith("SCAN") and not _in_search(step)
    ]


@pytest.mark.parametrize("name", sorted(HOT))
def test_a_hot_query_uses_the_index_meant_for_it(database: apsw.Connection, name: str) -> None:
    assert plan(database, name) == HOT[name]


@pytest.mark.parametrize("name", sorted(n for n in SQL if n.startswith(("insert_", "upsert_"))))
def test_an_insert_looks_up_nothing_but_its_keys(database: apsw.Connection, name: str) -> None:
    assert not [step for step in plan(database, name) if not _by_key(step)]


def _in_search(step: str) -> bool:
    """FTS5 says SCAN of whatever it does; what it does, test_search_index.py looks at."""
    return "VIRTUAL TABLE" in step


def _by_key(step: str) -> bool:
    """What is left of deleted completions is looked up by its seq."""
    looked_up = ("SCALAR SUBQUERY", "remnant USING INTEGER PRIMARY KEY (rowid=?)")
    return any(known in step for known in looked_up) or step.endswith("VALUES CLAUSE")


def test_the_highest_of_a_range_is_looked_up_in_it(database: apsw.Connection) -> None:
    wanted = "SEARCH record USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
    assert wanted in plan(database, "highest_between")


def test_idempotency_keys_are_swept_by_their_expiry(database: apsw.Connection) -> None:
    steps = plan(database, "sweep_claims")
    assert "SEARCH claim USING COVERING INDEX claim_by_expiry (expires<?)" in steps


def test_every_reason_to_scan_is_still_needed(database: apsw.Connection) -> None:
    for name in SCANS:
        assert any(step.startswith("SCAN") for step in plan(database, name)), name


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_work_for_a_page_does_not_grow_with_the_store(
    database: apsw.Connection, order: Order
) -> None:
    work = []
    with database:
        database.execute(SQL["insert_project"], (order, b"secret", 0, True))
        project = ProjectId(database.last_insert_rowid())
        for start, end in ((0, 500), (500, 20_000)):
            changes = Changes(database.cursor(), {})
            for number in range(start, end):
                changes.add(project, [LISTED, 7], Seq(10_000 * number))
            changes.write()
            work.append([_work(database, project, term, order) for term in (LISTED, 7)])
    assert work[0] == work[1]


def _work(database: apsw.Connection, project: ProjectId, term: int, order: Order) -> list[int]:
    """The instructions SQLite's machine needs for the first 20 seqs."""
    profiles: list[dict[str, Any]] = []
    database.trace_v2(apsw.SQLITE_TRACE_PROFILE, profiles.append)
    try:
        found = seqs(database, project, term, 0, MAX_SEQ, order)
        assert len([next(found) for _ in range(20)]) == 20
        del found
    finally:
        database.trace_v2(0)
    return [one["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"] for one in profiles]
