"""The database file: made, migrated, recognised, and as the pragmas say."""

import os
import re
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import apsw
import pytest
from support.samples import keep, listed, name, place, row, said

from chatkeep.core.model.completion import Scope
from chatkeep.errors import StoreLocked, StoreUnreadable
from chatkeep.store.sqlite import open_sqlite
from chatkeep.store.sqlite.connection import connect

READ: frozenset[Scope] = frozenset({"read"})
OURS = 0x636B6570  # "ckep"

PRAGMAS: dict[str, object] = {
    "application_id": OURS,
    "page_size": 8192,
    "journal_mode": "wal",
    "synchronous": 2,  # FULL
    "fullfsync": 1,
    "checkpoint_fullfsync": 1,
    "secure_delete": 1,
    "foreign_keys": 1,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "temp_store": 2,
    "mmap_size": 0,
    "journal_size_limit": 64 << 20,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chatkeep.db"


async def make(path: Path) -> None:
    store = await open_sqlite(path)
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    await keep(store, project, row(place(1)))
    await store.aclose()


def content(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, given: bytes) -> None:
    path.write_bytes(given)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def files_of(path: Path) -> list[Path]:
    """The database's, its WAL and all else there."""
    return sorted(path.parent.iterdir())


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The rows of every table but the virtual ones, whose content is in tables of their own."""
    connection = sqlite3.connect(path)
    listed = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type <> 'virtual'"
    tables = [name for (name,) in connection.execute(listed)]
    rows = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}  # noqa: S608
    connection.close()
    return rows


def migrations() -> int:
    entries = files("chatkeep.store.sqlite").iterdir()
    return len([entry for entry in entries if re.fullmatch(r"\d{4}_\w+\.sql", entry.name)])


async def test_a_database_of_a_newer_chatkeep_is_refused_untouched(path: Path) -> None:
    await make(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={migrations() + 1}")
    connection.close()
    before = content(path)
    with pytest.raises(StoreUnreadable, match="newer"):
        await open_sqlite(path)
    assert content(path) == before


STRANGERS = {
    "with a table": ["CREATE TABLE notes (text)", "INSERT INTO notes VALUES ('mine')"],
    "with a table, in WAL mode": ["PRAGMA journal_mode=wal", "CREATE TABLE notes (text)"],
    "with an application id": ["PRAGMA application_id=1234"],
    "with a table of our name": ["CREATE TABLE record (seq INTEGER PRIMARY KEY)"],
    "that is at a version of ours": ["CREATE TABLE notes (text)", "PRAGMA user_version=1"],
}


@pytest.mark.parametrize("script", STRANGERS.values(), ids=list(STRANGERS))
async def test_a_database_of_another_program_is_refused_untouched(
    path: Path, script: list[str]
) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in script:
        connection.execute(statement)
    connection.close()
    before = content(path)
    for serving in (False, True):
        with pytest.raises(StoreUnreadable, match="another program"):
            await open_sqlite(path, serving=serving)
    assert content(path) == before


@pytest.mark.parametrize("given", [b"not a database\n", b"SQLite format 3\0" + bytes(4000)])
async def test_a_file_that_is_no_database_is_refused_untouched(path: Path, given: bytes) -> None:
    write(path, given)
    with pytest.raises(StoreUnreadable):
        await open_sqlite(path)
    assert content(path) == given


@pytest.mark.parametrize("serving", [False, True])
async def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path, serving: bool) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "chatkeep.db"):
        with pytest.raises(StoreUnreadable):
            await open_sqlite(path, serving=serving)


async def test_a_store_that_could_not_be_opened_is_not_held(path: Path) -> None:
    write(path, b"not a database\n")
    with pytest.raises(StoreUnreadable):
        await open_sqlite(path, serving=True)
    write(path, b"")
    store = await open_sqlite(path, serving=True)
    await store.aclose()


async def test_a_store_behind_a_link_cannot_be_served_twice(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    store = await open_sqlite(path, serving=True)
    try:
        with pytest.raises(StoreLocked):
            await open_sqlite(link, serving=True)
    finally:
        await store.aclose()


async def test_a_first_start_that_was_broken_off_is_taken_up_again(path: Path) -> None:
    connect(path).close()  # the process ended before the schema was made
    store = await open_sqlite(path)
    await store.aclose()


async def test_two_processes_may_make_the_store_at_the_same_time(path: Path) -> None:
    first = connect(path)  # one is about to make the schema, and the other comes
    store = await open_sqlite(path)
    await store.aclose()
    first.close()


async def test_a_new_store_is_at_the_version_of_the_last_migration(path: Path) -> None:
    await make(path)
    connection = connect(path)
    assert connection.pragma("user_version") == migrations() > 0
    connection.close()


async def test_opening_again_changes_nothing(path: Path) -> None:
    await make(path)
    before = dump(path)
    store = await open_sqlite(path)
    await store.aclose()
    assert dump(path) == before


async def test_every_table_is_strict(path: Path) -> None:
    await make(path)
    connection = connect(path)
    tables = connection.execute(
        "SELECT name, strict FROM pragma_table_list"
        " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    connection.close()
    assert tables
    assert [table for table, strict in tables if not strict] == []


@pytest.fixture
def opened() -> Iterator[list[apsw.Connection]]:
    """Every connection made while the test runs."""
    connections: list[apsw.Connection] = []
    apsw.connection_hooks.append(connections.append)
    yield connections
    apsw.connection_hooks.remove(connections.append)


async def test_every_connection_has_our_pragmas(path: Path, opened: list[apsw.Connection]) -> None:
    await make(path)
    opened.clear()
    store = await open_sqlite(path)
    project = (await store.keys())[0].project
    assert await listed(store, project) == [place(1)]
    assert len(opened) >= 3, "the writer's, the reader's and one of the pool"
    for connection in opened:
        assert {name: connection.pragma(name) for name in PRAGMAS} == PRAGMAS
        assert connection.pragma("cache_size") != 0
    await store.aclose()


async def test_all_files_are_their_owners_only(path: Path) -> None:
    folder = path.parent / "new"
    umask = os.umask(0)
    try:
        store = await open_sqlite(folder / path.name, serving=True)
        project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
        await keep(store, project, row(place(1)))
    finally:
        os.umask(umask)
    found = {file.name: mode(file) for file in files_of(folder / path.name)}
    assert found == {path.name + end: 0o600 for end in ("", "-wal", "-shm", ".lock")}
    assert mode(folder) == 0o700
    await store.aclose()


async def test_what_was_deleted_is_not_left_in_the_files(path: Path) -> None:
    store = await open_sqlite(path)
    project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    secret = row(place(1), {"secret": "in metadata"})
    await store.insert(project, secret, said("secret in the body" * 2000))
    await keep(store, project, row(place(2)))
    await store.delete(project, name(secret))
    await store.aclose()
    found = b"".join(content(file) for file in files_of(path))
    assert b"gpt-4o-mini" in found, "the other row, so that this looks in the right place"
    assert b"secret in" not in found
    assert b"in metadata" not in found
