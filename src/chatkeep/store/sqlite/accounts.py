"""Projects and keys in SQLite."""

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import apsw
import msgspec

from chatkeep.core.model import Key, KeyId, Project, ProjectId, Scope
from chatkeep.store import sql

SQL = sql.blocks("chatkeep.store.sqlite", "accounts.sql")
_SECRET_BYTES = 32
_NAMES = msgspec.json.Decoder(tuple[str, ...])


def project(connection: apsw.Connection, name: str) -> Project | None:
    found = connection.execute(SQL["select_project"], (name,)).fetchall()
    return _project(found[0]) if found else None


def projects(connection: apsw.Connection) -> list[Project]:
    return [_project(found) for found in connection.execute(SQL["select_projects"])]


def add_project(
    connection: apsw.Connection, name: str, now_unix: int, change: Callable[[Project], Project]
) -> Project | None:
    if project(connection, name) is not None:
        return None
    change(Project(ProjectId(0), name, b""))  # what it refuses is refused before anything is there
    return change_project(connection, _insert(connection, name, now_unix).id, change)


def change_project(
    connection: apsw.Connection, id: ProjectId, change: Callable[[Project], Project]
) -> Project | None:
    found = _of(connection, id)
    if found is None:
        return None
    new = change(found)
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


def key(connection: apsw.Connection, digest: bytes) -> Key | None:
    return _one_key(connection, connection.execute(SQL["select_key"], (digest,)).fetchall())


def key_of(connection: apsw.Connection, id: KeyId, within: ProjectId | None = None) -> Key | None:
    found = connection.execute(SQL["select_key_of"], (id, within)).fetchall()
    return _one_key(connection, found)


def keys(connection: apsw.Connection) -> list[Key]:
    owners = {owner.id: owner for owner in projects(connection)}
    rows: Any = connection.execute(SQL["select_keys"])
    return [_key(found, owners[found[1]]) for found in rows]


def add_key(
    connection: apsw.Connection,
    owner: str,
    digest: bytes,
    hint: str,
    scopes: frozenset[Scope],
    now_unix: int,
    name: str,
    expires_unix: int | None,
) -> Key:
    held = project(connection, owner) or _insert(connection, owner, now_unix)
    listed = ",".join(sorted(scopes))
    bindings = (held.id, digest, name, hint, listed, now_unix, expires_unix)
    connection.execute(SQL["insert_key"], bindings)
    id = KeyId(connection.last_insert_rowid())
    connection.execute(SQL["bump_keys_version"])
    return Key(id, held, hint, scopes, now_unix, None, name, expires_unix)


def change_key(connection: apsw.Connection, id: KeyId, change: Callable[[Key], Key]) -> Key | None:
    found = key_of(connection, id)
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


def _insert(connection: apsw.Connection, name: str, now_unix: int) -> Project:
    secret = secrets.token_bytes(_SECRET_BYTES)
    connection.execute(SQL["insert_project"], (name, secret, now_unix))
    return Project(ProjectId(connection.last_insert_rowid()), name, secret, now_unix)


def _of(connection: apsw.Connection, id: ProjectId) -> Project | None:
    found = connection.execute(SQL["select_project_of"], (id,)).fetchall()
    return _project(found[0]) if found else None


def _one_key(connection: apsw.Connection, found: list[tuple[Any, ...]]) -> Key | None:
    owner = _of(connection, found[0][1]) if found else None
    return None if owner is None else _key(found[0], owner)


def _project(found: tuple[Any, ...]) -> Project:
    id, name, secret, created_unix, by_default, full_text, days, body_days, names, *limits = found
    upstreams = None if names is None else _NAMES.decode(names)
    flags = bool(by_default), bool(full_text)
    return Project(id, name, secret, created_unix, *flags, days, body_days, upstreams, *limits)


def _key(found: tuple[Any, ...], owner: Project) -> Key:
    id, _, hint, listed, *rest = found
    scopes: frozenset[Scope] = frozenset(filter(None, listed.split(",")))
    return Key(id, owner, hint, scopes, *rest)
