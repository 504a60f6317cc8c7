"""Projects with their settings, and what of a key can change."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.backends import Backend

from chatkeep.core.model.completion import Key, KeyId, Project, ProjectId, Scope
from chatkeep.core.ports.store import Store
from chatkeep.errors import UnusableValue

READ: frozenset[Scope] = frozenset({"read"})
ALL_SET: dict[str, Any] = {
    "store_by_default": True,
    "full_text": False,
    "retain_days": 30,
    "retain_body_days": 7,
    "upstreams": ("a", "Zoë's, \U0001f680"),
    "max_concurrent": 4,
    "requests_per_minute": 1_000_000_000,
    "key_max_concurrent": 2,
    "key_requests_per_minute": 60,
}


def setting(**new: Any) -> Callable[[Project], Project]:
    return lambda project: msgspec.structs.replace(project, **new)


def naming(name: str, expires_unix: int | None) -> Callable[[Key], Key]:
    return lambda key: msgspec.structs.replace(key, name=name, expires_unix=expires_unix)


def refusing(_: object) -> Project:
    raise UnusableValue("retain_days", got=0, give="more")


async def add(store: Store, digest: bytes = b"digest", project: str = "ours") -> Key:
    return await store.add_key(project, digest, "hint", READ, 1000)


async def made(store: Store, name: str = "ours", **settings: Any) -> Project:
    project = await store.add_project(name, 1000, setting(**settings))
    assert project is not None
    return project


async def test_an_unknown_project_is_none(store: Store) -> None:
    await made(store)
    for name in ("", "Ours", "ours ", "theirs"):
        assert await store.project(name) is None
    assert await store.change_project(ProjectId(99), setting()) is None


async def test_a_name_is_taken_once(store: Store) -> None:
    ours = await made(store)
    assert await store.add_project("ours", 2000, setting(retain_days=1)) is None
    assert await store.projects() == [ours]


async def test_a_refused_project_is_not_made(store: Store, backend: Backend) -> None:
    before = backend.keys_version()
    with pytest.raises(UnusableValue):
        await store.add_project("ours", 1000, refusing)
    assert await store.projects() == []
    assert backend.keys_version() == before


async def test_a_refused_change_leaves_a_project_as_it_was(store: Store) -> None:
    ours = await made(store, retain_days=5)
    with pytest.raises(UnusableValue):
        await store.change_project(ours.id, refusing)
    assert await store.project("ours") == ours


async def test_a_new_project_has_no_limits_and_keeps_for_ever(store: Store) -> None:
    ours = await made(store)
    assert ours == Project(ours.id, "ours", ours.secret, 1000)
    assert (await add(store)).project == ours


async def test_every_setting_is_kept_and_can_be_unset(store: Store) -> None:
    plain = await made(store)
    full = await store.change_project(plain.id, setting(**ALL_SET))
    assert full == msgspec.structs.replace(plain, **ALL_SET)
    assert await store.project("ours") == full
    unset = {name: getattr(plain, name) for name in ALL_SET}
    assert await store.change_project(plain.id, setting(**unset)) == plain
    assert await store.project("ours") == plain


def test_every_setting_is_tried_here() -> None:
    fields = Project.__struct_fields__
    assert list(fields[fields.index("created_unix") + 1 :]) == list(ALL_SET)


async def test_settings_given_with_a_new_project_are_there_from_the_start(store: Store) -> None:
    ours = await made(store, **ALL_SET)
    assert await store.project("ours") == ours
    assert await store.projects() == [ours]
    assert {name: getattr(ours, name) for name in ALL_SET} == ALL_SET


async def test_a_key_knows_the_settings_of_its_project(store: Store) -> None:
    ours, theirs = await made(store, "ours"), await made(store, "theirs", retain_days=1)
    key, other = await add(store), await add(store, b"other", "theirs")
    changed = await store.change_project(ours.id, setting(max_concurrent=3))
    for found in (await store.key(b"digest"), await store.key_of(key.id), (await store.keys())[0]):
        assert found is not None
        assert found.project == changed
    found = await store.key_of(other.id)
    assert found is not None
    assert found.project == theirs


async def test_projects_are_listed_in_the_order_they_were_made(store: Store) -> None:
    names = ["b", "c", "a"]
    for name in names:
        await made(store, name)
    assert [project.name for project in await store.projects()] == names


async def test_changes_of_projects_and_keys_are_seen_by_the_version(
    store: Store, backend: Backend
) -> None:
    second = await backend.open()
    ours = await made(store)
    key = await add(store)
    seen = [backend.keys_version()]
    await store.change_project(ours.id, setting(retain_days=1))
    seen.append(backend.keys_version())
    await store.change_key(key.id, naming("ci", 5))
    seen.append(backend.keys_version())
    assert len(set(seen)) == 3
    assert await second.project("ours") == await store.project("ours")
    await second.aclose()


async def test_an_unknown_key_cannot_be_changed(store: Store) -> None:
    key = await add(store)
    assert await store.change_key(KeyId(key.id + 1), naming("x", 1)) is None
    assert await store.key_of(KeyId(key.id + 1)) is None
    other = (await add(store, b"other", "theirs")).project
    assert await store.key_of(key.id, other.id) is None
    assert await store.key_of(key.id, key.project.id) == key
    assert (await store.keys())[0] == key


async def test_a_keys_name_and_expiry_can_be_given_and_changed(store: Store) -> None:
    key = await store.add_key("ours", b"digest", "hint", READ, 1000, name="ci", expires_unix=9)
    assert (key.name, key.expires_unix, key.last_used_unix) == ("ci", 9, None)
    assert await store.key(b"digest") == key
    changed = await store.change_key(key.id, naming("", None))
    assert changed == msgspec.structs.replace(key, name="", expires_unix=None)
    assert await store.key_of(key.id) == changed


async def test_the_last_use_is_kept_and_never_goes_back(store: Store) -> None:
    keys = [await add(store, bytes([n])) for n in range(3)]
    await store.note_used({keys[0].id: 2000, keys[1].id: 3000})
    await store.note_used({keys[0].id: 1999, keys[1].id: 3001, KeyId(99): 5})
    await store.note_used({})
    assert [key.last_used_unix for key in await store.keys()] == [2000, 3001, None]


async def test_a_use_is_no_change_of_keys(store: Store, backend: Backend) -> None:
    key = await add(store)
    before = backend.keys_version()
    await store.note_used({key.id: 2000})
    assert backend.keys_version() == before
