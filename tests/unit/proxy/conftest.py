"""A store in memory with one project, and the proxy in front of it."""

import pytest
from support.memory.data import Data
from support.memory.store import MemoryStore
from support.proxying import Proxy

from chatkeep.core.model.completion import Key


@pytest.fixture
def data() -> Data:
    """What other stores may be opened on."""
    return Data()


@pytest.fixture
def store(data: Data) -> MemoryStore:
    return MemoryStore(data)


@pytest.fixture
async def key(store: MemoryStore) -> Key:
    return await store.add_key("ours", b"digest", "sk-o", frozenset({"create"}), 0)


@pytest.fixture
def proxy(store: MemoryStore, key: Key) -> Proxy:
    return Proxy(store, key)
