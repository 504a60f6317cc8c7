"""`chatkeep import`: completions from a file of requests and answers."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from chatkeep.cli import accounts as opened
from chatkeep.cli import options

if TYPE_CHECKING:
    from chatkeep.core.accounts.administration import Administration
    from chatkeep.core.model.completion import Project
    from chatkeep.core.ports.store import Store
    from chatkeep.core.records.importing import Importer, Refused, Tally

SOME_FAILED = 3
_SAY_EVERY_S = 0.5
_CLEAR = "\r\x1b[K"


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--project", default="default", show_default=True, help="Whose they are. Made when it is new."
)
@options.store
@options.config
@options.json_output
def import_lines(
    file: BinaryIO, project: str, store: str | None, config: Path | None, json_output: bool
) -> None:
    """Add completions from FILE, lines of requests and answers; - is stdin."""
    from chatkeep.core.records.importing import Importer, batches, lines
    from chatkeep.core.usage.prices import Prices
    from chatkeep.settings import load

    settings = load({"store": store}, file=config)
    longest = settings.max_body_bytes + settings.max_answer_bytes
    shown = _Shown(json_output)

    async def act(accounts: "Administration", kept: "Store") -> "Tally":
        into = await _project(accounts, project)
        importer = Importer(kept, into, Prices(settings.price))
        for batch in batches(lines(file, longest)):
            shown.batch(importer, await importer.add(batch))
        return importer.tally

    tally = opened.using(store, config, act, create=True)
    shown.end(tally)
    if tally.refused:
        click.get_current_context().exit(SOME_FAILED)


async def _project(accounts: "Administration", name: str) -> "Project":
    from chatkeep.core.accounts.authority import OPERATOR
    from chatkeep.errors import ProjectNotFound

    try:
        return await accounts.project(OPERATOR, name)
    except ProjectNotFound:
        return await accounts.create_project(OPERATOR, {"name": name})


class _Shown:
    """What is printed: lines that were refused, and how far it is when somebody looks."""

    def __init__(self, json_output: bool) -> None:
        self._json_output = json_output
        self._first: Refused | None = None
        self._watched = sys.stderr.isatty()
        self._began = self._said = time.monotonic()

    def batch(self, importer: "Importer", refused: "list[Refused]") -> None:
        if refused:
            self._first = self._first or refused[0]
            self._clear()
        for line, why in refused:
            one = {"line": line, "error": {"message": why}}
            click.echo(json.dumps(one) if self._json_output else f"line {line}: {why}")
        now = time.monotonic()
        if self._watched and now - self._said >= _SAY_EVERY_S:
            self._said = now
            lines = importer.tally.lines
            rate = round(lines / (now - self._began))
            click.echo(f"{_CLEAR}{lines:,} lines, {rate:,} a second", nl=False, err=True)

    def end(self, tally: "Tally") -> None:
        self._clear()
        if self._json_output:
            click.echo(json.dumps(msgspec.to_builtins(tally)))
        click.echo(_summary(tally, self._first), err=True)

    def _clear(self) -> None:
        if self._watched:
            click.echo(_CLEAR, nl=False, err=True)


def _summary(tally: "Tally", first: "Refused | None") -> str:
    said = (
        f"{tally.added:,} added, {tally.already_there:,} already there, {tally.refused:,} refused"
    )
    return said if first is None else f"{said} (line {first.line}: {first.why})"
