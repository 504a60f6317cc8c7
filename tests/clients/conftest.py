"""A provider with a model that uses tools, and `chatkeep serve` in front of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from clients.support import model
from support.provider import Provider
from support.server import ServerProcess


@pytest.fixture
async def provider(anyio_backend: object) -> AsyncIterator[Provider]:
    async with Provider() as provider:
        provider.always(model.answer)
        yield provider


@pytest.fixture
async def server(provider: Provider, tmp_path: Path) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(tmp_path, provider.url) as server:
        yield server


@pytest.fixture
async def stored(server: ServerProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official Python client, which shows what the server keeps."""
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.key) as client:
        yield client
