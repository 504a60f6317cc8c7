"""The metadata map of a completion: at most 16 pairs of strings (CONTRACT.md §1.1, §3).

Lengths count characters (code points), so that every store agrees.
"""

from typing import Annotated, Any

from msgspec import Meta

from chatkeep.core.json.types import type_word
from chatkeep.core.model.completion import Metadata
from chatkeep.errors import (
    InvalidCharacter,
    InvalidType,
    PropertyNameTooLong,
    StringTooLong,
    TooManyProperties,
)

MAX_PAIRS = 16
MAX_KEY = 64
MAX_VALUE = 512

# The limits as a type, which JSON schemas are made of.
Limited = Annotated[
    dict[Annotated[str, Meta(max_length=MAX_KEY)], Annotated[str, Meta(max_length=MAX_VALUE)]],
    Meta(
        max_length=MAX_PAIRS,
        description=f"At most {MAX_PAIRS} pairs; keys up to {MAX_KEY} characters, values up to"
        f" {MAX_VALUE}.",
    ),
]
LimitedPatch = Annotated[
    dict[str, Annotated[str, Meta(max_length=MAX_VALUE)] | None],
    Meta(
        description="The pairs to set, and null for those to remove. All in all, at most"
        f" {MAX_PAIRS}."
    ),
]
Patch = dict[str, str | None]


def checked(value: Any, param: str = "metadata") -> Metadata:
    """The map a client sent, null being the empty one.

    Raises InvalidType, TooManyProperties, PropertyNameTooLong, StringTooLong, InvalidCharacter.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidType(param, expected="a metadata object", got=type_word(value))
    _check_count(param, value)
    for key, text in value.items():
        if not _is_plain(key, text):
            _check_pair(param, key, text)
    return value


def checked_patch(value: Any, param: str = "metadata") -> Patch:
    """The changes a client sent, null removing a key; the same errors."""
    if not isinstance(value, dict):
        raise InvalidType(param, expected="a metadata object", got=type_word(value))
    for key, text in value.items():
        if text is not None:
            _check_pair(param, key, text)
    return value


def merged(current: Metadata, patch: Patch, param: str = "metadata") -> Metadata:
    """The map after the changes (RFC 7396). Raises TooManyProperties."""
    every: Patch = {**current, **patch}
    new = {key: text for key, text in every.items() if text is not None}
    _check_count(param, new)
    return new


def _check_count(param: str, value: Metadata) -> None:
    if len(value) > MAX_PAIRS:
        raise TooManyProperties(param, bound=MAX_PAIRS, got=len(value))


def _is_plain(key: str, text: Any) -> bool:
    """Whether a pair is fine at first sight, as nearly all are."""
    return (
        type(text) is str
        and len(key) <= MAX_KEY
        and len(text) <= MAX_VALUE
        and (key + text).isascii()
        and "\0" not in key + text
    )


def _check_pair(of: str, key: str, text: Any) -> None:
    check_characters(of, key, "a key")
    param = f"{of}.{key}"
    if len(key) > MAX_KEY:
        raise PropertyNameTooLong(
            param, of=of, short=f"{key[:3]}...{key[-3:]}", bound=MAX_KEY, got=len(key)
        )
    if not isinstance(text, str):
        raise InvalidType(param, expected="a string", got=type_word(text))
    if len(text) > MAX_VALUE:
        raise StringTooLong(param, bound=MAX_VALUE, got=len(text))
    check_characters(param, text, "a value")


def check_characters(param: str, text: str, what: str) -> None:
    """Refuses what not every database takes, and no text means. Raises InvalidCharacter."""
    if "\0" in text:
        raise InvalidCharacter(param, what=f"{what} with the character NUL")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidCharacter(param, what=f"{what} with a lone surrogate")
