"""Query parameters as a table: what reads each, its JSON schema and its sentence."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from chatkeep.core.json.types import type_word
from chatkeep.core.model.completion import Metadata
from chatkeep.core.wire import metadata
from chatkeep.errors import (
    DuplicateParameter,
    IntegerAboveMax,
    IntegerBelowMin,
    InvalidType,
    UnknownParameter,
)

Pairs = Iterable[tuple[str, str]]
Parameter = Literal[
    "model",
    "status",
    "finish_reason",
    "upstream",
    "key",
    "metadata",
    "q",
    "created_after",
    "created_before",
    "after",
    "limit",
    "order",
    "project",
]

_INTEGER = re.compile(r"-?\d{1,400}", re.ASCII)
_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)


class Filter(NamedTuple):
    """One query parameter: its name, what reads it, its JSON schema and its sentence."""

    name: Parameter | Literal["group", "outcome", "values_of"]
    read: Callable[[str, str], Any]
    schema: dict[str, Any]
    says: str


def text(name: str, value: str) -> str:
    metadata.check_characters(name, value, "a text")
    return value


def integer(name: str, value: str) -> int:
    if not _INTEGER.fullmatch(value):
        got = "a decimal number" if _is_decimal(value) else type_word(value)
        raise InvalidType(name, expected="an integer", got=got)
    return int(value)


def _is_decimal(value: str) -> bool:
    return re.fullmatch(r"-?\d+\.\d+", value, re.ASCII) is not None


def integer_up_to(bound: int, name: str, value: str) -> int:
    number = integer(name, value)
    if number < 0:
        raise IntegerBelowMin(name, bound=0, got=number)
    if number > bound:
        raise IntegerAboveMax(name, bound=bound, got=number)
    return number


def object_schema(table: Iterable[Filter]) -> dict[str, Any]:
    """The JSON schema of an object whose members are these parameters."""
    members = {entry.name: {**entry.schema, "description": entry.says} for entry in table}
    return {"properties": members, "additionalProperties": False}


def rows(table: Sequence[Filter], *names: Parameter) -> list[Filter]:
    """The rows of these names, for another table."""
    return [entry for entry in table if entry.name in names]


def read(table: Sequence[Filter], pairs: Pairs) -> dict[str, Any]:
    """The values by name; the same errors."""
    known = {entry.name: entry for entry in table}
    found: dict[str, Any] = {}
    wanted: Metadata = {}
    for name, value in pairs:
        bracketed = _METADATA.fullmatch(name)
        if bracketed and "metadata" in known:
            if bracketed[1] in wanted:
                raise DuplicateParameter(name)
            wanted[bracketed[1]] = value
        elif name == "metadata" and name in known:
            raise InvalidType(name, expected="a metadata object", got=type_word(value))
        elif name not in known:
            raise UnknownParameter(name, hint=did_you_mean(name, known))
        elif name in found:
            raise DuplicateParameter(name)
        else:
            found[name] = known[name].read(name, value)
    if wanted:
        found["metadata"] = metadata.checked(wanted)
    return found


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """OpenAI's hint for a name near known ones, empty when none is near."""
    near = [f"'{other}'" for other in sorted(difflib.get_close_matches(name, list(known), n=2))]
    return f" Did you mean {' or '.join(near)}?" if near else ""
