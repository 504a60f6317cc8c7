"""What passes the cipher of a plain store stays as it is, and nothing plain passes for sealed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding.body import Codec, Remnant
from chatkeep.store.encoding.cipher import PLAIN, SEALED, is_sealed

HERE = ("body", 1, 2)
CODEC = Codec()


def test_what_is_sealed_is_refused_where_nothing_is() -> None:
    with pytest.raises(RecordCorrupt, match="encrypted"):
        PLAIN.open(HERE, SEALED + b"whatever")


@given(st.binary())
def test_what_is_plain_stays_as_it_is(content: bytes) -> None:
    assert PLAIN.seal(HERE, content) == content
    assert is_sealed(content) or PLAIN.open(HERE, content) == content


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_791, 65_792, 70_000, 200_000])
@pytest.mark.parametrize("byte", [b"a", SEALED])
def test_no_shared_text_looks_sealed(size: int, byte: bytes) -> None:
    assert not is_sealed(CODEC.shared(byte * size))


def test_no_body_looks_sealed() -> None:
    assert not is_sealed(CODEC.body(Remnant(1, 2, [b"x"], [], [], {})))
