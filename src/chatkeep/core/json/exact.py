"""JSON objects read and written again with every number as it stood.

`1e3`, `-0` and `1E400` come out as they went in: what is no plain integer is carried as
`msgspec.Raw`. Strings may hold lone surrogates, which msgspec refuses and JavaScript sends.
"""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

_MAX_DEPTH = 64  # merging and writing recurse
_MAX_DIGITS = 4000  # a few more, and Python neither reads nor writes the integer
_NEGATIVE_ZERO = re.compile(rb"-0(?![0-9.eE])")


def loads(data: bytes) -> dict[str, Any] | None:
    """The object; None for what is no JSON object, or one nested too deep."""
    value = _read(data)
    return value if isinstance(value, dict) and not _too_deep(value, data) else None


def dumps(value: Any) -> bytes:
    """The halves of a surrogate pair that meet become one character, lone ones stay escapes."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return _with_surrogates(value)


def with_python_numbers(value: Any) -> Any:
    return _PYTHON_NUMBERS.decode(dumps(value).decode())


def _read(data: bytes) -> Any:
    # msgspec reads the integer -0 as 0.
    if data.find(b"-0") < 0 or not _NEGATIVE_ZERO.search(data):
        try:
            return _DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    with suppress(ValueError, RecursionError):
        return _TOLERANT.decode(data.decode())
    return None


def _too_deep(value: dict[str, Any], data: bytes) -> bool:
    # Objects take five bytes a level, so most data is too short to be looked at closer.
    if len(data) <= 5 * _MAX_DEPTH or data.count(b"{") + data.count(b"[") <= _MAX_DEPTH:
        return False
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
    return bool(level)


def _children(node: dict[str, Any] | list[Any]) -> Iterable[Any]:
    members = node.values() if isinstance(node, dict) else node
    return (member for member in members if isinstance(member, dict | list))


def _with_surrogates(value: Any) -> bytes:
    if isinstance(value, dict):
        members = (_string(key) + b":" + _with_surrogates(value[key]) for key in value)
        return b"{" + b",".join(members) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(_with_surrogates, value)) + b"]"
    return _string(value) if isinstance(value, str) else msgspec.json.encode(value)


def _string(text: str) -> bytes:
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _verbatim(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


def _integer(number: str) -> int | msgspec.Raw:
    return _verbatim(number) if number == "-0" or len(number) > _MAX_DIGITS else int(number)


def _python_integer(number: str) -> int | float:
    return int(number) if len(number) <= _MAX_DIGITS else float(number)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = msgspec.json.Decoder(float_hook=_verbatim)
_TOLERANT = json.JSONDecoder(
    parse_float=_verbatim, parse_int=_integer, parse_constant=_refuse_constant
)
_PYTHON_NUMBERS = json.JSONDecoder(parse_int=_python_integer)
