"""Every test here that asks for `store` or `backend` runs once on each backend there is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.backends import BACKENDS, Backend

from chatkeep.core.model import Project, Scope
from chatkeep.core.ports import Store

READ: frozenset[Scope] = frozenset({"read"})


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return BACKENDS[request.param](tmp_path)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    store = await backend.open()
    yield store
    await store.aclose()


@pytest.fixture
async def project(store: Store) -> Project:
    return (await store.add_key("ours", b"digest of our key", "sk-o", READ, 0)).project


@pytest.fixture
async def other(store: Store) -> Project:
    return (await store.add_key("theirs", b"digest of theirs", "sk-t", READ, 0)).project
