"""The query string of a list, as one table of parameters (CONTRACT.md §1.3, DESIGN.md §2)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from chatkeep.core.model.completion import STATUSES, KeyId, Order, Query, Status
from chatkeep.core.wire.query import Filter, Pairs, integer, integer_up_to, read, text
from chatkeep.errors import InvalidValue, StringTooLong

MAX_LIMIT = 100
MAX_SEARCH = 512
DEFAULT_LIMIT = Query().limit
_MAX_INTEGER = (1 << 63) - 1  # what a database column holds


def _search(name: str, value: str) -> str:
    if len(value) > MAX_SEARCH:
        raise StringTooLong(name, bound=MAX_SEARCH, got=len(value))
    return text(name, value)


def _limit(name: str, value: str) -> int:
    return integer_up_to(MAX_LIMIT, name, value)


def _key(name: str, value: str) -> KeyId:
    return KeyId(integer_up_to(_MAX_INTEGER, name, value))


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
        text,
        {"type": "string"},
        "Completions of exactly this model, as the upstream named it in its answer.",
    ),
    Filter(
        "metadata",
        text,
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
        integer,
        {"type": "integer"},
        "Completions that arrived at this unix second or later.",
    ),
    Filter(
        "created_before",
        integer,
        {"type": "integer"},
        "Completions that arrived at this unix second or earlier.",
    ),
    Filter(
        "after",
        text,
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
RECORDS: tuple[Filter, ...] = (
    *LIST,
    Filter(
        "status",
        _status,
        {"type": "string", "enum": list(STATUSES)},
        "Completions that ended so: complete, partial (cut off here) or failed_midstream.",
    ),
    Filter(
        "finish_reason",
        text,
        {"type": "string"},
        "Completions whose first choice ended with exactly this reason.",
    ),
    Filter(
        "upstream",
        text,
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
        text,
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


CONVERSATION: tuple[Filter, ...] = (
    *(entry for entry in LIST if entry.name in ("after", "limit")),
    Filter(
        "order",
        _order,
        {"type": "string", "enum": ["asc", "desc"], "default": "asc"},
        "Oldest first (asc) or newest first (desc).",
    ),
)


class ListRequest(NamedTuple):
    """What a list is asked for. `after` is the id that was sent, to be looked up for the query."""

    query: Query
    after: str | None = None


class MessageQuery(Struct, frozen=True):
    after: str | None = None
    limit: int = DEFAULT_LIMIT
    order: Order = "asc"


def list_request(pairs: Pairs, table: Sequence[Filter] = LIST) -> ListRequest:
    """Raises UnknownParameter, DuplicateParameter and what the values are refused with."""
    return requested(read(table, pairs))


def requested(values: dict[str, Any]) -> ListRequest:
    """The same of values that have been read, by the names of their filters."""
    after = values.pop("after", None)
    return ListRequest(Query(**values), after)


def conversation_query(pairs: Pairs) -> MessageQuery:
    return MessageQuery(**read(CONVERSATION, pairs))


def message_query(pairs: Pairs) -> MessageQuery:
    return MessageQuery(**read(MESSAGES, pairs))
