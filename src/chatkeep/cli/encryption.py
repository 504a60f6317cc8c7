"""`chatkeep encryption`: how a store is kept, encrypted or plain, and under which keys."""

import json
import secrets
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from chatkeep.cli import asking, options
from chatkeep.cli.upstreams import SOME_FAILED

if TYPE_CHECKING:
    from chatkeep.core.ports.encryption import Encryption, EncryptionWish, Rewritten

_CLEAR = "\r\x1b[K"
_SAY_EVERY_S = 0.5


@click.group()
def encryption() -> None:
    """Encryption at rest: new-key, status, on, off, rekey, resume, rotate."""


@encryption.command("new-key")
@click.argument("file", required=False, type=click.Path(path_type=Path))
def new_key(file: Path | None) -> None:
    """Make a new random key: in a new FILE that only you can read, else print it."""
    from chatkeep.core.accounts import masterkey
    from chatkeep.settings.keyfiles import write_key

    key = masterkey.new(secrets.token_bytes)
    if file is None:
        click.echo(key)
    else:
        write_key(file, key)
        click.echo(f"wrote {file}; keep a copy: without it nothing is readable", err=True)


@encryption.command()
@options.store
@options.config
@options.json_output
def status(store: str | None, config: Path | None, json_output: bool) -> None:
    """Say whether the store is encrypted, and how much is left of a change."""
    kept, _ = _kept(store, config)
    state, left = kept.state(), kept.left()
    if json_output:
        click.echo(json.dumps({"encryption": state, "left": left}))
    else:
        click.echo(state if not left else f"{state}, {left:,} to rewrite")


@encryption.command()
@options.store
@options.config
@options.json_output
def on(store: str | None, config: Path | None, json_output: bool) -> None:
    """Encrypt a plain store; its full text index is emptied."""
    _change("on", store, config, json_output)


@encryption.command()
@options.yes
@options.store
@options.config
@options.json_output
def off(yes: bool, store: str | None, config: Path | None, json_output: bool) -> None:
    """Decrypt a store."""
    asking.confirm("everything in the store becomes readable without a key", yes=yes)
    _change("off", store, config, json_output)


@encryption.command()
@options.store
@options.config
@options.json_output
def rekey(store: str | None, config: Path | None, json_output: bool) -> None:
    """Encrypt everything anew, under a new data key."""
    _change("rekey", store, config, json_output)


@encryption.command()
@options.store
@options.config
@options.json_output
def resume(store: str | None, config: Path | None, json_output: bool) -> None:
    """Finish a change that was broken off."""
    kept, key = _kept(store, config)
    _rewrite(kept, key, json_output)


@encryption.command()
@click.option(
    "--new-key-file",
    type=click.File(),
    required=True,
    metavar="FILE",
    help="File that holds the new key; - is stdin.",
)
@options.store
@options.config
def rotate(new_key_file: TextIO, store: str | None, config: Path | None) -> None:
    """Have the store open with another key; nothing is rewritten."""
    from chatkeep.core.accounts import masterkey

    kept, key = _kept(store, config)
    kept.rotate(_needed(key), masterkey.parsed(new_key_file.read(), "--new-key-file"))
    click.echo("the store opens with the new key only", err=True)


def _kept(store: str | None, config: Path | None) -> "tuple[Encryption, bytes | None]":
    from chatkeep.settings import encryption_key, load
    from chatkeep.store import encryption

    settings = load({"store": store}, file=config)
    return encryption(settings.store), encryption_key(settings)


def _needed(key: bytes | None) -> bytes:
    from chatkeep.errors import StoreEncrypted

    if key is None:
        raise StoreEncrypted(
            "give the key with encryption_key_file, encryption_key_command or"
            " CHATKEEP_ENCRYPTION_KEY"
        )
    return key


def _change(
    wish: "EncryptionWish", store: str | None, config: Path | None, json_output: bool
) -> None:
    kept, key = _kept(store, config)
    kept.change(wish, _needed(key))
    click.echo("begun: a server may serve the store again, with its key", err=True)
    _rewrite(kept, key, json_output)


def _rewrite(kept: "Encryption", key: bytes | None, json_output: bool) -> None:
    last = _shown(kept.rewrite(key))
    done, _, damaged = last or (0, 0, 0)
    if json_output:
        said = {"encryption": kept.state(), "rewritten": done, "damaged": damaged}
        click.echo(json.dumps(said))
    click.echo(_summary(kept, done, damaged), err=True)
    if damaged:
        click.get_current_context().exit(SOME_FAILED)


def _shown(rewriting: "Iterable[Rewritten]") -> "Rewritten | None":
    """The last step. Between two, others get at the store for as long as a step took."""
    watched, said, last = sys.stderr.isatty(), 0.0, None
    began = time.monotonic()
    for last in rewriting:
        now = time.monotonic()
        if watched and now - said >= _SAY_EVERY_S:
            said = now
            click.echo(f"{_CLEAR}{last.done:,} of {last.total:,} rewritten", nl=False, err=True)
        time.sleep(now - began)
        began = time.monotonic()
    if watched:
        click.echo(_CLEAR, nl=False, err=True)
    return last


def _summary(kept: "Encryption", done: int, damaged: int) -> str:
    said = f"{done:,} rewritten; encryption is {kept.state()}"
    if not damaged:
        return said
    return f"{said}, as {damaged:,} could not be read: `chatkeep verify` says which"
