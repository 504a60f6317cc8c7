"""The `chatkeep` command. Heavy imports stand inside the commands, so that help is instant."""

import click

from chatkeep import __version__
from chatkeep.cli.encryption import encryption
from chatkeep.cli.failures import Failing
from chatkeep.cli.importing import import_lines
from chatkeep.cli.keys import keys
from chatkeep.cli.projects import projects
from chatkeep.cli.rm import rm
from chatkeep.cli.serve import serve
from chatkeep.cli.upstreams import upstreams
from chatkeep.cli.verify import verify


@click.group(cls=Failing, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="chatkeep")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Keeps chat completions behind OpenAI's API."""


main.add_command(serve)
main.add_command(encryption)
main.add_command(import_lines)
main.add_command(keys)
main.add_command(projects)
main.add_command(rm)
main.add_command(upstreams)
main.add_command(verify)
