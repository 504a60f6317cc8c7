"""`chatkeep keys`: add, list, expire and revoke API keys, also while a server serves the store."""

import json
import time
from pathlib import Path

import click

from chatkeep.cli import accounts as opened
from chatkeep.cli import asking, options, when
from chatkeep.core.accounts.administration import USUAL, Administration, Issued, described
from chatkeep.core.accounts.authority import OPERATOR
from chatkeep.core.accounts.keys import digest
from chatkeep.core.model.completion import SCOPES, Key, Scope
from chatkeep.core.ports.store import Store
from chatkeep.errors import Fault, KeyNotFound, ProjectNotFound

FIRST_PROJECT = "default"


@click.group()
def keys() -> None:
    """API keys: add, ls, expire, revoke."""


@keys.command()
@click.option("--project", default=FIRST_PROJECT, show_default=True, help="Made when it is new.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=USUAL,
    show_default=True,
    help="What the key may do; may be given several times.",
)
@click.option("--name", default="", help="What it is for, to know it by.")
@click.option("--expires", metavar=when.METAVAR, default="never", help=when.HELP)
@options.store
@options.config
@options.json_output
def add(
    project: str,
    scopes: tuple[Scope, ...],
    name: str,
    expires: str,
    store: str | None,
    config: Path | None,
    json_output: bool,
) -> None:
    """Add a key and print it; it is shown only now."""
    expires_unix = when.unix(expires, int(time.time()))
    given = {"name": name, "scopes": list(scopes), "expires_at": expires_unix}

    async def act(accounts: Administration, _: Store) -> Issued:
        try:
            await accounts.project(OPERATOR, project)
        except ProjectNotFound:
            await accounts.create_project(OPERATOR, {"name": project})
        return await accounts.create_key(OPERATOR, project, given)

    issued = opened.using(store, config, act, create=True)
    if json_output:
        click.echo(json.dumps({"key": issued.secret, **described(issued.key)}))
    else:
        click.echo(issued.secret)


@keys.command("ls")
@click.option("--project", help="Only keys of this project.")
@options.store
@options.config
@options.json_output
def list_keys(
    project: str | None, store: str | None, config: Path | None, json_output: bool
) -> None:
    """List keys, ended ones included, without their secrets."""
    pairs = [] if project is None else [("project", project)]
    found = opened.using(store, config, lambda accounts, _: accounts.keys(OPERATOR, pairs))
    for key in found:
        click.echo(json.dumps(described(key)) if json_output else _line(key))


@keys.command()
@click.argument("key")
@click.argument("ends", metavar=when.METAVAR)
@options.store
@options.config
@options.json_output
def expire(key: str, ends: str, store: str | None, config: Path | None, json_output: bool) -> None:
    """Set when a key ends: WHEN is 30d, 12h, 2027-01-31, now or never."""
    expires_unix = when.unix(ends, int(time.time()))

    async def act(accounts: Administration, store: Store) -> Key:
        found = await _active(accounts, store, key)
        return await accounts.change_key(OPERATOR, str(found.id), {"expires_at": expires_unix})

    changed = opened.using(store, config, act)
    if json_output:
        click.echo(json.dumps(described(changed)))
    else:
        click.echo(f"key {changed.id} expires: {when.shown(changed.expires_unix)}", err=True)


@keys.command()
@click.argument("key")
@options.yes
@options.store
@options.config
@options.json_output
def revoke(key: str, yes: bool, store: str | None, config: Path | None, json_output: bool) -> None:
    """Revoke a key, for good: KEY is its number in `keys ls`, or the key itself."""

    async def act(accounts: Administration, store: Store) -> Key:
        found = await _active(accounts, store, key)
        who = f" ({found.name})" if found.name else ""
        what = f"key {found.id}{who} of project {found.project.name} ends for good"
        asking.confirm(what, yes=yes)
        return await accounts.revoke_key(OPERATOR, str(found.id))

    revoked = opened.using(store, config, act)
    if json_output:
        click.echo(json.dumps(described(revoked)))
    else:
        click.echo(f"revoked key {revoked.id}", err=True)


def _line(key: Key) -> str:
    scopes = ",".join(scope for scope in SCOPES if scope in key.scopes)
    used = f"used {when.shown(key.last_used_unix)}"
    columns = (str(key.id), key.project.name, key.hint, scopes, _state(key), used, key.name)
    return "\t".join(columns)


def _state(key: Key) -> str:
    if key.revoked_unix is not None:
        return "revoked"
    ends = key.expires_unix
    if ends is None:
        return "active"
    return f"{'expired' if ends <= time.time() else 'until'} {when.shown(ends)}"


async def _active(accounts: Administration, store: Store, given: str) -> Key:
    """The key meant by its number or by itself."""
    if given.isdecimal():
        try:
            found = await accounts.key(OPERATOR, given)
        except KeyNotFound:
            found = None
    else:
        found = await store.key(digest(given))
    if found is None or found.revoked_unix is not None:
        number = given if found is None else found.id
        which = f"active key {number}" if given.isdecimal() or found else "such key"
        raise Fault(f"there is no {which}; `chatkeep keys ls` lists them")
    return found
