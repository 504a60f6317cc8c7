"""How long tests wait for what must come: longer than the busiest machine needs, not for ever."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

PATIENCE_S = 120


def bound(item: pytest.Item, seconds: float) -> None:
    """For `pytest_itemcollected`."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _bounded(item.obj, seconds)


def _bounded(
    test: Callable[..., Awaitable[None]], seconds: float
) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def in_time(*given: Any, **fixtures: Any) -> None:
        async with asyncio.timeout(seconds):
            await test(*given, **fixtures)

    return in_time
