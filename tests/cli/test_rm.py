"""`chatkeep rm`: what is refused, what it asks, and what is gone then."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from cli.shell import Ended, chatkeep
from click.testing import CliRunner
from support.samples import keep, place, row

from chatkeep.cli import main
from chatkeep.core.model.completion import Query
from chatkeep.core.records.bulk import FILTERS
from chatkeep.store.sqlite import open_sqlite

OK, FAILED, WRONG_USAGE = 0, 1, 2
MANY = 40


def file_of(folder: Path) -> Path:
    return folder / "chatkeep.db"


def rm(folder: Path, *arguments: str) -> Ended:
    """In this process, which is quicker; nobody is at its terminal either."""
    settings = {"CHATKEEP_STORE": f"sqlite:///{file_of(folder)}"}
    ended = CliRunner().invoke(main, ["rm", *arguments], env=settings)
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Has completions of two models, every fourth tagged, and one of another project."""

    async def fill() -> None:
        store = await open_sqlite(file_of(tmp_path))
        default = await store.add_project("default", 0, lambda project: project)
        other = await store.add_project("other", 0, lambda project: project)
        assert default is not None
        assert other is not None
        for n in range(MANY):
            tags = {"n": str(n), **({} if n % 4 else {"run": "a=b"})}
            await keep(store, default, row(place(n), tags, model="odd" if n % 2 else "even"))
        await keep(store, other, row(place(MANY), {"n": "other"}))
        await store.aclose()

    asyncio.run(fill())
    return tmp_path


def left(folder: Path, project: str = "default") -> list[int | str]:
    async def look() -> list[Any]:
        store = await open_sqlite(file_of(folder))
        found = await store.project(project)
        assert found is not None
        page = await store.page(found, Query(limit=100, order="asc"))
        await store.aclose()
        return [json.loads(item.row.metadata)["n"] for item in page.items]

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a filter, like --model NAME, or --all, and not both"),
        (["--all", "--model", "odd"], "give a filter, like --model NAME, or --all, and not both"),
        (["--metadata", "run"], "--metadata is 'run'; give KEY=VALUE"),
        (["--status", "done"], "Invalid value: 'done'."),
        (["--created-before", "today"], "Invalid type for 'created_before'"),
        (["--limit", "1"], "No such option"),
    ],
)
def test_what_is_not_said_clearly_is_wrong_usage_and_deletes_nothing(
    folder: Path, arguments: list[str], message: str
) -> None:
    ended = rm(folder, *arguments, "--yes")
    assert (ended.code, ended.out) == (WRONG_USAGE, "")
    assert message in ended.err
    assert len(left(folder)) == MANY


def test_with_nobody_to_ask_it_says_how_many_there_are_and_deletes_nothing(folder: Path) -> None:
    ended = rm(folder, "--model", "odd")
    assert ended.code == FAILED
    wanted = "delete 20 completions of project default for good: give --yes to do it without"
    assert ended.refusal().startswith(wanted)
    assert len(left(folder)) == MANY


def test_a_project_that_is_not_there_is_said(folder: Path) -> None:
    ended = rm(folder, "--all", "--project", "typo", "--yes")
    assert (ended.code, ended.refusal()) == (FAILED, "Project typo not found")


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    ended = rm(tmp_path, "--all", "--yes")
    assert ended.code == FAILED
    assert ended.refusal().startswith("there is no store ")
    assert list(tmp_path.iterdir()) == []


def test_what_the_filters_find_is_deleted_and_nothing_else(folder: Path) -> None:
    ended = rm(folder, "--model", "even", "--metadata", "run=a=b", "--yes")
    assert ended == (OK, "", "deleted 10 completions\n")
    assert left(folder) == [str(n) for n in range(MANY) if n % 4]
    assert rm(folder, "--model", "even", "--metadata", "run=a=b", "--yes").code == OK
    assert left(folder, "other") == ["other"]


def test_all_are_deleted_when_that_is_said(folder: Path) -> None:
    settings = {"CHATKEEP_STORE": f"sqlite:///{file_of(folder)}"}
    ended = chatkeep(folder, "rm", "--all", "--yes", "--json", **settings)
    assert ended.code == OK
    assert ended.rows() == [{"deleted": MANY, "complete": True, "error": None}]
    assert (left(folder), left(folder, "other")) == ([], ["other"])


def test_one_completion_is_said_to_be_one(folder: Path) -> None:
    assert rm(folder, "--metadata", "n=3", "--yes").err == "deleted 1 completion\n"


def test_nothing_is_asked_when_nothing_is_found(folder: Path) -> None:
    assert rm(folder, "--model", "none") == (OK, "", "deleted 0 completions\n")


def test_every_filter_of_the_list_is_an_option() -> None:
    command = main.commands["rm"]
    options = {param.name for param in command.params}
    assert {entry.name for entry in FILTERS} <= options
