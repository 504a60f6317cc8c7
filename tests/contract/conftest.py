"""Every test here that asks for `store` or `backend` runs once on each backend there is.

Those marked `also_encrypted` run on an encrypted one as well.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.backends import BACKENDS, ENCRYPTED, Backend

from chatkeep.core.model.completion import Project, Scope
from chatkeep.core.ports import Store

READ: frozenset[Scope] = frozenset({"read"})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        also = metafunc.definition.get_closest_marker("also_encrypted")
        names = sorted(BACKENDS | ENCRYPTED if also else BACKENDS)
        metafunc.parametrize("backend", names, indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return (BACKENDS | ENCRYPTED)[request.param](tmp_path)


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
