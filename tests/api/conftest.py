"""A provider, a chatkeep in front of it and clients of it."""

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import openai
import pytest
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.observed import checking
from support.provider import Provider


@pytest.fixture
def nothing_left_open() -> Iterator[None]:
    """Makes what was not closed the failure of the test that left it, not of a later one."""
    yield
    gc.collect()


@pytest.fixture
async def provider(anyio_backend: object) -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


@pytest.fixture
async def chatkeep(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    async with chatkeep_server.chatkeep(tmp_path, provider.url) as running:
        yield running


@pytest.fixture
async def client(chatkeep: Chatkeep) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client; each JSON answer it gets is checked against the observed API."""
    async with chatkeep.client(http_client=checking()) as client:
        yield client


@pytest.fixture
async def http(chatkeep: Chatkeep) -> AsyncIterator[httpx2.AsyncClient]:
    """Plain HTTP with the key."""
    async with chatkeep.http() as http:
        yield http
