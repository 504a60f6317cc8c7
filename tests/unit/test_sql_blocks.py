"""The named blocks of a .sql file, and the ones the stores have."""

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import apsw
import pytest

from chatkeep.store import sql

SQLITE = "chatkeep.store.sqlite"
FILES = sorted(
    entry.name
    for entry in files(SQLITE).iterdir()
    if entry.name.endswith(".sql") and not entry.name[0].isdigit()
)
QUERIES = {name: text for file in FILES for name, text in sql.blocks(SQLITE, file).items()}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package, to put files into; its name is another one in each test."""
    monkeypatch.syspath_prepend(tmp_path.parent)
    return tmp_path


def test_each_block_is_read_under_its_name(package: Path) -> None:
    (package / "q.sql").write_text(
        "-- Not a block.\n\n"
        "-- name: first\n-- What it does.\nSELECT 1\n\n"
        "-- name: second_2\n-- Two lines.\nSELECT 2 -- name: not here\n  FROM t;\n\nSELECT 3\n"
    )
    assert sql.blocks(package.name, "q.sql") == {
        "first": "-- What it does.\nSELECT 1",
        "second_2": "-- Two lines.\nSELECT 2 -- name: not here\n  FROM t;\n\nSELECT 3",
    }


def test_migrations_come_in_the_order_of_their_numbers(package: Path) -> None:
    for name in ("0010_later.sql", "0002_next.sql", "0001_begin.sql", "queries.sql", "1_no.sql"):
        (package / name).write_text(name)
    assert sql.migrations(package.name) == ["0001_begin.sql", "0002_next.sql", "0010_later.sql"]


def test_no_name_is_given_to_two_blocks() -> None:
    texts = [files(SQLITE).joinpath(file).read_text() for file in FILES]
    names = Counter(re.findall(r"name:\s*(\S+)", "".join(texts)))
    assert [name for name, times in names.items() if times > 1] == []
    assert set(names) == set(QUERIES)


@pytest.mark.parametrize("name", QUERIES)
def test_each_block_is_one_comment_line_and_one_statement(name: str) -> None:
    comment, *statement = QUERIES[name].splitlines()
    assert re.fullmatch(r"-- [A-Z].*\.", comment)
    assert statement
    assert not any(line.startswith("--") for line in statement)
    assert ";" not in "".join(statement)


@pytest.fixture(scope="module")
def database() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    for script in sql.migrations(SQLITE):
        connection.execute(script)
    return connection


@pytest.mark.parametrize("name", QUERIES)
def test_each_statement_fits_the_schema(name: str, database: apsw.Connection) -> None:
    numbers = {int(number) for number in re.findall(r"\?(\d+)", QUERIES[name])}
    assert numbers == set(range(1, len(numbers) + 1))
    database.execute(f"EXPLAIN {QUERIES[name]}", (None,) * len(numbers)).fetchall()


def test_each_block_is_used_and_each_used_one_is_there() -> None:
    code = "".join(
        entry.read_text() for entry in files(SQLITE).iterdir() if entry.name.endswith(".py")
    )
    patterns = re.findall(r"""(?:SQL|sql)\[f?"([^"]+)"\]""", code) + re.findall(
        r'_(?:one|all|each|numbered)\((?:connection, )?"(\w+)"', code
    )
    used = {re.sub(r"\{[^}]*\}", r"\\w+", pattern) for pattern in patterns}
    unused = [name for name in QUERIES if not any(re.fullmatch(one, name) for one in used)]
    absent = [one for one in used if not any(re.fullmatch(one, name) for name in QUERIES)]
    assert (unused, absent) == ([], [])
