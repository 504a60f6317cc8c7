"""JSON that others wrote, read as far as it can be. Nothing here raises an error of its own."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from chatkeep.core.json import spans
from chatkeep.errors import Refusal

T = TypeVar("T")
U = TypeVar("U")
_ANY = json.JSONDecoder()
_BEFORE = "\ufeff \t\r\n"


def typed(
    decoder: "msgspec.json.Decoder[T]", text: bytes | Raw, otherwise: Callable[[bytes], U]
) -> T | U:
    """What the decoder reads in one go; what `otherwise` makes of a text that it refuses.

    It refuses odd types, lone surrogates, numbers out of range and, of bytes, invalid UTF-8. A Raw
    is a part of a text that was read before.
    """
    try:
        if type(text) is bytes:
            spans.check_utf8(text)
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, Refusal):
        return otherwise(bytes(text))


def fields(text: bytes) -> dict[str, bytes]:
    """The values of a JSON object by key, the last of a repeated key; empty for anything else."""
    try:
        return spans.fields(text)
    except Refusal:
        return {}


def elements(text: bytes) -> list[bytes]:
    """The elements of a JSON array; empty for anything else."""
    try:
        return spans.elements(text)
    except Refusal:
        return []


def value(text: bytes) -> Any:
    """The value of a JSON text; None when it cannot be read."""
    try:
        return spans.loads(text)
    except Refusal:
        return None


def is_whole(text: bytes) -> bool:
    """Whether a JSON value comes to its end in the text.

    It may be as clients read it: with NaN, a byte order mark, invalid UTF-8, and more behind it.
    """
    try:
        _ANY.raw_decode(text.decode("utf-8", "replace").lstrip(_BEFORE))
    except (ValueError, RecursionError):
        return False
    return True
