"""`chatkeep rm`: deletes what filters find, also while a server serves the store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from chatkeep.cli import accounts as opened
from chatkeep.cli import asking, options
from chatkeep.cli.keys import FIRST_PROJECT
from chatkeep.cli.upstreams import SOME_FAILED
from chatkeep.core.accounts.administration import Administration
from chatkeep.core.accounts.authority import OPERATOR
from chatkeep.core.model.completion import Project, Query
from chatkeep.core.model.ids import Seq
from chatkeep.core.ports.records import Counted, Records
from chatkeep.core.ports.store import Store
from chatkeep.core.records import bulk
from chatkeep.core.records.bulk import Outcome
from chatkeep.core.records.completions import Completions
from chatkeep.core.records.filters import ListRequest, list_request
from chatkeep.core.wire.query import Filter
from chatkeep.errors import Refusal

F = TypeVar("F", bound=Callable[..., Any])
_SAYS = {"string": "TEXT", "integer": "NUMBER", "object": "KEY=VALUE"}


def _filters(command: F) -> F:
    """An option for each filter."""
    for entry in reversed(bulk.FILTERS):
        option = click.option(
            f"--{entry.name.replace('_', '-')}",
            entry.name,
            metavar=_metavar(entry),
            multiple=entry.name == "metadata",
            help=_help(entry),
        )
        command = option(command)
    return command


def _metavar(entry: Filter) -> str:
    return "|".join(entry.schema.get("enum", [_SAYS[entry.schema["type"]]]))


def _help(entry: Filter) -> str:
    return entry.says.replace("written metadata[key]=value", "and may be given several times")


@click.command()
@click.option("--project", default=FIRST_PROJECT, show_default=True, help="Of this project.")
@_filters
@click.option("--all", "every", is_flag=True, help="All completions of the project.")
@options.yes
@options.store
@options.config
@options.json_output
def rm(
    project: str,
    every: bool,
    yes: bool,
    store: str | None,
    config: Path | None,
    json_output: bool,
    **given: Any,
) -> None:
    """Delete the completions that all filters find, for good."""
    asked = _asked(given)
    if every is (asked != ListRequest(Query())):
        raise click.UsageError("give a filter, like --model NAME, or --all, and not both")

    async def act(accounts: Administration, store: Store) -> Outcome:
        found = await accounts.project(OPERATOR, project)
        query = await _until_now(store, found, await Completions(store).query(found, asked))
        counted = await bulk.count(store, found, query)
        if counted.matched:
            what = f"delete {_shown(counted)} of project {project} for good"
            asking.confirm(what, yes=yes)
        return await bulk.run(store, found, query, bulk.deleting(store, found), lambda: False)

    _tell(opened.using(store, config, act), json_output)


def _asked(given: dict[str, Any]) -> ListRequest:
    pairs = [(name, text) for name, text in given.items() if isinstance(text, str)]
    for pair in given["metadata"]:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--metadata is {pair!r}; give KEY=VALUE")
        pairs.append((f"metadata[{key}]", value))
    try:
        return list_request(pairs, bulk.FILTERS)
    except Refusal as refusal:
        raise click.UsageError(refusal.message) from refusal


async def _until_now(records: Records, project: Project, query: Query) -> Query:
    """Leaves out what arrives while somebody is asked."""
    page = await records.page(project, msgspec.structs.replace(query, limit=1))
    if not page.items:
        return query
    return msgspec.structs.replace(query, after=Seq(page.items[0].row.seq + 1))


def _tell(outcome: Outcome, json_output: bool) -> None:
    if json_output:
        said = {"deleted": outcome.done, "complete": outcome.complete, "error": outcome.stopped_by}
        click.echo(json.dumps(said))
    else:
        click.echo(f"deleted {_completions(outcome.done)}", err=True)
    if not outcome.complete:
        if not json_output:
            click.echo(f"stopped before the end: {outcome.stopped_by}; repeat it", err=True)
        click.get_current_context().exit(SOME_FAILED)


def _shown(counted: Counted) -> str:
    least = "" if counted.complete else "at least "
    return least + _completions(counted.matched)


def _completions(number: int) -> str:
    return f"{number:,} completion{'' if number == 1 else 's'}"
