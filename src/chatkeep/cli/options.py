"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def store(command: F) -> F:
    return click.option(
        "--store", metavar="URL", help="Store URL, like sqlite:///FILE.  [CHATKEEP_STORE]"
    )(command)


def config(command: F) -> F:
    return click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Settings file; chatkeep.toml in this folder when there is one.  [CHATKEEP_CONFIG]",
    )(command)


def yes(command: F) -> F:
    return click.option("--yes", is_flag=True, help="Do it without asking.")(command)


def json_output(command: F) -> F:
    return click.option("--json", "json_output", is_flag=True, help="Print JSON.")(command)
