"""Keys and projects, as those who may see and change them do (DESIGN.md §6).

A key or project out of reach is answered like one that does not exist.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chatkeep.core.accounts import projects
from chatkeep.core.accounts.authority import Authority
from chatkeep.core.accounts.keys import digest, masked, new_secret
from chatkeep.core.json.types import expect
from chatkeep.core.model.completion import (
    SCOPES,
    Key,
    KeyId,
    Project,
    Scope,
)
from chatkeep.core.ports.accounts import Accounts
from chatkeep.core.wire.body import shown
from chatkeep.core.wire.query import Filter, Pairs, read, text
from chatkeep.errors import (
    EmptyArray,
    InvalidValue,
    KeyNotFound,
    MissingParameter,
    ProjectExists,
    ProjectNotFound,
    UnusableValue,
)

USUAL: tuple[Scope, ...] = ("create", "read", "write")
PROJECT = tuple(projects.BY_NAME)
NEW_PROJECT = ("name", *PROJECT)
_KEY_NAME_LENGTH = 64
_LATEST = 253_402_300_799  # the end of the year 9999


class ChangeKey(Struct, forbid_unknown_fields=True):
    """What of a key can be changed; what is not given stays."""

    name: str | UnsetType | None = UNSET
    expires_at: int | UnsetType | None = UNSET


class CreateKey(Struct, forbid_unknown_fields=True):
    """What a new key is to be. It expires with the key that makes it unless it says otherwise."""

    name: str | UnsetType | None = UNSET
    project: str | UnsetType | None = UNSET
    scopes: Annotated[list[Scope], Meta(min_length=1)] | UnsetType = UNSET
    expires_at: int | UnsetType | None = UNSET


class ShownKey(Struct, tag_field="object", tag="key"):
    """A key without its secret; times are unix seconds."""

    id: KeyId
    name: str
    project: str
    hint: str
    scopes: list[Scope]
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None


class Issued(NamedTuple):
    """A new key and its secret, which nobody can ask for again."""

    secret: str
    key: Key


class Administration:
    """What those with an authority do to keys and projects.

    `changed` is told after each change, so that this process obeys it at once.
    """

    def __init__(
        self,
        accounts: Accounts,
        unix: Callable[[], float],
        token_bytes: Callable[[int], bytes],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._accounts = accounts
        self._unix = unix
        self._token_bytes = token_bytes
        self._changed = changed

    async def keys(self, by: Authority, pairs: Pairs) -> list[Key]:
        """Ended ones included. Raises ProjectNotFound."""
        wanted = key_query(pairs).project
        of = None if wanted is None else (await self.project(by, wanted)).id
        found = await self._accounts.keys()
        return [key for key in found if by.reaches(key.project) and of in (None, key.project.id)]

    async def key(self, by: Authority, id: str) -> Key:
        """Raises KeyNotFound."""
        number = _number(id)
        found = None if number is None else await self._accounts.key_of(number, by.project)
        if found is None:
            raise KeyNotFound("key_id", id=id)
        return found

    async def create_key(self, by: Authority, own: str, given: Mapping[str, Any]) -> Issued:
        """In the project `own` unless another is given; it gets no right that `by` has not."""
        scopes = _scopes(given["scopes"]) if "scopes" in given else _usual(by)
        by.need(scopes)
        expires_unix = _expires(given.get("expires_at", by.expires_unix))
        by.limit(expires_unix)
        if expires_unix is not None and expires_unix <= self._unix():
            raise UnusableValue("expires_at", got=expires_unix, give="a unix second to come")
        name = _name(given.get("name"))
        wanted = given.get("project")
        project = await self.project(by, own if wanted is None else _text("project", wanted))
        secret = new_secret(self._token_bytes)
        key = await self._accounts.add_key(
            project.name,
            digest(secret),
            masked(secret),
            scopes,
            int(self._unix()),
            name=name,
            expires_unix=expires_unix,
        )
        self._changed()
        return Issued(secret, key)

    async def change_key(self, by: Authority, id: str, given: Mapping[str, Any]) -> Key:
        """Its name or expiry. Only with all its scopes: a later expiry gives them anew."""
        key = await self.key(by, id)
        by.need(key.scopes)
        new: dict[str, Any] = {}
        if "name" in given:
            new["name"] = _name(given["name"])
        if "expires_at" in given:
            new["expires_unix"] = _expires(given["expires_at"])
            by.limit(new["expires_unix"])
        changed = await self._accounts.change_key(
            key.id, lambda current: msgspec.structs.replace(current, **new)
        )
        self._changed()
        return key if changed is None else changed

    async def revoke_key(self, by: Authority, id: str) -> Key:
        """The key as it is then; one that was revoked before stays as it was."""
        key = await self.key(by, id)
        if "root" in key.scopes:
            by.need(("root",))
        await self._accounts.revoke_key(key.id, int(self._unix()))
        self._changed()
        return await self.key(by, id)

    async def projects(self, by: Authority) -> list[Project]:
        return [project for project in await self._accounts.projects() if by.reaches(project)]

    async def project(self, by: Authority, name: str) -> Project:
        """Raises ProjectNotFound."""
        found = await self._accounts.project(name) if projects.usable_name(name) else None
        if found is None or not by.reaches(found):
            raise ProjectNotFound("project", name=name)
        return found

    async def create_project(self, by: Authority, given: Mapping[str, Any]) -> Project:
        """Raises ProjectExists."""
        by.need(("root",))
        if "name" not in given:
            raise MissingParameter("name")
        name = projects.checked_name(given["name"])
        change = projects.changed({key: given[key] for key in given if key != "name"})
        made = await self._accounts.add_project(name, int(self._unix()), change)
        if made is None:
            raise ProjectExists("name", name=name)
        self._changed()
        return made

    async def change_project(self, by: Authority, name: str, given: Mapping[str, Any]) -> Project:
        """Sets what is given and leaves the rest."""
        project = await self.project(by, name)
        by.need({projects.BY_NAME[setting].scope for setting in given})
        changed = await self._accounts.change_project(project.id, projects.changed(given))
        self._changed()
        return project if changed is None else changed


def described(key: Key) -> dict[str, Any]:
    """A key as API and command line show it: without its secret."""
    shown = ShownKey(
        id=key.id,
        name=key.name,
        project=key.project.name,
        hint=key.hint,
        scopes=[scope for scope in SCOPES if scope in key.scopes],
        created_at=key.created_unix,
        expires_at=key.expires_unix,
        last_used_at=key.last_used_unix,
        revoked_at=key.revoked_unix,
    )
    found: dict[str, Any] = msgspec.to_builtins(shown)
    return found


def _number(id: str) -> KeyId | None:
    return KeyId(int(id)) if id.isascii() and id.isdecimal() and len(id) < 19 else None


def _usual(by: Authority) -> frozenset[Scope]:
    """What a key may do that nothing is said of, as far as its maker may."""
    found = frozenset(scope for scope in USUAL if by.is_root or scope in by.scopes)
    if not found:
        raise MissingParameter("scopes")
    return found


def _scopes(given: Any) -> frozenset[Scope]:
    listed = expect("scopes", given, list, "an array of strings")
    if not listed:
        raise EmptyArray("scopes")
    known = ", ".join(f"'{scope}'" for scope in SCOPES)
    for scope in listed:
        if scope not in SCOPES:
            raise InvalidValue(
                "scopes", got=shown(scope), expected=f"Supported values are: {known}."
            )
    return frozenset(listed)


def _expires(given: Any) -> int | None:
    if given is None:
        return None
    if type(given) is not int or not 0 <= given <= _LATEST:
        give = "a unix second, or null for never"
        raise UnusableValue("expires_at", got=shown(given), give=give)
    return given


def _name(given: Any) -> str:
    name = _text("name", given) if given is not None else ""
    if len(name) > _KEY_NAME_LENGTH or not name.isprintable():
        give = f"up to {_KEY_NAME_LENGTH} printable characters"
        raise UnusableValue("name", got=shown(name), give=give)
    return name


def _text(param: str, given: Any) -> str:
    return expect(param, given, str, "a string")


KEYS: tuple[Filter, ...] = (
    Filter("project", text, {"type": "string"}, "Keys of the project with this name."),
)


class KeyQuery(Struct, frozen=True):
    project: str | None = None


def key_query(pairs: Pairs) -> KeyQuery:
    return KeyQuery(**read(KEYS, pairs))
