"""Reads the named blocks of a `.sql` file: `-- name: insert_row`, a comment line, the statement."""

import re
from importlib.resources import files

_BLOCK = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def blocks(package: str, file: str) -> dict[str, str]:
    text = files(package).joinpath(file).read_text()
    return {name: statement.strip() for name, statement in _BLOCK.findall(text)}


def migrations(package: str) -> list[str]:
    """The migration scripts of a dialect, the first making version 1."""
    found = [entry for entry in files(package).iterdir() if re.match(r"\d{4}_", entry.name)]
    return [entry.read_text() for entry in sorted(found, key=lambda entry: entry.name)]
