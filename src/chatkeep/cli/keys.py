"""`chatkeep keys`: add, list and revoke API keys, also while a server serves the store."""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from chatkeep.cli import options
from chatkeep.core import keys as core
from chatkeep.core.model import SCOPES, Key, KeyId, Scope
from chatkeep.core.ports import Store
from chatkeep.errors import Fault

T = TypeVar("T")

DEFAULT_SCOPES: tuple[Scope, ...] = ("create", "read", "write")


@click.group()
def keys() -> None:
    """API keys: add, ls, revoke."""


@keys.command()
@click.option("--project", default="default", show_default=True, help="Made when it is new.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=DEFAULT_SCOPES,
    show_default=True,
    help="What the key may do; may be given several times.",
)
@options.store
@options.config
@options.json_output
def add(
    project: str,
    scopes: tuple[Scope, ...],
    store: str | None,
    config: Path | None,
    json_output: bool,
) -> None:
    """Add a key and print it; it is shown only now."""
    secret = core.new_secret(secrets.token_bytes)

    async def act(opened: Store) -> Key:
        return await opened.add_key(
            _project(project),
            core.digest(secret),
            core.masked(secret),
            frozenset(scopes),
            int(time.time()),
        )

    key = _with_store(store, config, act)
    if json_output:
        click.echo(json.dumps({"key": secret, **_described(key)}))
    else:
        click.echo(secret)


@keys.command("ls")
@options.store
@options.config
@options.json_output
def list_keys(store: str | None, config: Path | None, json_output: bool) -> None:
    """List all keys, without their secrets."""
    found = _with_store(store, config, lambda opened: opened.keys())
    for key in found:
        described = _described(key)
        if json_output:
            click.echo(json.dumps(described))
        else:
            ended = "revoked" if key.revoked_unix else "active"
            scopes = ",".join(sorted(key.scopes))
            click.echo(f"{key.id}\t{key.project.name}\t{key.hint}\t{scopes}\t{ended}")


@keys.command()
@click.argument("key")
@options.store
@options.config
@options.json_output
def revoke(key: str, store: str | None, config: Path | None, json_output: bool) -> None:
    """Revoke a key: KEY is its number in `keys ls`, or the key itself."""
    revoked = _with_store(store, config, lambda opened: _revoke(opened, key))
    if json_output:
        click.echo(json.dumps({"id": revoked, "revoked": True}))
    else:
        click.echo(f"revoked key {revoked}", err=True)


async def _revoke(store: Store, given: str) -> KeyId:
    if given.isdecimal() and len(given) < 19:
        id = KeyId(int(given))
    else:
        found = await store.key(core.digest(given))
        if found is None:
            raise Fault("there is no such key; `chatkeep keys ls` lists them")
        id = found.id
    if not await store.revoke_key(id, int(time.time())):
        raise Fault(f"there is no active key {id}; `chatkeep keys ls` lists them")
    return id


def _with_store(store: str | None, config: Path | None, act: Callable[[Store], Awaitable[T]]) -> T:
    from chatkeep.settings import load
    from chatkeep.store import open_store

    async def run() -> T:
        opened = await open_store(load({"store": store}, file=config).store)
        try:
            return await act(opened)
        finally:
            await opened.aclose()

    return asyncio.run(run())


def _project(name: str) -> str:
    if not name.strip() or len(name) > 64 or not name.isprintable():
        raise click.BadParameter(
            "give a name of 1 to 64 printable characters", param_hint="project"
        )
    return name


def _described(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "project": key.project.name,
        "hint": key.hint,
        "scopes": sorted(key.scopes),
        "created": key.created_unix,
        "revoked": key.revoked_unix,
    }
