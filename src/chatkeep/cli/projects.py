"""`chatkeep projects`: add, list, show and set, also while a server serves the store."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from chatkeep.cli import accounts as opened
from chatkeep.cli import asking, options
from chatkeep.core.accounts.administration import Administration
from chatkeep.core.accounts.authority import OPERATOR
from chatkeep.core.accounts.projects import SETTINGS, changed, described, parsed, shorter
from chatkeep.core.model.completion import Project
from chatkeep.core.ports.store import Store

F = TypeVar("F", bound=Callable[..., Any])

_KEPT = {"retain_days": "completions", "retain_body_days": "requests and answers"}
_SAYS = {"boolean": "true|false", "integer": "NUMBER", "array": "NAME,NAME"}


def _settings(command: F) -> F:
    """An option for each setting of a project."""
    for setting in reversed(SETTINGS):
        option = click.option(
            f"--{setting.name.replace('_', '-')}",
            setting.name,
            metavar=_SAYS[setting.kind.schema["type"][0]],
            help=setting.says,
        )
        command = option(command)
    return command


@click.group()
def projects() -> None:
    """Projects and their settings: add, ls, show, set."""


@projects.command()
@click.argument("name")
@_settings
@options.store
@options.config
@options.json_output
def add(
    name: str, store: str | None, config: Path | None, json_output: bool, **given: str | None
) -> None:
    """Add a project."""
    values = {"name": name, **_values(given)}
    made = opened.using(
        store, config, lambda accounts, _: accounts.create_project(OPERATOR, values), create=True
    )
    if json_output:
        click.echo(json.dumps(described(made)))
    else:
        click.echo(f"added project {made.name}", err=True)


@projects.command("ls")
@options.store
@options.config
@options.json_output
def list_projects(store: str | None, config: Path | None, json_output: bool) -> None:
    """List projects, each with what is set for it."""
    for project in opened.using(store, config, lambda accounts, _: accounts.projects(OPERATOR)):
        if json_output:
            click.echo(json.dumps(described(project)))
        else:
            click.echo("\t".join([project.name, *_set(project)]))


@projects.command()
@click.argument("name")
@options.store
@options.config
@options.json_output
def show(name: str, store: str | None, config: Path | None, json_output: bool) -> None:
    """Show all settings of a project."""
    _show(
        opened.using(store, config, lambda accounts, _: accounts.project(OPERATOR, name)),
        json_output,
    )


@projects.command("set")
@click.argument("name")
@_settings
@options.yes
@options.store
@options.config
@options.json_output
def set_settings(
    name: str,
    yes: bool,
    store: str | None,
    config: Path | None,
    json_output: bool,
    **given: str | None,
) -> None:
    """Change settings of a project: those not given stay, none unsets one."""
    values = _values(given)
    if not values:
        raise click.UsageError("give a setting to change, like --retain-days 30")

    async def act(accounts: Administration, _: Store) -> Project:
        before = await accounts.project(OPERATOR, name)
        if sooner := shorter(before, changed(values)(before)):
            said = " and ".join(f"{_KEPT[one]} older than {values[one]} days" for one in sooner)
            asking.confirm(f"{said} of project {name} are deleted for good", yes=yes)
        return await accounts.change_project(OPERATOR, name, values)

    _show(opened.using(store, config, act), json_output)


def _values(given: Mapping[str, str | None]) -> dict[str, Any]:
    return {name: parsed(name, text) for name, text in given.items() if text is not None}


def _show(project: Project, json_output: bool) -> None:
    if json_output:
        click.echo(json.dumps(described(project)))
        return
    for name, value in described(project).items():
        if name not in ("object", "created_at"):
            click.echo(f"{name}\t{_text(value)}")


def _set(project: Project) -> list[str]:
    plain = described(Project(project.id, project.name, project.secret, project.created_unix))
    found = described(project)
    return [f"{name}={_text(found[name])}" for name in found if found[name] != plain[name]]


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value)
        case _:
            return str(value)
