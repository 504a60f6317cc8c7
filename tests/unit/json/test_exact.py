"""JSON that comes out as it went in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.json import exact

DEEP = 100_000


def again(text: bytes) -> bytes:
    value = exact.loads(text)
    assert value is not None
    return exact.dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[DONE]",
        b"[]",
        b"null",
        b'"{}"',
        b"{",
        b"{} {}",
        b'{"a":01}',
        b'{"a":NaN}',
        b'{"a":-Infinity,"b":-0}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\xbd"}',
        b'{"a":"\x01"}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_object_is_none(text: bytes) -> None:
    assert exact.loads(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b'{"a":"\\ud83d","b":' + b'{"a":' * 900 + b"1" + b"}" * 901,
    ],
    ids=["objects", "arrays", "just too deep", "with a lone surrogate"],
)
def test_what_is_nested_too_deep_is_none(text: bytes) -> None:
    assert exact.loads(text) is None


def test_many_brackets_are_not_depth() -> None:
    text = b'{"a":[' + b",".join([b"[{}]"] * 200) + b"]}"
    assert again(text) == text


LONG = "9" * 5000
WRITTEN = [
    "1e3",
    "-0",
    "-0.0",
    "-0e1",
    "1E400",
    "1E+2",
    "0.10",
    "1.0",
    "18446744073709551616",
    "-9223372036854775809",
]


@pytest.mark.parametrize("number", [*WRITTEN, LONG, "-" + LONG[:4300]], ids=lambda text: text[:20])
def test_a_number_stays_as_written(number: str) -> None:
    text = f'{{"a":[{number},{{"b":{number}}}]}}'.encode()
    assert again(text) == text


def test_a_number_stays_as_written_beside_a_lone_surrogate() -> None:
    text = b'{"a":[1e3,-0,1E400,0.10,true,null,12],"b":"\\ud83d"}'
    assert again(text) == text


def test_a_lone_surrogate_stays_an_escape_and_other_letters_stay_letters() -> None:
    text = b'{"k\\ude00":["a\\ud83d\xc3\xa9\\n\\"","\xf0\x9f\x98\x80"]}'
    assert again(text) == text


def test_the_halves_of_a_pair_that_meet_become_one_character() -> None:
    assert exact.dumps({"a": "\ud83d" + "\ude00"}) == '{"a":"😀"}'.encode()


@pytest.mark.parametrize(
    ("number", "read"),
    [("0.25", 0.25), ("1E400", float("inf")), ("7", 7), (LONG, float("inf"))],
    ids=["fraction", "beyond a double", "integer", "beyond Python's digits"],
)
def test_numbers_can_be_had_as_python_has_them(number: str, read: float) -> None:
    value = exact.loads(f'{{"a":{number}}}'.encode())
    assert exact.with_python_numbers(value) == {"a": read}


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
strings = st.text(st.characters())  # lone surrogates too
values = st.recursive(st.none() | st.booleans() | numbers | strings, grown, max_leaves=20)


@given(st.dictionaries(st.text(), values, max_size=4), st.booleans())
def test_any_object_means_the_same_again(value: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "backslashreplace")
    assert json.loads(again(text)) == json.loads(text)
