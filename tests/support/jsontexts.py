"""JSON texts as people and programs write them, made together with what must be found in them."""

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

LONE_SURROGATE = b'"\\ud83d"'

spaces = st.sampled_from(("", "", "", "", " ", "  ", "\n", "\r\n\t "))
_ESCAPES = ('\\"', "\\\\", "\\/", "\\n", "\\u0000", "\\u00e9", "\\ud83d\\ude00", "\\ud83d")
_letters = st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters='"\\')
_pieces = st.sampled_from((*_ESCAPES, *"{}[],:é😀 \u2028")) | _letters
strings = st.lists(_pieces, max_size=4).map(lambda pieces: f'"{"".join(pieces)}"')
numbers = st.sampled_from(
    ("0", "-0", "1e3", "1E400", "-0.0", "0.10", "18446744073709551616", "-9223372036854775809")
) | st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
scalars = st.sampled_from(("null", "true", "false")) | numbers | strings


class Part(NamedTuple):
    """One member of an object: its key, and its own and its value's bytes as they stand."""

    key: str
    member: bytes
    value: bytes


class ObjectText(NamedTuple):
    text: bytes
    parts: list[Part]


class ArrayText(NamedTuple):
    text: bytes
    items: list[bytes]


@st.composite
def objects(
    draw: st.DrawFn,
    keys: st.SearchStrategy[str] = strings,
    values: st.SearchStrategy[str] = scalars,
) -> ObjectText:
    """An object with any white space; keys (JSON strings) may stand twice."""
    parts: list[Part] = []
    pieces: list[str] = []
    for key, value, one, other in draw(
        st.lists(st.tuples(keys, values, spaces, spaces), max_size=5)
    ):
        member = f"{key}{one}:{other}{value}"
        parts.append(Part(json.loads(key), member.encode(), value.encode()))
        pieces.append(f"{other}{member}{one}")
    return ObjectText(_enclosed(draw(spaces), "{", pieces, "}"), parts)


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str] = scalars) -> ArrayText:
    drawn = draw(st.lists(st.tuples(values, spaces, spaces), max_size=5))
    pieces = [f"{one}{value}{other}" for value, one, other in drawn]
    text = _enclosed(draw(spaces), "[", pieces, "]")
    return ArrayText(text, [value.encode() for value, _, _ in drawn])


def _enclosed(space: str, opening: str, pieces: list[str], closing: str) -> bytes:
    return f"{space}{opening}{','.join(pieces) or space}{closing}{space}".encode()


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    shapes = objects(values=inner) | arrays(values=inner)
    return shapes.map(lambda shape: shape.text.decode().strip())


values = st.recursive(scalars, _nested, max_leaves=4)


def standard(text: bytes) -> Any:
    """The value by the standard library. Raises ValueError for what RFC 8259 does not allow."""
    return json.loads(text.decode(), parse_constant=_refused)


def pairs(text: bytes) -> list[tuple[str, Any]]:
    """The members of an object by the standard library, in order, repeated ones included."""
    found: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=list)
    return found


def _refused(constant: str) -> Any:
    raise ValueError(constant)
