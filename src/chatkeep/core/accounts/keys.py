"""API keys: `sk-ck-` and 256 random bits, kept as a digest (DESIGN.md §6)."""

import hashlib
from collections.abc import Callable

from chatkeep.core.model.completion import Key, KeyId, Scope
from chatkeep.core.model.ids import spelled
from chatkeep.core.ports.accounts import Accounts
from chatkeep.errors import MissingKey, ProjectNotFound, ScopeMissing, WrongKey

PREFIX = "sk-ck-"
_SECRET_BYTES = 32
_DIGITS = 43  # 62**43 > 2**256
_CACHED = 4096
_LONGEST_CACHED = 256  # characters of a header; whoever has a key could send it in ever longer ones


def new_secret(token_bytes: Callable[[int], bytes]) -> str:
    """A key that nobody has: `sk-ck-` and 256 random bits in base 62."""
    return PREFIX + spelled(int.from_bytes(token_bytes(_SECRET_BYTES)), _DIGITS)


def digest(secret: str) -> bytes:
    # A plain hash is enough: the secret is random, there is no dictionary to try.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def masked(secret: str) -> str:
    """What may be shown of a key: the first 8 and last 4 characters, less of a short one."""
    if len(secret) > 16:
        return f"{secret[:8]}{'*' * min(len(secret) - 12, 64)}{secret[-4:]}"
    shown = min(3, len(secret) // 3)
    return secret[:shown] + "*" * (len(secret) - shown)


def bearer(authorization: str) -> str:
    """The key in an Authorization header, which is empty when there is none. Raises MissingKey."""
    scheme, _, secret = authorization.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise MissingKey
    return secret


def allow(key: Key, scope: Scope) -> None:
    """Raises ScopeMissing. `root` may do everything."""
    if scope not in key.scopes and "root" not in key.scopes:
        raise ScopeMissing(scope=scope)


class Keyring:
    """Finds the key of a request, from memory when its header was seen since the last `forget`.

    The store is asked by digest, and memory by Python's keyed hash of the whole header, so neither
    look-up's time tells anything of the secret. When keys were used is remembered here, and written
    by `note_uses` only.
    """

    def __init__(self, accounts: Accounts, unix: Callable[[], float]) -> None:
        self._accounts = accounts
        self._unix = unix
        self._known: dict[str, Key] = {}
        self._forgotten = 0
        self._used: dict[KeyId, float] = {}

    async def verify(self, authorization: str) -> Key:
        """Raises MissingKey, WrongKey."""
        key = self._known.get(authorization)
        if key is None:
            key = await self._find(authorization)
        now = self._unix()
        if key.expires_unix is not None and key.expires_unix <= now:
            raise WrongKey(masked=masked(bearer(authorization)))
        self._used[key.id] = now
        return key

    def forget(self) -> None:
        self._known.clear()
        self._forgotten += 1

    async def note_uses(self) -> None:
        """Writes when keys were used since the last time. What fails is tried again then."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._accounts.note_used({key: int(unix) for key, unix in used.items()})
        except BaseException:
            self._used = {**used, **self._used}
            raise

    async def _find(self, authorization: str) -> Key:
        secret = bearer(authorization)
        forgotten = self._forgotten
        key = await self._accounts.key(digest(secret))
        if key is None or key.revoked_unix is not None:
            raise WrongKey(masked=masked(secret))
        if forgotten == self._forgotten:  # else it may have changed since it was read
            self._remember(authorization, key)
        return key

    def _remember(self, authorization: str, key: Key) -> None:
        if len(authorization) > _LONGEST_CACHED:
            return
        if len(self._known) >= _CACHED:
            self._known.clear()
        self._known[authorization] = key


class NoAuth:
    """Stands in for the keyring under --no-auth: whoever comes has the root key's rights."""

    def __init__(self, accounts: Accounts, project: str) -> None:
        self._accounts = accounts
        self._project = project
        self._key: Key | None = None

    async def verify(self, authorization: str) -> Key:
        if self._key is None:
            project = await self._accounts.project(self._project)
            if project is None:
                raise ProjectNotFound(name=self._project)
            self._key = Key(KeyId(0), project, "no-auth", frozenset({"root"}), 0)
        return self._key

    def forget(self) -> None:
        self._key = None

    async def note_uses(self) -> None:
        pass
