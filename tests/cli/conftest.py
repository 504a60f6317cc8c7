"""A provider each module shares; each test has two minutes."""

from collections.abc import AsyncIterator

import pytest
from support import patience
from support.provider import Provider

PATIENCE_S = 120


def pytest_itemcollected(item: pytest.Item) -> None:
    patience.bound(item, PATIENCE_S)


@pytest.fixture(scope="module")
async def provider(anyio_backend: object) -> AsyncIterator[Provider]:
    """Answers with the echo, unless a test has it answer something else."""
    async with Provider() as provider:
        yield provider
