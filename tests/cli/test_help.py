"""Help is there for every command and option, and is told before anything heavy is loaded."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cli.shell import chatkeep, python
from click.testing import CliRunner

from chatkeep import __version__
from chatkeep.cli import main

HEAVY = ["apsw", "httptools", "prometheus_client", "starlette", "uvicorn", "uvloop", "xllamacpp"]
# Each help as its own command prints it, and what has been loaded by then.
ASK_FOR_HELP = """
import contextlib, json, sys
from chatkeep.cli import main
for path in json.loads(sys.argv[1]):
    with contextlib.suppress(SystemExit):
        main([*path, "--help"], "chatkeep")
print(json.dumps([name for name in json.loads(sys.argv[2]) if name in sys.modules]))
"""


def commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


ALL = dict(commands())


@pytest.mark.parametrize(
    "arguments", [["sevre"], ["keys", "lst"], ["--verison"], ["keys", "ls", "more"]], ids=" ".join
)
def test_what_is_no_command_or_option_is_wrong_usage(arguments: list[str]) -> None:
    ended = CliRunner().invoke(main, arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert arguments[-1] in ended.stderr
    assert "--help" in ended.stderr


def test_no_command_is_wrong_usage_and_help() -> None:
    ended = CliRunner().invoke(main, [])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "Usage: " in ended.stderr
    assert "serve" in ended.stderr


@pytest.mark.parametrize("path", [path for path in ALL if path], ids=" ".join)
def test_every_command_and_option_says_what_it_is(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert command.help
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    ended = python(tmp_path, ASK_FOR_HELP, json.dumps(list(ALL)), json.dumps(HEAVY))
    *said, loaded = ended.out.splitlines()
    assert sum(line.startswith("Usage: chatkeep ") for line in said) == len(ALL)
    assert json.loads(loaded) == []


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert chatkeep(tmp_path, "--version") == (0, f"chatkeep, version {__version__}\n", "")
