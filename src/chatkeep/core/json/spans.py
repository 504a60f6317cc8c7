"""Where the parts of a JSON text lie in its bytes, so that they can be kept, cut and replaced
without touching any other byte.

msgspec checks the text and gives the length of each part at C speed; where it refuses what JSON
allows (a lone surrogate escape) the standard library's scanner takes over.
"""

import json
import math
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from chatkeep.errors import NestedTooDeep, NotJson, TooManyProperties

MAX_MEMBERS = 10_000  # each costs some microseconds: a body of nothing else would stop all calls

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder()
_SPACE = re.compile(rb"[ \t\n\r]*")
_TEXT_SPACE = re.compile(r"[ \t\n\r]*")
# Possessive, or a long key would cost memory for every way back.
_KEY = re.compile(rb'"((?:[^"\\]++|\\.)*+)"[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_NEXT = re.compile(rb"[ \t\n\r]*([,}\]])[ \t\n\r]*")


class Member(NamedTuple):
    """One `"key": value` of an object: offsets of the key's quote, the value and its end."""

    key: str
    start: int
    value: int
    end: int


Edit = tuple[int, int, bytes]  # replace the bytes from start to end


def members(text: bytes) -> list[Member]:
    """The members of a JSON object in their order, duplicates included.

    Raises NotJson when the text is not one JSON object, NestedTooDeep when it is too deep,
    TooManyProperties.
    """
    check_utf8(text)
    try:
        values = _OBJECT.decode(text)
    except RecursionError as error:
        raise NestedTooDeep from error
    except msgspec.DecodeError:
        return _Scanner(text).members(MAX_MEMBERS)
    if len(values) > MAX_MEMBERS:
        raise _too_many(len(values))
    found = _walk(text, values)
    return _Scanner(text).members(MAX_MEMBERS) if found is None else found


def fields(text: bytes) -> dict[str, bytes]:
    """The values of a JSON object by key, the last of a repeated key; the same errors."""
    check_utf8(text)
    try:
        values = _OBJECT.decode(text)
    except RecursionError as error:
        raise NestedTooDeep from error
    except msgspec.DecodeError:
        return {m.key: text[m.value : m.end] for m in _Scanner(text).members(MAX_MEMBERS)}
    if len(values) > MAX_MEMBERS:
        raise _too_many(len(values))
    return {key: bytes(value) for key, value in values.items()}


def elements(text: bytes) -> list[bytes]:
    """The elements of a JSON array; the same errors."""
    check_utf8(text)
    try:
        return [bytes(value) for value in _ARRAY.decode(text)]
    except RecursionError as error:
        raise NestedTooDeep from error
    except msgspec.DecodeError:
        return _Scanner(text).elements()


def loads(text: bytes) -> Any:
    """The value of a JSON text; strings may hold lone surrogates. The same errors."""
    check_utf8(text)
    try:
        return _ANY.decode(text)
    except RecursionError as error:
        raise NestedTooDeep from error
    except msgspec.DecodeError:
        return _Scanner(text).value()


def dumps(value: object) -> bytes:
    """The JSON text of a value; lone surrogates are written as escapes."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def edited(text: bytes, edits: Iterable[Edit]) -> bytes:
    """The text with each span replaced; spans may not overlap."""
    parts: list[bytes] = []
    at = 0
    for start, end, new in sorted(edits):
        parts += (text[at:start], new)
        at = end
    parts.append(text[at:])
    return b"".join(parts)


def cut(found: list[Member], unwanted: frozenset[str]) -> list[Edit]:
    """The edits that remove all members of these names with their commas."""
    kept = [member for member in found if member.key not in unwanted]
    if not kept:
        return [(found[0].start, found[-1].end, b"")] if found else []
    edits: list[Edit] = []
    for member, after in pairwise(found):
        if member.key in unwanted and member.start < kept[-1].start:
            edits.append((member.start, after.start, b""))
    edits.append((kept[-1].end, found[-1].end, b""))
    return edits


def check_utf8(text: bytes) -> None:
    """Raises NotJson; msgspec lets invalid UTF-8 through inside Raw."""
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise NotJson from error


def _after_opening(text: bytes) -> int:
    opening = _SPACE.match(text).end()  # type: ignore[union-attr]  # matches the empty string too
    return _SPACE.match(text, opening + 1).end()  # type: ignore[union-attr]


def _walk(text: bytes, values: dict[str, msgspec.Raw]) -> list[Member] | None:
    """Members by the lengths of their decoded values; None when a key stands twice.

    `values` holds only the last value of a key, so an earlier one shows as a mismatch here.
    """
    found: list[Member] = []
    at = _after_opening(text)
    for key, value in values.items():
        start = at
        raw = bytes(value)
        usual = b'"%b":%b' % (key.encode(), raw)
        if text.startswith(usual, at):
            end = at + len(usual)
            at = end - len(raw)
        else:
            at = _value_of(text, start, key)
            end = at + len(raw)
            if at < 0 or not text.startswith(raw, at):
                return None
        found.append(Member(key, start, at, end))
        if text[end : end + 2] == b',"':  # as nearly every client writes it
            at = end + 1
        elif (after := _NEXT.match(text, end)) is not None:
            at = after.end()
        else:
            return None
    # Only the brace that closes the object has nothing but space behind it.
    return found if not found or at == len(text) else None


def _value_of(text: bytes, at: int, key: str) -> int:
    """Where the value of the member at this place begins, -1 when its key is another one."""
    name = _KEY.match(text, at)
    return name.end() if name is not None and _named(name[1], key) else -1


def _named(raw: bytes, key: str) -> bool:
    return raw == key.encode() or b"\\" in raw


def _too_many(got: int) -> TooManyProperties:
    return TooManyProperties("body", bound=MAX_MEMBERS, got=got)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class _Scanner:
    """The same spans by the standard library's scanner, which accepts lone surrogate escapes."""

    # Numbers stay text: nobody needs their value here, and a million digits cost nothing.
    _decoder = json.JSONDecoder(
        parse_constant=_refuse_constant, parse_float=float, parse_int=lambda text: _integer(text)
    )

    def __init__(self, text: bytes) -> None:
        try:
            self.text = text.decode()
        except UnicodeDecodeError as error:
            raise NotJson from error
        self.ascii = text.isascii()

    def members(self, most: float = math.inf) -> list[Member]:
        found: list[Member] = []
        at = self._open("{")
        while self._peek(at) != "}":
            start = at
            if self._peek(at) != '"':
                raise NotJson
            key, at = self._scan(at)
            at = self._expect(self._skip(at), ":")
            value = at
            _, end = self._scan(at)
            found.append(Member(key, start, value, end))
            if len(found) > most:
                raise _too_many(len(found))
            at = self._separator(end, "}")
        self._close(at)
        return found if self.ascii else self._in_bytes(found)

    def elements(self) -> list[bytes]:
        found: list[bytes] = []
        at = self._open("[")
        while self._peek(at) != "]":
            _, end = self._scan(at)
            found.append(self.text[at:end].encode())
            at = self._separator(end, "]")
        self._close(at)
        return found

    def value(self) -> Any:
        value, end = self._scan(self._skip(0))
        self._close(end - 1)
        return value

    def _scan(self, at: int) -> tuple[Any, int]:
        try:
            return self._decoder.raw_decode(self.text, at)
        except RecursionError as error:
            raise NestedTooDeep from error
        except ValueError as error:
            raise NotJson from error

    def _open(self, bracket: str) -> int:
        return self._expect(self._skip(0), bracket)

    def _expect(self, at: int, character: str) -> int:
        if self._peek(at) != character:
            raise NotJson
        return self._skip(at + 1)

    def _separator(self, at: int, closing: str) -> int:
        at = self._skip(at)
        if self._peek(at) == closing:
            return at
        at = self._expect(at, ",")
        if self._peek(at) == closing:
            raise NotJson
        return at

    def _close(self, at: int) -> None:
        if self._skip(at + 1) != len(self.text):
            raise NotJson

    def _peek(self, at: int) -> str:
        return self.text[at : at + 1]

    def _skip(self, at: int) -> int:
        return _TEXT_SPACE.match(self.text, at).end()  # type: ignore[union-attr]  # may be empty

    def _in_bytes(self, found: list[Member]) -> list[Member]:
        """The members with offsets into the bytes instead of the characters."""
        moved = []
        at = offset = 0
        for member in found:
            places = []
            for place in member[1:]:  # in rising order, so each byte is counted once
                offset += len(self.text[at:place].encode())
                at = place
                places.append(offset)
            moved.append(Member(member.key, *places))
        return moved


def _integer(text: str) -> int | float:
    # int() refuses thousands of digits; a number that long is only ever carried, never counted.
    return int(text) if len(text) < 400 else float("inf")
