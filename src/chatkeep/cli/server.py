"""Runs a server from its settings: store, upstreams, socket, banner, and the way down."""

import gc
import secrets
import sys
import time

import click

from chatkeep.cli.banner import Ready, text
from chatkeep.cli.choosing import Chosen, choose
from chatkeep.core.accounts import keys
from chatkeep.core.model.completion import Scope
from chatkeep.core.ports.accounts import Accounts
from chatkeep.core.ports.store import Store
from chatkeep.errors import BadSetting, Fault
from chatkeep.settings import Settings, encryption_key
from chatkeep.store import open_store
from chatkeep.web.app import running
from chatkeep.web.server.server import Server, address, allow_many_connections, listen

_PRESET_MIN = 16
_FIRST_PROJECT = "default"


async def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then lets what is in progress end."""
    store = await open_store(settings.store, key=encryption_key(settings), serving=True)
    try:
        instance = secrets.token_hex(8)
        chosen = await choose(settings, instance)
        try:
            await _serve(settings, store, chosen, instance)
        finally:
            await chosen.aclose()
    finally:
        await store.aclose()


async def _serve(settings: Settings, store: Store, chosen: Chosen, instance: str) -> None:
    allow_many_connections()
    listening = listen(settings.host, settings.port)
    # Only now, when nothing can go wrong any more: it is shown once.
    root_key = await _first_key(settings, store)
    open_to = await _opened(store) if settings.no_auth else None
    async with running(
        settings, store, chosen.upstreams, instance=instance, open_to=open_to
    ) as app:
        ready = Ready(
            address=address(listening),
            store=settings.store,
            upstream=chosen.said,
            model=await chosen.example_model(),
            auth=not settings.no_auth,
            root_key=root_key,
        )
        # What is there now stays, and calls leave few cycles: a fifth of a create's CPU saved.
        gc.freeze()
        gc.set_threshold(20_000, 50, 100)
        # How long the loop may wait for the interpreter, each time it wakes beside a thread that
        # computes: facets, searches. Python's own is 5 ms.
        sys.setswitchinterval(0.001)
        server = Server(app, settings)
        with server.capture_signals():  # before anybody is told, and may send one
            click.echo(text(ready))
            sys.stdout.flush()
            await server.serve(sockets=[listening])


async def _first_key(settings: Settings, accounts: Accounts) -> str | None:
    """Makes sure there is a root key; the new one's secret when it was made up here."""
    if settings.key is not None:
        await _preset(settings.key, accounts)
        return None
    if any("root" in key.scopes for key in await accounts.keys()):
        return None
    secret = keys.new_secret(secrets.token_bytes)
    await _add_root(secret, accounts)
    return secret


async def _preset(secret: str, accounts: Accounts) -> None:
    if len(secret) < _PRESET_MIN:
        raise BadSetting(
            f"key has {len(secret)} characters; give at least {_PRESET_MIN}, best from"
            " `chatkeep keys add`"
        )
    known = await accounts.key(keys.digest(secret))
    if known is None:
        await _add_root(secret, accounts)
    elif known.revoked_unix is not None:
        raise BadSetting("key has been revoked in this store; preset another one")
    elif known.expires_unix is not None and known.expires_unix <= time.time():
        raise BadSetting("key has expired in this store; preset another one")


async def _add_root(secret: str, accounts: Accounts) -> None:
    root: frozenset[Scope] = frozenset({"root"})
    hint = keys.masked(secret)
    await accounts.add_key(_FIRST_PROJECT, keys.digest(secret), hint, root, int(time.time()))


async def _opened(accounts: Accounts) -> str:
    """The project of --no-auth, which the first start made."""
    if await accounts.project(_FIRST_PROJECT) is None:
        raise Fault("the store has no project 'default'; make one with: chatkeep keys add")
    return _FIRST_PROJECT
