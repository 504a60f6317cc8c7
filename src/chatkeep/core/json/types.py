"""The words OpenAI's error texts use for JSON types (CONTRACT.md §3)."""

from typing import Any, TypeVar

from chatkeep.errors import InvalidType

T = TypeVar("T")


def type_word(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case list():
            return "an array"
        case _:
            return "an object"


def expect(param: str, value: Any, wanted: type[T], expected: str) -> T:
    """The value when it has the type; a boolean is no integer here. Raises InvalidType."""
    if type(value) is not wanted:
        raise InvalidType(param, expected=expected, got=type_word(value))
    return value
