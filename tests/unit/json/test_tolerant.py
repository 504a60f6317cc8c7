"""What cannot be read is nothing, and never an error."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct
from support.jsontexts import ObjectText, objects

from chatkeep.core.json import spans, tolerant
from chatkeep.core.json.tolerant import typed

DEEP = b"[" * 100_000


class _Named(Struct):
    name: str = ""


_NAMED = msgspec.json.Decoder(_Named)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b'{"name":7}', b'{"name":"\\ud83d"}', b'{"x":"\xff"}', b'{"x":1E400', DEEP],
)
def test_what_the_decoder_refuses_is_read_otherwise(text: bytes) -> None:
    assert typed(_NAMED, text, len) == len(text)


def test_what_the_decoder_reads_is_not_read_otherwise() -> None:
    assert typed(_NAMED, b'{"x":[],"name":"a"}', len) == _Named("a")
    assert typed(_NAMED, Raw(b'{"name":"a"}'), len) == _Named("a")


@pytest.mark.parametrize("text", [b"", b"x", b"NaN", b"\xff", DEEP])
def test_what_is_no_json_is_nothing(text: bytes) -> None:
    found: tuple[Any, ...] = (
        tolerant.fields(text),
        tolerant.elements(text),
        tolerant.value(text),
    )
    assert found == ({}, [], None)


@given(objects() | st.just(ObjectText(b"{}", [])))
def test_what_is_json_is_read_as_it_is(given: ObjectText) -> None:
    assert tolerant.fields(given.text) == spans.fields(given.text)
    assert tolerant.value(given.text) == spans.loads(given.text)
    assert tolerant.elements(b"[%b]" % given.text) == spans.elements(b"[%b]" % given.text)
