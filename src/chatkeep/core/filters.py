"""The query string of a list, as one table of parameters (CONTRACT.md §1.3, DESIGN.md §2)."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from chatkeep.core.json.types import type_word
from chatkeep.core.model.completion import STATUSES, KeyId, Order, Status
from chatkeep.core.wire import metadata
from chatkeep.core.wire.metadata import Metadata
from chatkeep.errors import (
    DuplicateParameter,
    IntegerAboveMax,
    IntegerBelowMin,
    InvalidType,
    InvalidValue,
    StringTooLong,
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

MAX_LIMIT = 100
MAX_SEARCH = 512
DEFAULT_LIMIT = 20
_MAX_INTEGER = (1 << 63) - 1  # what a database column holds
_INTEGER = re.compile(r"-?\d{1,400}", re.ASCII)
_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)


class Filter(NamedTuple):
    """One query parameter: its name, what reads it, its JSON schema and its sentence."""

    name: Parameter | Literal["group", "outcome", "values_of"]
    read: Callable[[str, str], Any]
    schema: dict[str, Any]
    says: str


def _text(name: str, value: str) -> str:
    metadata.check_characters(name, value, "a text")
    return value


def _search(name: str, value: str) -> str:
    if len(value) > MAX_SEARCH:
        raise StringTooLong(name, bound=MAX_SEARCH, got=len(value))
    return _text(name, value)


def _number(name: str, value: str) -> int:
    if not _INTEGER.fullmatch(value):
        got = "a decimal number" if _is_decimal(value) else type_word(value)
        raise InvalidType(name, expected="an integer", got=got)
    return int(value)


def _is_decimal(value: str) -> bool:
    return re.fullmatch(r"-?\d+\.\d+", value, re.ASCII) is not None


def _limit(name: str, value: str) -> int:
    return _number_up_to(MAX_LIMIT, name, value)


def _key(name: str, value: str) -> KeyId:
    return KeyId(_number_up_to(_MAX_INTEGER, name, value))


def _number_up_to(bound: int, name: str, value: str) -> int:
    number = _number(name, value)
    if number < 0:
        raise IntegerBelowMin(name, bound=0, got=number)
    if number > bound:
        raise IntegerAboveMax(name, bound=bound, got=number)
    return number


def _status(name: str, value: str) -> Status:
    for status in STATUSES:
        if status == value:
            return status
    supported = "Supported values are: 'complete', 'partial' and 'failed_midstream'."
    raise InvalidValue(name, got=value, expected=supported)


def _order(name: str, value: str) -> Order:
    match value:
        case "asc" | "desc":
            return value
        case _:
            raise InvalidValue(name, got=value, expected="Supported values are: 'asc' and 'desc'.")


LIST: tuple[Filter, ...] = (
    Filter(
        "model",
        _text,
        {"type": "string"},
        "Completions of exactly this model, as the upstream named it in its answer.",
    ),
    Filter(
        "metadata",
        _text,
        {"type": "object", "additionalProperties": {"type": "string"}},
        "Completions with this metadata pair, written metadata[key]=value; all of several.",
    ),
    Filter(
        "q",
        _search,
        {"type": "string", "maxLength": MAX_SEARCH},
        'Completions in which users or models said all of these words and "quoted phrases".',
    ),
    Filter(
        "created_after",
        _number,
        {"type": "integer"},
        "Completions that arrived at this unix second or later.",
    ),
    Filter(
        "created_before",
        _number,
        {"type": "integer"},
        "Completions that arrived at this unix second or earlier.",
    ),
    Filter(
        "after",
        _text,
        {"type": "string"},
        "Go on after the completion with this id, in the order asked for.",
    ),
    Filter(
        "limit",
        _limit,
        {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        "How many to return at the most.",
    ),
    Filter(
        "order",
        _order,
        {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
        "Newest first (desc) or oldest first (asc).",
    ),
)
# What /keep/v1/completions takes; OpenAI's own list takes none of these.
KEPT: tuple[Filter, ...] = (
    *LIST,
    Filter(
        "status",
        _status,
        {"type": "string", "enum": list(STATUSES)},
        "Completions that ended so: complete, partial (cut off here) or failed_midstream.",
    ),
    Filter(
        "finish_reason",
        _text,
        {"type": "string"},
        "Completions whose first choice ended with exactly this reason.",
    ),
    Filter(
        "upstream",
        _text,
        {"type": "string"},
        "Completions that the upstream of this name answered.",
    ),
    Filter(
        "key",
        _key,
        {"type": "integer", "minimum": 0, "maximum": _MAX_INTEGER},
        "Completions created with the API key of this number.",
    ),
)
MESSAGES: tuple[Filter, ...] = (
    Filter(
        "after",
        _text,
        {"type": "string"},
        "Go on after the message with this id, in the order asked for.",
    ),
    *(entry for entry in LIST if entry.name == "limit"),
    Filter(
        "order",
        _order,
        {"type": "string", "enum": ["asc", "desc"], "default": "asc"},
        "In the request's order (asc) or reversed (desc).",
    ),
)
KEYS: tuple[Filter, ...] = (
    Filter("project", _text, {"type": "string"}, "Keys of the project with this name."),
)


CONVERSATION: tuple[Filter, ...] = (
    *(entry for entry in LIST if entry.name in ("after", "limit")),
    Filter(
        "order",
        _order,
        {"type": "string", "enum": ["asc", "desc"], "default": "asc"},
        "Oldest first (asc) or newest first (desc).",
    ),
)


class ListQuery(Struct, frozen=True):
    """A list's parameters; `after` is still the id that was sent."""

    model: str | None = None
    status: Status | None = None
    finish_reason: str | None = None
    upstream: str | None = None
    key: KeyId | None = None
    metadata: Metadata = {}
    q: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    after: str | None = None
    limit: int = DEFAULT_LIMIT
    order: Order = "desc"


class MessageQuery(Struct, frozen=True):
    after: str | None = None
    limit: int = DEFAULT_LIMIT
    order: Order = "asc"


class KeyQuery(Struct, frozen=True):
    project: str | None = None


def list_query(pairs: Pairs, table: Sequence[Filter] = LIST) -> ListQuery:
    """Raises UnknownParameter, DuplicateParameter and what the values are refused with."""
    return ListQuery(**read(table, pairs))


def conversation_query(pairs: Pairs) -> MessageQuery:
    return MessageQuery(**read(CONVERSATION, pairs))


def message_query(pairs: Pairs) -> MessageQuery:
    return MessageQuery(**read(MESSAGES, pairs))


def key_query(pairs: Pairs) -> KeyQuery:
    return KeyQuery(**read(KEYS, pairs))


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
