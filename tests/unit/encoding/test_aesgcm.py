"""What is sealed opens at its place, with its key, whole; anything else is refused."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.errors import RecordCorrupt, StoreEncrypted
from chatkeep.store.encoding.aesgcm import AesGcm, new_data_key, rewrapped, unlocked
from chatkeep.store.encoding.cipher import NO_KEY, Cipher, DataKey, Place, is_sealed

MASTER, OTHER = bytes(range(32)), bytes(range(32, 64))
ONE, TWO = b"1" * 32, b"2" * 32
HERE = ("body", 1, 77)
SEALED = AesGcm({1: ONE}, writes=1)
SAID = b"what somebody said"


@pytest.mark.parametrize("elsewhere", [("body", 1, 78), ("body", 2, 77), ("shared", 1, 77)])
def test_what_was_sealed_for_one_place_opens_at_no_other(elsewhere: Place) -> None:
    with pytest.raises(RecordCorrupt, match="not encrypted for this place"):
        SEALED.open(elsewhere, SEALED.seal(HERE, SAID))


def test_what_has_any_bit_flipped_is_refused() -> None:
    sealed = SEALED.seal(HERE, SAID)
    for at in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(RecordCorrupt):
            SEALED.open(HERE, bytes(flipped))


def test_what_is_cut_short_is_refused() -> None:
    sealed = SEALED.seal(HERE, SAID)
    for length in range(len(sealed)):
        with pytest.raises(RecordCorrupt):
            SEALED.open(HERE, sealed[:length])


def test_another_data_key_of_the_same_number_opens_nothing() -> None:
    with pytest.raises(RecordCorrupt):
        AesGcm({1: TWO}, writes=1).open(HERE, SEALED.seal(HERE, SAID))


def test_a_data_key_that_is_gone_is_named() -> None:
    with pytest.raises(RecordCorrupt, match="data key 1, which is not there"):
        AesGcm({2: TWO}, writes=2).open(HERE, SEALED.seal(HERE, SAID))


def test_what_is_plain_is_refused_where_everything_is_sealed() -> None:
    with pytest.raises(RecordCorrupt, match="not encrypted"):
        SEALED.open(HERE, SAID)


@given(st.binary(), st.integers(0, (1 << 63) - 1))
def test_what_is_sealed_comes_back(content: bytes, key: int) -> None:
    place = ("shared", 0, key)
    sealed = SEALED.seal(place, content)
    assert is_sealed(sealed)
    assert len(sealed) == len(content) + 31
    assert SEALED.open(place, sealed) == content


def test_the_same_content_at_the_same_place_is_sealed_differently_each_time() -> None:
    assert len({SEALED.seal(HERE, SAID)[:9] for _ in range(5000)}) == 5000


@pytest.mark.parametrize(
    ("keys", "writes", "begins"),
    [
        ({NO_KEY: b"", 1: ONE}, 1, b"\x0f"),
        ({NO_KEY: b"", 1: ONE}, NO_KEY, b"w"),
        ({1: ONE, 2: TWO}, 2, b"\x0f"),
    ],
)
def test_during_a_change_what_was_before_opens_as_well(
    keys: dict[int, bytes], writes: int, begins: bytes
) -> None:
    changing = AesGcm(keys, writes)
    before = [SEALED.seal(HERE, SAID)] + ([SAID] if NO_KEY in keys else [])
    assert [changing.open(HERE, one) for one in before] == [SAID] * len(before)
    assert changing.seal(HERE, SAID)[:1] == begins
    assert changing.seals is (begins != b"w")


def held() -> list[DataKey]:
    return [new_data_key(NO_KEY, MASTER, writes=False), new_data_key(1, MASTER, writes=True)]


def other_number(keys: list[DataKey]) -> list[DataKey]:
    return [keys[1]._replace(number=2)]


def cut(keys: list[DataKey]) -> list[DataKey]:
    return [keys[1]._replace(wrapped=b"")]


def no_key_made_up(keys: list[DataKey]) -> list[DataKey]:
    return [DataKey(NO_KEY, b"", False), keys[1]]


@pytest.mark.parametrize("damage", [other_number, cut, no_key_made_up])
def test_data_keys_that_were_meddled_with_open_nothing(
    damage: Callable[[list[DataKey]], list[DataKey]],
) -> None:
    with pytest.raises(StoreEncrypted):
        unlocked(damage(held()), MASTER)


def test_another_master_key_unlocks_nothing() -> None:
    with pytest.raises(StoreEncrypted, match="not the one of this store"):
        unlocked(held(), OTHER)


def test_keys_wrapped_anew_are_the_same_keys() -> None:
    before = held()
    after = rewrapped(before, MASTER, OTHER)
    with pytest.raises(StoreEncrypted):
        unlocked(after, MASTER)
    assert unlocked(after, OTHER).open(HERE, unlocked(before, MASTER).seal(HERE, SAID)) == SAID


def test_nothing_shows_a_key() -> None:
    cipher: Cipher = SEALED
    shown = f"{cipher!r} {cipher} {vars(cipher)} {held()!r}"
    assert "11111111" not in shown
    assert ONE.hex() not in shown
    assert repr(MASTER)[2:-1] not in shown
