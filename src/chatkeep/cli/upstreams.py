"""`chatkeep upstreams`: how each upstream answers just now."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click
import msgspec

from chatkeep.cli import options

SOME_FAILED = 3


@click.command()
@click.option(
    "--upstream",
    "upstream_url",
    metavar="URL",
    help="Base URL of the upstream.  [CHATKEEP_UPSTREAM_URL]",
)
@click.option("--upstream-key", metavar="KEY", help="Its API key.  [CHATKEEP_UPSTREAM_KEY]")
@options.config
@options.json_output
def upstreams(config: Path | None, json_output: bool, **given: Any) -> None:
    """Ask each upstream for its models, and show its health and latency."""
    from chatkeep.cli.choosing import health
    from chatkeep.settings import load

    found = asyncio.run(health(load(given, file=config)))
    for one in found:
        if json_output:
            click.echo(json.dumps(msgspec.to_builtins(one)))
        else:
            said = f"ok, {one.models} models" if one.ok else f"failed: {one.error}"
            click.echo(f"{one.upstream}\t{one.latency_ms} ms\t{said}")
    if not all(one.ok for one in found):
        click.get_current_context().exit(SOME_FAILED)
