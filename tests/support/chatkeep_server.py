"""A real chatkeep in the test's own event loop: SQLite in a folder, HTTP on a free port."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai

from chatkeep.core.accounts import keys
from chatkeep.core.model.completion import SCOPES, Scope
from chatkeep.core.ports.store import Store
from chatkeep.core.proxy.recorder import Clock
from chatkeep.settings import Settings, encryption_key
from chatkeep.settings.upstreams import UpstreamSetting, named_upstreams
from chatkeep.store.sqlite import open_sqlite
from chatkeep.upstream.http.client import HttpUpstream
from chatkeep.upstream.router import Router
from chatkeep.web.app import SYSTEM_CLOCK, running
from chatkeep.web.server.server import Server, address, listen

KEY = "sk-ck-test-key-of-the-default-project"


@dataclass(frozen=True)
class Chatkeep:
    """A running server. `key` has all scopes in the project `default`."""

    url: str
    key: str
    store: Store

    def client(self, key: str | None = None, **options: Any) -> openai.AsyncOpenAI:
        """The official client; it does not retry, so that each answer is seen."""
        options.setdefault("max_retries", 0)
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key or self.key, **options)

    def http(self, key: str | None = None) -> httpx2.AsyncClient:
        """A plain HTTP client with the key."""
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx2.AsyncClient(base_url=self.url, headers=headers)

    async def add_key(self, secret: str, project: str, *scopes: Scope) -> str:
        await add_key(self.store, secret, project, *scopes)
        return secret


async def add_key(store: Store, secret: str, project: str, *scopes: Scope) -> None:
    wanted = frozenset(scopes or SCOPES[:3])
    await store.add_key(project, keys.digest(secret), keys.masked(secret), wanted, 0)


@contextlib.asynccontextmanager
async def chatkeep(
    folder: Path, upstream_url: str, *, vfs: str | None = None, **settings: Any
) -> AsyncIterator[Chatkeep]:
    """Serves `folder/chatkeep.db` in front of the upstream until the block ends."""
    upstream = settings.pop("upstream", {})
    setting = UpstreamSetting(name="provider", base_url=upstream_url, **upstream)
    async with chatkeep_before(folder, [setting], vfs=vfs, **settings) as one:
        yield one


@contextlib.asynccontextmanager
async def chatkeep_before(
    folder: Path,
    named: Sequence[UpstreamSetting],
    *,
    vfs: str | None = None,
    listening: socket.socket | None = None,
    open_to: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
    **settings: Any,
) -> AsyncIterator[Chatkeep]:
    """The same in front of several upstreams; `listening` when its address must be known before,
    `open_to` a project that needs no key."""
    given = Settings(drain_s=5, upstream=tuple(named), **settings)
    key = encryption_key(given)
    store = await open_sqlite(folder / "chatkeep.db", key=key, serving=True, vfs=vfs)
    if await store.key(keys.digest(KEY)) is None:
        await add_key(store, KEY, "default")
    usable = named_upstreams(given, {})
    router = Router([(HttpUpstream(setting, "test-instance"), setting) for setting in usable])
    try:
        async with running(
            given, store, router, instance="test-instance", open_to=open_to, clock=clock
        ) as app:
            sock = listening or listen("127.0.0.1", 0)
            server = Server(app, given, signals=False)
            task = asyncio.create_task(server.serve(sockets=[sock]))
            try:
                yield Chatkeep(address(sock), KEY, store)
            finally:
                server.should_exit = True
                await task
    finally:
        await router.aclose()
        await store.aclose()
