"""`chatkeep verify`: what is refused, what is found, and that nothing is changed."""

import asyncio
from pathlib import Path

import pytest
from cli.shell import Ended
from click.testing import CliRunner
from support.backends import SqliteBackend
from support.database import direct
from support.samples import keep, listed, place, row

from chatkeep.cli import main
from chatkeep.core.model.completion import Query

FAILED = 1


def verify(folder: Path, *arguments: str) -> Ended:
    settings = {"CHATKEEP_STORE": f"sqlite:///{folder / 'chatkeep.db'}"}
    ended = CliRunner().invoke(main, ["verify", *arguments], env=settings)
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture
def backend(tmp_path: Path) -> SqliteBackend:
    """Has three completions."""
    backend = SqliteBackend(tmp_path)

    async def fill() -> None:
        store = await backend.open()
        project = (await store.add_key("ours", b"digest", "sk-o", frozenset({"read"}), 0)).project
        await keep(store, project, *(row(place(number), {"a": "b"}) for number in range(3)))
        await listed(store, project, Query(q="hello"))
        await store.aclose()

    asyncio.run(fill())
    return backend


def spoil(backend: SqliteBackend, *statements: tuple[str, int]) -> None:
    with direct(backend.path) as connection:
        for statement, number in statements:
            connection.execute(statement, (place(number),))


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    ended = verify(tmp_path)
    assert ended.code == FAILED
    assert ended.refusal().startswith("there is no store ")
    assert list(tmp_path.iterdir()) == []


def test_another_program_s_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chatkeep.db").write_bytes(b"no database " * 1000)
    ended = verify(tmp_path, "--json")
    assert (ended.code, ended.out) == (FAILED, "")
    assert "cannot be opened as a store" in ended.err


def test_a_sound_store_has_no_faults(backend: SqliteBackend) -> None:
    assert verify(backend.path.parent) == (0, "", "3 completions checked, no faults\n")


def test_each_fault_is_a_line_and_the_rest_is_still_looked_at(backend: SqliteBackend) -> None:
    spoil(
        backend,
        ("UPDATE record SET body = x'01' WHERE seq = ?", 2),
        ("DELETE FROM posting WHERE seq = ?", 0),
    )
    ended = verify(backend.path.parent)
    assert (ended.code, ended.err[:23]) == (FAILED, "3 completions checked, ")
    first, *others = ended.out.splitlines()
    assert first.startswith(f"completion {place(2)}: ")
    assert any(line.endswith(f"{place(0)}) is missing") for line in others)
    assert "should not be there" not in ended.out
    as_json = verify(backend.path.parent, "--json")
    assert [found["fault"] for found in as_json.rows()] == ended.out.splitlines()
    assert as_json.err == ended.err


def test_a_completion_whose_label_set_is_gone_is_found(backend: SqliteBackend) -> None:
    spoil(backend, ("UPDATE record SET label_set = 999 WHERE seq = ?", 1))
    ended = verify(backend.path.parent)
    assert f"completion {place(1)}: its label set is not there" in ended.out
    assert ended.code == FAILED


@pytest.mark.parametrize(
    ("more", "fault"),
    [(b"\0", "cannot be read"), (b"\1\3\2", "not in order"), (b"\1\2\2", "not in order")],
)
def test_a_damaged_index_entry_is_found(backend: SqliteBackend, more: bytes, fault: str) -> None:
    with direct(backend.path) as connection:
        connection.execute("UPDATE posting SET more = ? WHERE term = -1", (more,))
    ended = verify(backend.path.parent)
    assert f"posting (-1, {place(0)})" in ended.out
    assert fault in ended.out
    assert ended.code == FAILED


def test_an_index_for_search_that_is_out_of_order_is_found(backend: SqliteBackend) -> None:
    spoil(
        backend,
        ("UPDATE searched SET doc = 1 WHERE seq = ?", 2),
        ("UPDATE searched SET seq = 7 WHERE seq = ?", 0),
        ("INSERT INTO crowded VALUES (? + 50)", 0),
    )
    ended = verify(backend.path.parent)
    assert f"search finds {place(50)}, which is not there\n" in ended.out
    assert f"search has 7 behind {place(2)}\n" in ended.out
    assert "search finds 7, which is not there\n" in ended.out
    assert ended.code == FAILED


def test_what_search_has_before_its_time_is_found(backend: SqliteBackend) -> None:
    spoil(backend, ("UPDATE search_reach SET seq = ?", 1))
    ended = verify(backend.path.parent)
    assert ended.out == f"search has {place(2)} already, and will have it again\n"
    assert ended.code == FAILED


def test_a_damaged_file_is_read_as_far_as_it_goes(backend: SqliteBackend) -> None:
    pages = bytearray(backend.path.read_bytes())
    for start in range(2 * 8192, len(pages), 8192):
        pages[start : start + 512] = bytes(512)
    backend.path.write_bytes(pages)
    ended = verify(backend.path.parent)
    assert ended.code == FAILED
    assert ended.out
    assert "Traceback" not in ended.err


async def test_it_looks_at_one_moment_of_a_store_that_is_being_written(
    backend: SqliteBackend,
) -> None:
    store = await backend.open(serving=True)
    project = (await store.projects())[0]
    writing = asyncio.create_task(
        keep(store, project, *(row(place(number)) for number in range(10, 40)))
    )
    ended = await asyncio.to_thread(verify, backend.path.parent)
    await writing
    await store.aclose()
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.endswith("completions checked, no faults\n")
