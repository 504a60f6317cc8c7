"""AES-256-GCM: data keys seal what is kept, a master key wraps the data keys.

    sealed = 0x0F | nonce (12) | number of the data key (2) | ciphertext | tag (16)

Nonces are random: after 2^32 writes under one data key the chance that two have met is 2^-33. The
place is authenticated with the content, so nothing sealed passes for anything else.
"""

import secrets
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chatkeep.errors import RecordCorrupt, StoreEncrypted
from chatkeep.store.encoding.cipher import NO_KEY, SEALED, DataKey, Place, is_sealed

_NONCE = 12
_NUMBER = 2
_HEAD = 1 + _NONCE + _NUMBER


class AesGcm:
    """Seals under the data key that writes, opens under any."""

    def __init__(self, keys: Mapping[int, bytes], writes: int) -> None:
        self._ciphers = {number: AESGCM(key) for number, key in keys.items() if key}
        self._number = writes.to_bytes(_NUMBER)
        self._writing = self._ciphers.get(writes)
        self._takes_plain = NO_KEY in keys
        self.seals = self._writing is not None

    def seal(self, place: Place, content: bytes) -> bytes:
        if self._writing is None:
            return content
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._writing.encrypt(nonce, content, _bytes(place))
        return b"".join((SEALED, nonce, self._number, sealed))

    def open(self, place: Place, kept: bytes) -> bytes:
        if not is_sealed(kept):
            if self._takes_plain:
                return kept
            raise RecordCorrupt("it is not encrypted, and everything else in this store is")
        number = int.from_bytes(kept[1 + _NONCE : _HEAD])
        cipher = self._ciphers.get(number)
        if cipher is None:
            raise RecordCorrupt(f"it is encrypted under data key {number}, which is not there")
        try:
            return cipher.decrypt(kept[1 : 1 + _NONCE], kept[_HEAD:], _bytes(place))
        except (InvalidTag, ValueError) as error:
            raise RecordCorrupt("it was not encrypted for this place, or is damaged") from error


def new_data_key(number: int, master: bytes, *, writes: bool) -> DataKey:
    """One that is made up here; the one numbered 0 is empty."""
    key = b"" if number == NO_KEY else AESGCM.generate_key(256)
    return DataKey(number, _wrapped(key, number, master), writes)


def unlocked(held: Sequence[DataKey], master: bytes) -> AesGcm:
    """Raises StoreEncrypted for another master key than the one that wrapped them."""
    keys = {one.number: _unwrapped(one, master) for one in held}
    return AesGcm(keys, next(one.number for one in held if one.writes))


def rewrapped(held: Sequence[DataKey], master: bytes, new: bytes) -> list[DataKey]:
    """The same keys for another master key. Raises StoreEncrypted."""
    return [
        DataKey(one.number, _wrapped(_unwrapped(one, master), one.number, new), one.writes)
        for one in held
    ]


def _wrapped(key: bytes, number: int, master: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(master).encrypt(nonce, key, _bytes(("data key", 0, number)))


def _unwrapped(one: DataKey, master: bytes) -> bytes:
    nonce, sealed = one.wrapped[:_NONCE], one.wrapped[_NONCE:]
    try:
        return AESGCM(master).decrypt(nonce, sealed, _bytes(("data key", 0, one.number)))
    except (InvalidTag, ValueError) as error:
        raise StoreEncrypted("the encryption key is not the one of this store") from error


def _bytes(place: Place) -> bytes:
    what, project, key = place
    return b"%b %d %d" % (what.encode(), project, key)
