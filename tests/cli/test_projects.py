"""`chatkeep projects`: what is refused, and what is set."""

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.shell import Ended, chatkeep, environment
from click.testing import CliRunner
from support.patience import PATIENCE_S
from support.server import CHATKEEP

from chatkeep.cli import main
from chatkeep.core.accounts.projects import SETTINGS

FAILED, WRONG_USAGE = 1, 2
UNSET = {"store_by_default": "false", "full_text": "true"}


def store_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'chatkeep.db'}"


def projects(folder: Path, *arguments: str) -> Ended:
    """In this process, which is quicker; nobody is at its terminal either."""
    settings = {"CHATKEEP_STORE": store_of(folder)}
    ended = CliRunner().invoke(main, ["projects", *arguments], env=settings)
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Has a store with the project acme."""
    assert projects(tmp_path, "add", "acme") == (0, "", "added project acme\n")
    return tmp_path


@pytest.mark.parametrize("arguments", [["ls"], ["show", "a"], ["set", "a", "--retain-days", "1"]])
def test_a_store_that_is_not_there_is_not_made_by_looking(
    tmp_path: Path, arguments: list[str]
) -> None:
    ended = projects(tmp_path, *arguments)
    assert ended.code == FAILED
    assert ended.refusal().startswith("there is no store ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["show", "typo"], ["set", "typo", "--retain-days", "1"]])
def test_a_project_that_is_not_there_is_said(folder: Path, arguments: list[str]) -> None:
    ended = projects(folder, *arguments)
    assert (ended.code, ended.refusal()) == (FAILED, "Project typo not found")


def test_a_project_is_added_once(folder: Path) -> None:
    arguments = ("projects", "add", "acme", "--retain-days", "1", "--json")
    ended = chatkeep(folder, *arguments, CHATKEEP_STORE=store_of(folder))
    assert ended.code == FAILED
    assert ended.json_refusal().startswith("There is a project acme already")
    assert projects(folder, "ls").out == "acme\n"


@pytest.mark.parametrize(
    ("name", "value", "give"),
    [
        ("retain_days", "0", "a whole number from 1"),
        ("retain_days", "-3", "a whole number from 1"),
        ("retain_days", "1.5", "a whole number from 1"),
        ("requests_per_minute", "\u0663", "a whole number from 1"),
        ("max_concurrent", "9" * 20, "a whole number from 1"),
        ("store_by_default", "yes", "true or false"),
        ("upstreams", "a\tb", "a list of names of upstreams"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_with_what_to_give(
    folder: Path, name: str, value: str, give: str
) -> None:
    option = f"--{name.replace('_', '-')}={value}"
    for verb, project in (("set", "acme"), ("add", "new")):
        ended = projects(folder, verb, project, option)
        assert ended.code == WRONG_USAGE
        assert ended.refusal().startswith(f"{name} is ")
        assert give in ended.refusal()
    assert projects(folder, "ls").out == "acme\n"


def test_setting_nothing_is_wrong_usage(folder: Path) -> None:
    assert projects(folder, "set", "acme").code == WRONG_USAGE


@pytest.mark.parametrize("option", ["--retain-days", "--retain-body-days"])
def test_keeping_for_a_shorter_time_asks_first(folder: Path, option: str) -> None:
    ended = projects(folder, "set", "acme", option, "7")
    assert ended.code == FAILED
    assert "older than 7 days of project acme are deleted for good: give --yes" in ended.refusal()
    assert projects(folder, "ls").out == "acme\n"
    assert projects(folder, "set", "acme", option, "7", "--yes").code == 0
    assert projects(folder, "set", "acme", option, "8").code == 0
    assert projects(folder, "set", "acme", option, "none").code == 0


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("answer", "code", "days"), [("n", FAILED, ""), ("y", 0, "\tretain_days=7")]
)
def test_at_a_terminal_the_answer_decides(
    folder: Path, terminal: tuple[int, int], answer: str, code: int, days: str
) -> None:
    ours, theirs = terminal
    os.write(ours, f"{answer}\n".encode())
    ended = subprocess.run(
        [*CHATKEEP, "projects", "set", "acme", "--retain-days", "7"],
        cwd=folder,
        env=environment(folder) | {"CHATKEEP_STORE": store_of(folder)},
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == code
    assert "completions older than 7 days of project acme" in ended.stderr
    assert projects(folder, "ls").out == f"acme{days}\n"


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_every_setting_can_be_set_shown_and_unset(folder: Path, name: str) -> None:
    option = f"--{name.replace('_', '-')}"
    value = {"store_by_default": "true", "full_text": "false", "upstreams": "a,b c"}.get(name, "42")
    made = projects(folder, "add", "new", option, value)
    assert made.code == 0
    assert projects(folder, "ls").out == f"acme\nnew\t{name}={value}\n"
    (shown,) = projects(folder, "show", "new", "--json").rows()
    (listed,) = (row for row in projects(folder, "ls", "--json").rows() if row["name"] == "new")
    assert shown == listed
    assert f"{name}\t{value}\n" in projects(folder, "show", "new").out
    unset = projects(folder, "set", "new", option, "none")
    assert f"{name}\t{UNSET.get(name, 'none')}\n" in unset.out
    assert projects(folder, "ls").out == "acme\nnew\n"


def test_setting_one_leaves_the_others(folder: Path) -> None:
    projects(folder, "set", "acme", "--max-concurrent", "4", "--upstreams", "a")
    (row,) = projects(folder, "set", "acme", "--upstreams", "b", "--json").rows()
    assert (row["max_concurrent"], row["upstreams"]) == (4, ["b"])
