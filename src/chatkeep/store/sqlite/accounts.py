"""Projects and keys in SQLite."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import apsw
import msgspec

from chatkeep.core.model.completion import Key, KeyId, Project, ProjectId, Scope
from chatkeep.errors import UnusableValue
from chatkeep.store import sql
from chatkeep.store.encoding.cipher import Cipher, Place

SQL = sql.blocks("chatkeep.store.sqlite", "accounts.sql")
_FORM = b"\0"  # a plain secret is not to begin as a sealed one does
_SECRET_BYTES = 31
_NAMES = msgspec.json.Decoder(tuple[str, ...])


def project(connection: apsw.Connection, cipher: Cipher, name: str) -> Project | None:
    found = connection.execute(SQL["select_project"], (name,)).fetchall()
    return _project(cipher, found[0]) if found else None


def projects(connection: apsw.Connection, cipher: Cipher) -> list[Project]:
    return [_project(cipher, found) for found in connection.execute(SQL["select_projects"])]


def add_project(
    connection: apsw.Connection,
    cipher: Cipher,
    name: str,
    now_unix: int,
    change: Callable[[Project], Project],
) -> Project | None:
    if project(connection, cipher, name) is not None:
        return None
    # What is refused is refused before anything is there.
    _changed(cipher, Project(ProjectId(0), name, b"", full_text=not cipher.seals), change)
    added = _insert(connection, cipher, name, now_unix)
    return change_project(connection, cipher, added.id, change)


def change_project(
    connection: apsw.Connection,
    cipher: Cipher,
    id: ProjectId,
    change: Callable[[Project], Project],
) -> Project | None:
    found = _of(connection, cipher, id)
    if found is None:
        return None
    new = _changed(cipher, found, change)
    connection.execute(
        SQL["update_project"],
        (
            id,
            new.store_by_default,
            new.full_text,
            new.retain_days,
            new.retain_body_days,
            None if new.upstreams is None else msgspec.json.encode(new.upstreams).decode(),
            new.max_concurrent,
            new.requests_per_minute,
            new.key_max_concurrent,
            new.key_requests_per_minute,
        ),
    )
    connection.execute(SQL["bump_keys_version"])
    return new


def key(connection: apsw.Connection, cipher: Cipher, digest: bytes) -> Key | None:
    found = connection.execute(SQL["select_key"], (digest,)).fetchall()
    return _one_key(connection, cipher, found)


def key_of(
    connection: apsw.Connection, cipher: Cipher, id: KeyId, within: ProjectId | None = None
) -> Key | None:
    found = connection.execute(SQL["select_key_of"], (id, within)).fetchall()
    return _one_key(connection, cipher, found)


def keys(connection: apsw.Connection, cipher: Cipher) -> list[Key]:
    owners = {owner.id: owner for owner in projects(connection, cipher)}
    rows: Any = connection.execute(SQL["select_keys"])
    return [_key(found, owners[found[1]]) for found in rows]


def add_key(
    connection: apsw.Connection,
    cipher: Cipher,
    owner: str,
    digest: bytes,
    hint: str,
    scopes: frozenset[Scope],
    now_unix: int,
    name: str,
    expires_unix: int | None,
) -> Key:
    held = project(connection, cipher, owner) or _insert(connection, cipher, owner, now_unix)
    listed = ",".join(sorted(scopes))
    bindings = (held.id, digest, name, hint, listed, now_unix, expires_unix)
    connection.execute(SQL["insert_key"], bindings)
    id = KeyId(connection.last_insert_rowid())
    connection.execute(SQL["bump_keys_version"])
    return Key(id, held, hint, scopes, now_unix, None, name, expires_unix)


def change_key(
    connection: apsw.Connection, cipher: Cipher, id: KeyId, change: Callable[[Key], Key]
) -> Key | None:
    found = key_of(connection, cipher, id)
    if found is None:
        return None
    new = change(found)
    connection.execute(SQL["update_key"], (id, new.name, new.expires_unix))
    connection.execute(SQL["bump_keys_version"])
    return new


def revoke_key(connection: apsw.Connection, id: KeyId, now_unix: int) -> bool:
    revoked = connection.execute(SQL["revoke_key"], (id, now_unix)).fetchall()
    connection.execute(SQL["bump_keys_version"])
    return bool(revoked)


def note_used(connection: apsw.Connection, used: Mapping[KeyId, int]) -> None:
    connection.executemany(SQL["note_key_used"], used.items())


def keys_version(connection: apsw.Connection) -> int:
    found: Any = connection.execute(SQL["keys_version"]).fetchall()
    return int(found[0][0])


def reseal(connection: apsw.Connection, before: Cipher, after: Cipher) -> None:
    """Puts the secrets of all projects under another cipher."""
    for held in projects(connection, before):
        _seal(connection, after, held.id, held.secret)


def _changed(cipher: Cipher, found: Project, change: Callable[[Project], Project]) -> Project:
    new = change(found)
    if new.full_text and cipher.seals:
        give = "false: this store is encrypted, and has no index of the words in it"
        raise UnusableValue("full_text", got="true", give=give)
    return new


def _insert(connection: apsw.Connection, cipher: Cipher, name: str, now_unix: int) -> Project:
    secret = _FORM + secrets.token_bytes(_SECRET_BYTES)
    full_text = not cipher.seals
    connection.execute(SQL["insert_project"], (name, b"", now_unix, full_text))
    id = ProjectId(connection.last_insert_rowid())
    _seal(connection, cipher, id, secret)
    return Project(id, name, secret, now_unix, full_text=full_text)


def _seal(connection: apsw.Connection, cipher: Cipher, id: ProjectId, secret: bytes) -> None:
    connection.execute(SQL["set_secret"], (id, cipher.seal(_secret_of(id), secret)))


def _secret_of(id: ProjectId) -> Place:
    return ("secret", id, 0)


def _of(connection: apsw.Connection, cipher: Cipher, id: ProjectId) -> Project | None:
    found = connection.execute(SQL["select_project_of"], (id,)).fetchall()
    return _project(cipher, found[0]) if found else None


def _one_key(
    connection: apsw.Connection, cipher: Cipher, found: list[tuple[Any, ...]]
) -> Key | None:
    owner = _of(connection, cipher, found[0][1]) if found else None
    return None if owner is None else _key(found[0], owner)


def _project(cipher: Cipher, found: tuple[Any, ...]) -> Project:
    id, name, secret, created_unix, by_default, full_text, days, body_days, names, *limits = found
    upstreams = None if names is None else _NAMES.decode(names)
    flags = bool(by_default), bool(full_text)
    secret = cipher.open(_secret_of(id), secret)
    return Project(id, name, secret, created_unix, *flags, days, body_days, upstreams, *limits)


def _key(found: tuple[Any, ...], owner: Project) -> Key:
    id, _, hint, listed, *rest = found
    scopes: frozenset[Scope] = frozenset(filter(None, listed.split(",")))
    return Key(id, owner, hint, scopes, *rest)
