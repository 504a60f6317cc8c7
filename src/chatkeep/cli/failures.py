"""How a command ends: one line on stderr and an exit code.

0 ok, 1 failed, 2 wrong usage, 3 some items failed, 4 not authorised, 130 interrupted.
"""

import json
import sys
from typing import Any, NoReturn

import click

from chatkeep.errors import BadSetting, Fault, Refusal, StoreEncrypted, UnusableValue

FAILED = 1
WRONG_USAGE = 2
NOT_AUTHORISED = 4
INTERRUPTED = 130
_WRONG = (BadSetting, UnusableValue)


class Failing(click.Group):
    """A group that ends every error of click's and of ours the same way."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except click.ClickException as error:
            _show(error)
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        except (Fault, Refusal) as error:
            if "--debug" in sys.argv[1:]:
                raise
            _say(str(error))
            code = _code(error)
        sys.exit(code if isinstance(code, int) else 0)


def _code(error: Fault | Refusal) -> int:
    if isinstance(error, StoreEncrypted):
        return NOT_AUTHORISED
    return WRONG_USAGE if isinstance(error, _WRONG) else FAILED


def _show(error: click.ClickException) -> None:
    if _json_asked():
        _say(error.format_message())
    else:
        error.show()


def _say(message: str) -> None:
    if _json_asked():
        click.echo(json.dumps({"error": {"message": message}}), err=True)
    else:
        click.echo(f"Error: {message}", err=True)


def _json_asked() -> bool:
    return "--json" in sys.argv[1:]
