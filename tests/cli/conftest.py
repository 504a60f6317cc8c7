"""A provider each module shares."""

from collections.abc import AsyncIterator

import pytest
from support.provider import Provider


@pytest.fixture(scope="module")
async def provider(anyio_backend: object) -> AsyncIterator[Provider]:
    """Answers with the echo, unless a test has it answer something else."""
    async with Provider() as provider:
        yield provider
