"""How a command ends: one line on stderr and an exit code.

0 ok, 1 failed, 2 wrong usage, 3 some items failed, 4 not authorised, 130 interrupted.
"""

import json
import sys
from typing import Any

import click

from chatkeep.errors import BadSetting, Fault, Refusal

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class Failing(click.Group):
    """A group whose commands may raise our own errors."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (Fault, Refusal) as error:
            if ctx.params.get("debug"):
                raise
            _say(str(error))
            ctx.exit(WRONG_USAGE if isinstance(error, BadSetting) else FAILED)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _say(message: str) -> None:
    if "--json" in sys.argv[1:]:
        click.echo(json.dumps({"error": {"message": message}}), err=True)
    else:
        click.echo(f"Error: {message}", err=True)
