"""Each query of label sets, usage and facets finds its rows by an index: SQLite's own plans."""

import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from chatkeep.store import sql
from chatkeep.store.sqlite.connection import connect, migrate

FILES = ("facets.sql", "labelsets.sql", "usage.sql")
SQL = {
    name: statement
    for file in FILES
    for name, statement in sql.blocks("chatkeep.store.sqlite", file).items()
}

KIND = "SEARCH label_set USING INTEGER PRIMARY KEY (rowid=?)"
PLANS: dict[str, list[str]] = {
    "insert_label_set": [],
    "select_label_set": [
        "SEARCH label_set USING COVERING INDEX label_set_by_values"
        " (project=? AND form=? AND model=? AND status=? AND finish_reason=? AND upstream=?"
        " AND api_key=?)"
    ],
    "select_label_sets": ["SEARCH label_set USING COVERING INDEX label_set_by_values (project=?)"],
    "label_set_of": ["SEARCH record USING INTEGER PRIMARY KEY (rowid=?)"],
    "facts_at": [
        "SCAN place VIRTUAL TABLE INDEX 1:",
        "SEARCH record USING INTEGER PRIMARY KEY (rowid=?)",
        KIND,
        "SEARCH changed_metadata USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
    ],
    "add_usage": [],
    "select_usage": [
        "SEARCH usage_hour USING PRIMARY KEY (project=? AND hour>? AND hour<?)",
        "USE TEMP B-TREE FOR GROUP BY",
        "USE TEMP B-TREE FOR ORDER BY",
    ],
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    path = Path(tmp_path_factory.mktemp("plans") / "chatkeep.db")
    connection = connect(path)
    migrate(connection, path)
    yield connection
    connection.close()


@pytest.mark.parametrize("name", sorted(SQL))
def test_a_query_is_planned_as_meant(database: apsw.Connection, name: str) -> None:
    statement = SQL[name]
    count = max((int(number) for number in re.findall(r"\?(\d+)", statement)), default=0)
    rows = database.execute(f"EXPLAIN QUERY PLAN {statement}", (None,) * count)
    assert [str(row[3]) for row in rows] == PLANS[name]
