"""`chatkeep verify`: whether all that is kept can be read and fits together."""

import json
from pathlib import Path

import click

from chatkeep.cli import options
from chatkeep.cli.failures import FAILED


@click.command()
@options.store
@options.config
@options.json_output
def verify(store: str | None, config: Path | None, json_output: bool) -> None:
    """Read every completion and index of a store, and print what is wrong."""
    from chatkeep.settings import encryption_key, load
    from chatkeep.store import verifying

    settings = load({"store": store}, file=config)
    found = 0
    with verifying(settings.store, encryption_key(settings)) as inspection:
        for fault in inspection.faults():
            found += 1
            click.echo(json.dumps({"fault": fault}) if json_output else fault)
    click.echo(_summary(inspection.checked, found), err=True)
    if found:
        click.get_current_context().exit(FAILED)


def _summary(checked: int, found: int) -> str:
    completions = "1 completion" if checked == 1 else f"{checked:,} completions"
    faults = {0: "no faults", 1: "1 fault"}.get(found, f"{found:,} faults")
    return f"{completions} checked, {faults}"
