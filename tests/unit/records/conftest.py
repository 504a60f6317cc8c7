"""A store in memory with two projects."""

import pytest
from support.memory.data import Data
from support.memory.store import MemoryStore

from chatkeep.core.model.completion import Project, Scope

READ: frozenset[Scope] = frozenset({"read"})


@pytest.fixture
def data() -> Data:
    """What other stores may be opened on."""
    return Data()


@pytest.fixture
def store(data: Data) -> MemoryStore:
    return MemoryStore(data)


@pytest.fixture
async def project(store: MemoryStore) -> Project:
    return (await store.add_key("ours", b"digest of our key", "sk-o", READ, 0)).project


@pytest.fixture
async def other(store: MemoryStore) -> Project:
    return (await store.add_key("theirs", b"digest of theirs", "sk-t", READ, 0)).project
