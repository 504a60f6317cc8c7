"""Projects and keys, also as a second process changes them."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from support.backends import Backend
from support.samples import keep, listed, name, place, replacing, row

from chatkeep.core.model.completion import SCOPES, Key, KeyId, Project, Scope
from chatkeep.core.ports.store import Store
from chatkeep.errors import StoreFailed, StoreLocked

READ: frozenset[Scope] = frozenset({"read"})


@pytest.fixture
async def second(backend: Backend, store: Store) -> AsyncIterator[Store]:
    """The same store as another process has it: a command line beside the server."""
    opened = await backend.open()
    yield opened
    await opened.aclose()


async def add(store: Store, digest: bytes = b"digest", project: str = "default") -> Key:
    return await store.add_key(project, digest, "sk-ck-12****3456", READ, 1000)


async def test_an_unknown_digest_has_no_key(store: Store) -> None:
    await add(store)
    for digest in (b"", b"Digest", b"digest ", b"digest"[:-1]):
        assert await store.key(digest) is None


async def test_a_digest_can_be_added_once(store: Store, backend: Backend) -> None:
    first = await add(store)
    version = backend.keys_version()
    with pytest.raises(StoreFailed):
        await add(store, project="a new project")
    assert await store.keys() == [first]
    assert backend.keys_version() == version
    later = await add(store, b"another", "a new project")
    assert later.project.id != first.project.id


async def test_revoking_an_unknown_key_is_said(store: Store) -> None:
    key = await add(store)
    assert not await store.revoke_key(KeyId(key.id + 1), 2000)
    assert await store.keys() == [key]


async def test_a_key_is_revoked_once_and_stays_listed(store: Store) -> None:
    key = await add(store)
    assert await store.revoke_key(key.id, 2000)
    assert not await store.revoke_key(key.id, 3000)
    found = await store.key(b"digest")
    assert found is not None
    assert found.revoked_unix == 2000
    assert await store.keys() == [found]


async def test_an_added_key_is_found_as_it_was_given(store: Store) -> None:
    key = await add(store)
    assert (key.project.name, key.hint, key.scopes) == ("default", "sk-ck-12****3456", READ)
    assert (key.created_unix, key.revoked_unix) == (1000, None)
    assert await store.key(b"digest") == key


@pytest.mark.parametrize("scopes", [frozenset(), *(frozenset({s}) for s in SCOPES), {*SCOPES}])
async def test_a_key_has_exactly_the_scopes_it_was_given(
    store: Store, scopes: frozenset[Scope]
) -> None:
    await store.add_key("default", b"digest", "hint", frozenset(scopes), 0)
    found = await store.key(b"digest")
    assert found is not None
    assert found.scopes == scopes


async def test_keys_of_one_project_share_it(store: Store) -> None:
    keys = [await add(store, bytes([n]), project) for n, project in enumerate("aba")]
    assert keys[0].project == keys[2].project
    assert keys[0].project.id != keys[1].project.id
    assert await store.keys() == keys


async def test_every_project_has_a_secret_of_its_own(store: Store) -> None:
    secrets = {(await add(store, bytes([n]), str(n))).project.secret for n in range(5)}
    assert len(secrets) == 5
    assert min(map(len, secrets)) >= 16


async def test_revoking_one_key_leaves_the_others(store: Store) -> None:
    keys = [await add(store, bytes([n])) for n in range(3)]
    await store.revoke_key(keys[1].id, 2000)
    assert [key.revoked_unix for key in await store.keys()] == [None, 2000, None]


async def test_the_version_differs_after_every_change_of_keys(
    store: Store, backend: Backend
) -> None:
    seen = [backend.keys_version()]
    keys = []
    for digest in (b"1", b"2"):
        keys.append(await add(store, digest))
        seen.append(backend.keys_version())
    for key in keys:
        await store.revoke_key(key.id, 2000)
        seen.append(backend.keys_version())
    assert len(set(seen)) == 5


async def test_the_version_stays_while_completions_change(
    store: Store, project: Project, backend: Backend
) -> None:
    before = backend.keys_version()
    kept = row(place(1))
    await keep(store, project, kept)
    await store.change_metadata(project, name(kept), replacing({"run": "1"}))
    await store.delete(project, name(kept))
    assert backend.keys_version() == before


async def test_two_connections_see_each_others_keys(store: Store, second: Store) -> None:
    for writer, reader, digest in ((store, second, b"1"), (second, store, b"2")):
        key = await add(writer, digest)
        assert await reader.key(digest) == key
        assert key in await reader.keys()


async def test_every_change_is_told_whoever_made_it(store: Store, second: Store) -> None:
    told = [store.changes(), second.changes()]
    for changes in told:
        await anext(changes)  # at once, for what was before
    key = await add(store)
    for changes in told:
        await anext(changes)
    await second.change_key(key.id, lambda key: msgspec.structs.replace(key, name="new"))
    for changes in told:
        await anext(changes)
    await store.revoke_key(key.id, 2000)
    for changes in told:
        await anext(changes)
    await second.change_project(key.project.id, lambda project: project)
    for changes in told:
        await anext(changes)


async def test_who_asks_anew_is_told_at_once(store: Store) -> None:
    for _ in range(3):
        await anext(store.changes())


async def test_a_key_revoked_by_one_connection_is_revoked_for_the_other(
    store: Store, second: Store
) -> None:
    key = await add(store)
    changes = store.changes()
    await anext(changes)
    assert await second.revoke_key(key.id, 2000)
    found = await store.key(b"digest")
    assert found is not None
    assert found.revoked_unix == 2000
    await anext(changes)
    assert not await store.revoke_key(key.id, 3000)


async def test_two_connections_see_each_others_completions(
    store: Store, second: Store, project: Project
) -> None:
    for number in range(1, 11):
        writer, reader = (store, second) if number % 2 else (second, store)
        kept = row(place(number))
        await keep(writer, project, kept)
        assert await reader.get(project, name(kept)) is not None
        assert (await listed(reader, project))[0] == kept.seq
    assert len(await listed(store, project)) == 10


async def test_a_store_that_is_served_cannot_be_served_again(backend: Backend) -> None:
    serving = await backend.open(serving=True)
    for _ in range(2):
        with pytest.raises(StoreLocked):
            await backend.open(serving=True)
    await add(serving)
    await serving.aclose()


async def test_a_served_store_can_be_opened_beside_the_server(backend: Backend) -> None:
    serving = await backend.open(serving=True)
    beside = await backend.open()
    key = await add(beside)
    assert await serving.key(b"digest") == key
    await beside.aclose()
    with pytest.raises(StoreLocked):
        await backend.open(serving=True)
    await serving.aclose()


async def test_a_store_can_be_served_again_after_closing(backend: Backend) -> None:
    for _ in range(3):
        serving = await backend.open(serving=True)
        await serving.aclose()


async def test_a_store_opened_beside_the_server_does_not_hold_it(backend: Backend) -> None:
    beside = await backend.open()
    serving = await backend.open(serving=True)
    await serving.aclose()
    await beside.aclose()
