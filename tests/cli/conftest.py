"""A provider each module shares; each test has two minutes."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from support.provider import Provider

PATIENCE_S = 120


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = bounded(item.obj)


def bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def in_time(*given: Any, **fixtures: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test(*given, **fixtures)

    return in_time


@pytest.fixture(scope="module")
async def provider(anyio_backend: object) -> AsyncIterator[Provider]:
    """Answers with the echo, unless a test has it answer something else."""
    async with Provider() as provider:
        yield provider
