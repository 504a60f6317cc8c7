"""How long tests wait for what must come: longer than the busiest machine needs, not for ever."""

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import is_hypothesis_test

PATIENCE_S = 300


def bound(item: pytest.Item) -> None:
    """For `pytest_itemcollected`: no coroutine waits longer, and no example of a property."""
    if not isinstance(item, pytest.Function):
        return
    if is_hypothesis_test(item.obj):
        tried = item.obj.hypothesis
        if not hasattr(tried.inner_test, "__wrapped__"):  # it is one for all parameters
            tried.inner_test = _bounded(tried.inner_test)
    else:
        item.obj = _bounded(item.obj)


def _bounded(test: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.iscoroutinefunction(test):
        return test

    @functools.wraps(test)
    async def in_time(*given: Any, **fixtures: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test(*given, **fixtures)

    return in_time
