"""What was deleted is in no file any more; what others say again stays, and nothing else."""

import asyncio
import shutil
from collections.abc import Set as AbstractSet
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from support.backends import SqliteBackend
from support.conversations import Talks, call, message
from support.database import direct
from support.planted import PLAIN, Secrets, files, tell, whole

from chatkeep.core.model.completion import Scope
from chatkeep.store.encoding.body import LEVEL

READ: frozenset[Scope] = frozenset({"read"})
ORDERS = list(permutations(range(4)))


async def opened(backend: SqliteBackend) -> Talks:
    store = await backend.open()
    return Talks(store, (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project)


@pytest.mark.parametrize("order", ORDERS)
async def test_only_what_is_still_said_is_found_after_each_delete(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    backend, secrets = SqliteBackend(tmp_path, level=PLAIN), Secrets()
    talks = await opened(backend)
    kept = await tell(talks, secrets)
    assert secrets.found_in(files(backend)) == set(secrets.texts)
    for which in order:
        await talks.delete(kept[which])
        await talks.check()
        live = secrets.said_in(list(talks.said.values()))
        assert secrets.found_in(files(backend)) <= live
        assert backend.faults() == []
    await talks.store.aclose()
    assert secrets.found_in(files(backend)) == set()
    assert backend.size() == 0


@pytest.mark.parametrize("level", [PLAIN, LEVEL])
async def test_a_close_leaves_nothing_of_what_was_deleted(tmp_path: Path, level: int) -> None:
    backend, secrets = SqliteBackend(tmp_path, level=level), Secrets()
    talks = await opened(backend)
    kept = await tell(talks, secrets)
    assert "image" in secrets.found_in(files(backend))  # which no level makes smaller
    for said in kept:
        await talks.delete(said)
    await talks.store.aclose()
    assert secrets.found_in(whole(tmp_path)) == set()


@pytest.mark.parametrize("seed", range(4))
async def test_a_long_conversation_deleted_in_any_order_leaves_nothing(
    tmp_path: Path, seed: int
) -> None:
    luck, secrets = Random(seed), Secrets()
    backend = SqliteBackend(tmp_path, level=PLAIN)
    talks = await opened(backend)
    said: list[bytes] = []
    for turn in range(36):
        said = [*said, message("user", secrets.text(f"question {turn}"))]
        answer = message("assistant", secrets.text(f"answer {turn}"))
        for _ in range(1 + turn % 3 // 2):
            await talks.keep(call(said, seed=turn % 5), answer, upstream_id=None)
        said = [*said, answer]
    assert secrets.found_in(files(backend)) == set(secrets.texts)
    kept = list(talks.said.values())
    luck.shuffle(kept)
    for number, one in enumerate(kept, start=1):
        await talks.delete(one)
        if number % 8 == 0:
            await talks.check()
            found = secrets.found_in(files(backend))
            assert found <= secrets.said_in(list(talks.said.values()))
            assert backend.faults() == []
    await talks.store.aclose()
    assert backend.size() == 0


METADATA = {f"metadata {turn}" for turn in range(4)}


async def test_after_each_body_that_is_let_go_only_metadata_and_what_is_still_said_are_found(
    tmp_path: Path,
) -> None:
    backend, secrets = SqliteBackend(tmp_path, level=PLAIN), Secrets()
    talks = await opened(backend)
    for said in await tell(talks, secrets):
        await talks.expire(said)
        await talks.check()
        live = secrets.said_in(list(talks.said.values()))
        assert secrets.found_in(files(backend)) <= live | METADATA
        assert backend.faults() == []
    await talks.store.aclose()
    assert secrets.found_in(files(backend)) == METADATA


async def test_bodies_let_go_leave_the_wal_while_the_store_is_open(tmp_path: Path) -> None:
    backend, secrets = SqliteBackend(tmp_path, level=PLAIN), Secrets()
    talks = await opened(backend)
    kept = await tell(talks, secrets)
    assert secrets.found_in(whole(tmp_path)) == set(secrets.texts)
    await talks.expire(kept[-1])
    await emptied(tmp_path, secrets, left=METADATA)
    await talks.store.aclose()


async def emptied(folder: Path, secrets: Secrets, left: AbstractSet[str] = frozenset()) -> None:
    """Returns when nothing of the secrets is in the folder any more, but what is left."""
    while secrets.found_in(await asyncio.to_thread(whole, folder)) - left:
        pass


async def test_what_was_deleted_leaves_the_wal_while_the_store_is_open(tmp_path: Path) -> None:
    backend, secrets = SqliteBackend(tmp_path, level=PLAIN), Secrets()
    talks = await opened(backend)
    kept = await tell(talks, secrets)
    assert secrets.found_in(whole(tmp_path)) == set(secrets.texts)
    for said in kept:
        await talks.delete(said)
    await emptied(tmp_path, secrets)
    await talks.store.aclose()


async def test_the_wal_is_emptied_when_the_last_reader_that_needed_it_has_gone(
    tmp_path: Path,
) -> None:
    backend, secrets = SqliteBackend(tmp_path, level=PLAIN), Secrets()
    talks = await opened(backend)
    kept = await tell(talks, secrets)
    with direct(backend.path) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM record").fetchall() == [(4,)]
        before = backend.path.read_bytes()
        for said in kept:
            await talks.delete(said)
        # What the reader leaves free is checkpointed: so it was tried.
        while await asyncio.to_thread(backend.path.read_bytes) == before:
            pass
        assert secrets.found_in(whole(tmp_path))
    await emptied(tmp_path, secrets)
    await talks.store.aclose()


async def test_what_was_deleted_before_a_crash_leaves_the_wal_at_the_next_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "before").mkdir()
    backend, secrets = SqliteBackend(tmp_path / "before", level=PLAIN), Secrets()
    talks = await opened(backend)
    for said in await tell(talks, secrets):
        await talks.delete(said)
    crashed = Path(shutil.copytree(tmp_path / "before", tmp_path / "after"))
    await talks.store.aclose()
    assert secrets.found_in(whole(crashed)) == set(secrets.texts)
    store = await SqliteBackend(crashed).open(serving=True)
    assert secrets.found_in(whole(crashed)) == set()
    await store.aclose()
