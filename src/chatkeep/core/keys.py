"""API keys: `sk-ck-` and 256 random bits, kept as a digest (DESIGN.md §6)."""

import hashlib
from collections.abc import Callable

from chatkeep.core.model import Key, KeyId, Project, Scope
from chatkeep.core.ports import Store
from chatkeep.errors import MissingKey, ScopeMissing, WrongKey

PREFIX = "sk-ck-"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_BYTES = 32
_DIGITS = 43  # 62**43 > 2**256
_CACHED = 4096


def new_secret(token_bytes: Callable[[int], bytes]) -> str:
    value = int.from_bytes(token_bytes(_SECRET_BYTES))
    digits = []
    for _ in range(_DIGITS):
        value, digit = divmod(value, 62)
        digits.append(_ALPHABET[digit])
    return PREFIX + "".join(digits)


def digest(secret: str) -> bytes:
    # A plain hash is enough: the secret is random, there is no dictionary to try.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def masked(secret: str) -> str:
    """What may be shown of a key: the first 8 and last 4 characters, less of a short one."""
    if len(secret) > 16:
        return f"{secret[:8]}{'*' * min(len(secret) - 12, 64)}{secret[-4:]}"
    shown = min(3, len(secret) // 3)
    return secret[:shown] + "*" * (len(secret) - shown)


def bearer(authorization: str | None) -> str:
    """The key in an Authorization header. Raises MissingKey."""
    scheme, _, secret = (authorization or "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise MissingKey
    return secret


def allow(key: Key, scope: Scope) -> None:
    """Raises ScopeMissing. `root` may do everything."""
    if scope not in key.scopes and "root" not in key.scopes:
        raise ScopeMissing(scope=scope)


class Keyring:
    """Finds the key of a request, from memory when it was seen since the last `forget`.

    Keys are looked up by digest, so neither look-up's time tells anything of the secret.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[bytes, Key] = {}

    async def verify(self, authorization: str | None) -> Key:
        """Raises MissingKey, WrongKey."""
        secret = bearer(authorization)
        hashed = digest(secret)
        key = self._known.get(hashed)
        if key is None:
            key = await self._store.key(hashed)
            if key is None or key.revoked_unix is not None:
                raise WrongKey(masked=masked(secret))
            self._remember(hashed, key)
        return key

    def forget(self) -> None:
        self._known.clear()

    def _remember(self, hashed: bytes, key: Key) -> None:
        if len(self._known) >= _CACHED:
            self._known.clear()
        self._known[hashed] = key


class OpenDoor:
    """Stands in for the keyring under --no-auth: whoever comes has the root key's rights."""

    def __init__(self, project: Project) -> None:
        self._key = Key(KeyId(0), project, "no-auth", frozenset({"root"}), 0)

    async def verify(self, authorization: str | None) -> Key:
        return self._key

    def forget(self) -> None:
        pass
