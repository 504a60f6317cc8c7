"""Runs commands as a user would, and reads what `serve` says when it is ready."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from support.patience import PATIENCE_S
from support.server import CHATKEEP, ServerProcess

SECRET = re.compile(r"sk-ck-[0-9A-Za-z]{43}")
NEW_KEY_SERVE = f"env -u CHATKEEP_KEY {shlex.join(CHATKEEP)} serve --port 0"


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def rows(self) -> list[Any]:
        """The results of a command that was run with --json."""
        return [json.loads(line) for line in self.out.splitlines()]

    def refusal(self) -> str:
        """The message of a command that failed: one line on stderr, and nothing else anywhere."""
        assert self.out == "", self
        assert self.err.startswith("Error: "), self
        assert self.err.count("\n") == 1, self
        return self.err.removeprefix("Error: ").rstrip("\n")

    def json_refusal(self) -> str:
        """The same of a command that was run with --json."""
        assert self.out == "", self
        assert self.err.count("\n") == 1, self
        message = json.loads(self.err)["error"]["message"]
        assert isinstance(message, str)
        return message


def environment(folder: Path) -> dict[str, str]:
    """No setting of the developer's own, and the folder as the user's data directory."""
    ours = ("OPENAI_", "CHATKEEP_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"XDG_DATA_HOME": str(folder)}


def run(folder: Path, *command: str, stdin: str = "", **settings: str) -> Ended:
    """Runs it in the folder to its end."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder) | settings,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def chatkeep(folder: Path, *arguments: str, **settings: str) -> Ended:
    return run(folder, *CHATKEEP, *arguments, **settings)


def python(folder: Path, script: str, *arguments: str, **settings: str) -> Ended:
    return run(folder, sys.executable, "-", *arguments, stdin=script, **settings)


def typed(line: str) -> Sequence[str]:
    """For `ServerProcess`: runs this line, and drops the arguments it adds to each command."""
    return ("bash", "-c", f"exec {line}", "bash")


class Banner(NamedTuple):
    """What `serve` said: its rows by name, and the two examples as they stand there."""

    rows: dict[str, str]
    curl: str
    python: str


_SAID = re.compile(
    r"chatkeep [\d.]+\n(?P<rows>(?:  .+\n)+)\n"
    r"With curl:\n(?P<curl>(?:.+\n)+)\n"
    r"With Python:\n(?P<python>(?:.+\n)+)\n"
)


async def banner(server: ServerProcess) -> Banner:
    """Waits until all of it has come through the pipe."""
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as http:
        for _ in range(1000):
            if said := _SAID.match(server.stdout):
                return Banner(_rows(said["rows"]), said["curl"], said["python"])
            await http.get("/healthz")
    raise AssertionError(f"this is no banner:\n{server.stdout}")


def _rows(text: str) -> dict[str, str]:
    return {line[2:11].strip(): line[12:] for line in text.splitlines()}
