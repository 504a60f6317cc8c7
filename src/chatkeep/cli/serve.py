"""`chatkeep serve`: the server, composed from the settings."""

from pathlib import Path
from typing import Any

import click

from chatkeep.cli import options


@click.command()
@click.option("--host", help="Address to listen on.  [CHATKEEP_HOST; 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on, 0 for any.  [CHATKEEP_PORT; 8787]")
@options.store
@click.option(
    "--upstream",
    "upstream_url",
    metavar="URL",
    help="Base URL of the upstream.  [CHATKEEP_UPSTREAM_URL]",
)
@click.option("--upstream-key", metavar="KEY", help="Its API key.  [CHATKEEP_UPSTREAM_KEY]")
@click.option("--root-path", help="Path a proxy serves this under.  [CHATKEEP_ROOT_PATH]")
@options.config
@click.option(
    "--no-auth",
    is_flag=True,
    default=None,
    help="Ask for no key; only on a loopback address.  [CHATKEEP_NO_AUTH]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much is logged to stderr.  [CHATKEEP_LOG_LEVEL; info]",
)
def serve(config: Path | None, **given: Any) -> None:
    """Serve the API; the first start makes a root key and prints it."""
    import uvloop

    from chatkeep.cli.server import run
    from chatkeep.settings import load
    from chatkeep.web.logs import configure

    settings = load(given, file=config)
    configure(settings.log_level)
    uvloop.run(run(settings))
