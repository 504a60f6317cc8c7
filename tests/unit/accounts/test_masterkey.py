"""The key an operator gives: what is refused, and that nothing is said of it."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.accounts import masterkey
from chatkeep.errors import BadSetting

GOOD = "c0ffee11" + "0123456789abcdef" * 3 + "8badf00d"


@pytest.mark.parametrize(
    "text",
    ["", "secret", "g" * 64, GOOD[:-1], GOOD + "0", GOOD[:-2] + " 0", "0x" + GOOD, "é" * 64],
)
def test_what_is_not_64_hex_digits_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(BadSetting, match=r"encryption_key_file .*64 hex.*new-key") as refused:
        masterkey.parsed(text, "encryption_key_file")
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("text", ["0" * 64, "ab" * 32, "0123456789abcdef" * 4])
def test_what_nobody_drew_by_lot_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match=r"not random.*new-key") as refused:
        masterkey.parsed(text, "encryption_key")
    assert text not in str(refused.value)


@given(st.text())
def test_any_text_is_a_key_or_refused_unseen(text: str) -> None:
    said = ""
    try:
        assert len(masterkey.parsed(text, "it")) == 32
    except BadSetting as refused:
        said = str(refused)
    assert len(text) < 9 or text not in said


def test_a_new_key_is_one() -> None:
    text = masterkey.new(secrets.token_bytes)
    assert masterkey.parsed(f"{text.upper()}\n", "it") == bytes.fromhex(text)
