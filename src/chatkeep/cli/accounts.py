"""Keys and projects of the store that a command names, in the store's file itself."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from chatkeep.core.accounts.administration import Administration
from chatkeep.core.ports.store import Store

T = TypeVar("T")


def using(
    store: str | None,
    config: Path | None,
    act: Callable[[Administration, Store], Awaitable[T]],
    *,
    create: bool = False,
) -> T:
    """What `act` returns. The store has to be there, unless this may `create` it."""
    from chatkeep.settings import encryption_key, load
    from chatkeep.store import open_store

    async def run() -> T:
        settings = load({"store": store}, file=config)
        key = encryption_key(settings)
        opened = await open_store(settings.store, key=key, existing=not create)
        try:
            return await act(Administration(opened, time.time, secrets.token_bytes), opened)
        finally:
            await opened.aclose()

    return asyncio.run(run())
