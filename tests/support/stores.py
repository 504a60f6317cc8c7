"""A store to test, and two projects in it, as fixtures."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.backends import BACKENDS, ENCRYPTED, ON_DISK, Backend

from chatkeep.core.model.completion import Project, Scope
from chatkeep.core.ports.store import Store

__all__ = ["backend", "other", "project", "run_on", "store"]

READ: frozenset[Scope] = frozenset({"read"})


def run_on(metafunc: pytest.Metafunc, plain: set[str]) -> None:
    """Runs a test that asks for a backend on the plain ones, and where it says so encrypted, or
    only on those that have a disk."""
    if "backend" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker
        names = plain & set(ON_DISK) if marked("on_disk") else plain
        names = names | set(ENCRYPTED) if marked("also_encrypted") else names
        metafunc.parametrize("backend", sorted(names), indirect=True)


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
