"""ETags and If-Match, as RFC 9110 words them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.wire.etag import etag_of, holds

ETAG = etag_of(b'{"k":"v"}')


@pytest.mark.parametrize(
    "if_match",
    [
        "",
        " ",
        ",",
        '""',
        '"xyzzy"',
        '"xyzzy", "r2d2xxxx", "c3piozzzz"',
        f"W/{ETAG}",
        f'"xyzzy", W/{ETAG}',
        f"W/{ETAG}, W/{ETAG}",
        ETAG.strip('"'),
        ETAG[:-2] + '"',
        ETAG.swapcase(),
        "**",
        '"*"',
        f'"{ETAG[1:-1]} "',
    ],
)
def test_a_header_without_this_very_tag_is_not_met(if_match: str) -> None:
    assert not holds(if_match, ETAG)


@pytest.mark.parametrize(
    "if_match",
    [
        "*",
        " * ",
        ETAG,
        f" {ETAG} ",
        f'"xyzzy", {ETAG}',
        f'{ETAG},"xyzzy"',
        f'W/"xyzzy",\t{ETAG} , "c3piozzzz"',
        f'"a,b", {ETAG}',
    ],
)
def test_a_header_with_this_tag_is_met(if_match: str) -> None:
    assert holds(if_match, ETAG)


@given(st.binary(), st.binary())
def test_equal_metadata_has_the_same_tag_and_other_metadata_another(
    one: bytes, other: bytes
) -> None:
    assert (etag_of(one) == etag_of(other)) == (one == other)


@given(st.binary())
def test_a_tag_is_an_entity_tag_and_meets_itself(metadata: bytes) -> None:
    tag = etag_of(metadata)
    assert re.fullmatch(r'"[\x21\x23-\x7e]+"', tag)
    assert holds(tag, tag)
