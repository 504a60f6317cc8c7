"""`chatkeep encryption`, and how every command behaves at an encrypted store."""

import asyncio
import json
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from cli.shell import Ended, chatkeep
from click.testing import CliRunner
from support.backends import SqliteBackend
from support.database import direct
from support.samples import keep, place, row

from chatkeep.cli import main
from chatkeep.core.model.completion import Scope

FAILED, WRONG_USAGE, SOME_FAILED, NOT_AUTHORISED = 1, 2, 3, 4
READ: frozenset[Scope] = frozenset({"read"})
KEY = "c0ffee11" + "0123456789abcdef" * 3 + "8badf00d"
OTHER_KEY = KEY[::-1]
COMPLETIONS = 3
COMMANDS = (
    ["keys", "ls"],
    ["keys", "add"],
    ["projects", "ls"],
    ["rm", "--all", "--yes"],
    ["verify"],
    ["import", "-"],
)


class Shell:
    """Runs commands at the store of a folder, with a key or without."""

    def __init__(self, folder: Path) -> None:
        self.backend = SqliteBackend(folder)
        self.key = ""

    def __call__(self, *command: str, stdin: str = "") -> Ended:
        settings = {
            "CHATKEEP_STORE": f"sqlite:///{self.backend.path}",
            "CHATKEEP_ENCRYPTION_KEY": self.key,
        }
        ended = CliRunner().invoke(main, list(command), env=settings, input=stdin)
        assert KEY not in ended.output
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    def state(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self("encryption", "status", "--json").out)
        return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """At a plain store with three completions."""
    shell = Shell(tmp_path)

    async def fill() -> None:
        store = await shell.backend.open()
        project = (await store.add_key("default", b"digest", "sk-o", READ, 0)).project
        await keep(store, project, *(row(place(number)) for number in range(COMPLETIONS)))
        await store.aclose()

    asyncio.run(fill())
    return shell


@pytest.fixture
def encrypted(shell: Shell) -> Shell:
    shell.key = KEY
    assert shell("encryption", "on").code == 0
    return shell


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("key", "says"), [("", "is encrypted: give its key"), (OTHER_KEY, "the")])
def test_no_command_opens_an_encrypted_store_without_its_key(
    encrypted: Shell, command: Sequence[str], key: str, says: str
) -> None:
    encrypted.key = key
    ended = encrypted(*command)
    assert says in ended.refusal()
    assert ended.code == NOT_AUTHORISED


@pytest.mark.parametrize("key", ["", OTHER_KEY])
def test_no_server_starts_at_an_encrypted_store_without_its_key(encrypted: Shell, key: str) -> None:
    folder = encrypted.backend.path.parent
    settings = {"CHATKEEP_STORE": "sqlite:///chatkeep.db", "CHATKEEP_ENCRYPTION_KEY": key}
    ended = chatkeep(folder, "serve", "--port", "0", "--upstream", "http://127.0.0.1:9", **settings)
    assert "key" in ended.refusal()
    assert ended.code == NOT_AUTHORISED


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_a_key_for_a_plain_store(shell: Shell, command: Sequence[str]) -> None:
    shell.key = KEY
    ended = shell(*command)
    assert "which is not encrypted" in ended.refusal()
    assert ended.code == WRONG_USAGE


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_what_is_no_key(shell: Shell, command: Sequence[str]) -> None:
    shell.key = "sesame"
    ended = shell(*command)
    assert "64 hex digits" in ended.refusal()
    assert ended.code == WRONG_USAGE


@pytest.mark.parametrize("command", [["on"], ["rekey"], ["off", "--yes"]])
def test_a_change_needs_a_key(shell: Shell, command: Sequence[str]) -> None:
    ended = shell("encryption", *command)
    assert ended.refusal().startswith("give the key with ")
    assert ended.code == NOT_AUTHORISED


@pytest.mark.parametrize("command", [["rekey"], ["off", "--yes"]])
def test_a_plain_store_has_nothing_to_change(shell: Shell, command: Sequence[str]) -> None:
    shell.key = KEY
    ended = shell("encryption", *command)
    assert (ended.code, ended.refusal()) == (FAILED, "encryption is off")


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.key = KEY
    for command in ("on", "rekey", "resume", "status"):
        ended = shell("encryption", command)
        assert (ended.code, ended.refusal()[:17]) == (FAILED, "there is no store")
    assert list(tmp_path.iterdir()) == []


def test_decrypting_is_asked_for(encrypted: Shell) -> None:
    ended = encrypted("encryption", "off")
    assert "becomes readable without a key: give --yes" in ended.refusal()
    assert ended.code == FAILED
    assert encrypted.state() == {"encryption": "on", "left": 0}


def test_a_store_that_is_open_is_not_changed(encrypted: Shell) -> None:
    async def changed_meanwhile() -> Ended:
        backend = SqliteBackend(encrypted.backend.path.parent, key=bytes.fromhex(KEY))
        store = await backend.open(serving=True)
        ended = encrypted("encryption", "rekey")
        await store.aclose()
        return ended

    ended = asyncio.run(changed_meanwhile())
    assert "is open in another process: stop that first" in ended.refusal()
    assert ended.code == FAILED


def test_a_new_key_that_is_none_is_refused(encrypted: Shell) -> None:
    ended = encrypted("encryption", "rotate", "--new-key-file", "-", stdin="sesame")
    assert "that --new-key-file gives is not 64 hex digits" in ended.refusal()
    assert ended.code == WRONG_USAGE


def test_new_keys_are_printed_and_differ() -> None:
    made = [CliRunner().invoke(main, ["encryption", "new-key"]).stdout for _ in range(3)]
    assert all(re.fullmatch(r"[0-9a-f]{64}\n", key) for key in made)
    assert len(set(made)) == 3


def test_a_new_key_in_a_file_is_for_its_owner_alone_and_opens_a_store(tmp_path: Path) -> None:
    file, store = tmp_path / "key", f"sqlite:///{tmp_path / 'chatkeep.db'}"
    umask = os.umask(0)
    try:
        ended = CliRunner().invoke(main, ["encryption", "new-key", str(file)])
    finally:
        os.umask(umask)
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", file.read_text())
    environment = {"CHATKEEP_STORE": store, "CHATKEEP_ENCRYPTION_KEY_FILE": str(file)}
    assert chatkeep(tmp_path, "keys", "add", **environment).code == 0
    assert chatkeep(tmp_path, "encryption", "status", **environment).out == "on\n"


@pytest.mark.parametrize("name", ["key", "no/such/key"])
def test_a_key_file_that_is_there_or_cannot_be_made_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "key").write_text(KEY)
    ended = chatkeep(tmp_path, "encryption", "new-key", name)
    assert (ended.code, f"{name} cannot be made" in ended.refusal()) == (WRONG_USAGE, True)
    assert (tmp_path / "key").read_text() == KEY


@pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)])
def test_a_key_file_that_others_can_read_is_warned_of(
    encrypted: Shell, tmp_path: Path, mode: int, warned: int
) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(mode)
    environment = {"CHATKEEP_STORE": f"sqlite:///{encrypted.backend.path}"}
    ended = chatkeep(tmp_path, "keys", "ls", CHATKEEP_ENCRYPTION_KEY_FILE=str(file), **environment)
    assert ended.code == 0
    assert ended.err.count(f"others can read or change {file}") == warned


def test_a_store_is_encrypted_rekeyed_and_decrypted(shell: Shell) -> None:
    assert shell("encryption", "status") == (0, "off\n", "")
    shell.key = KEY
    ended = shell("encryption", "on")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.endswith(" rewritten; encryption is on\n")
    assert shell("encryption", "status") == (0, "on\n", "")
    for command in (["rekey"], ["resume"], ["off", "--yes"]):
        assert shell("verify").err == "3 completions checked, no faults\n"
        assert shell("encryption", *command).code == 0
    shell.key = ""
    assert shell("verify").err == "3 completions checked, no faults\n"
    assert shell("encryption", "resume").code == 0


def test_the_summary_is_one_object(shell: Shell) -> None:
    shell.key = KEY
    (said,) = shell("encryption", "on", "--json").rows()
    assert said["encryption"] == "on"
    assert said["rewritten"] >= COMPLETIONS
    assert said["damaged"] == 0


def test_a_change_that_cannot_end_says_so(encrypted: Shell) -> None:
    with direct(encrypted.backend.path) as connection:
        connection.execute("UPDATE record SET body = CAST(substr(body, 1, 40) AS BLOB)")
    ended = encrypted("encryption", "rekey")
    assert "as 3 could not be read: `chatkeep verify` says which" in ended.err
    assert ended.code == SOME_FAILED
    assert encrypted("encryption", "status").out == "changing its data key, 3 to rewrite\n"
    assert encrypted("encryption", "rekey").code == FAILED


def test_the_store_opens_with_the_new_key_from_then_on(encrypted: Shell) -> None:
    ended = encrypted("encryption", "rotate", "--new-key-file", "-", stdin=OTHER_KEY)
    assert ended == (0, "", "the store opens with the new key only\n")
    assert encrypted("verify").code == NOT_AUTHORISED
    encrypted.key = OTHER_KEY
    assert encrypted("verify").code == 0


def test_every_command_works_with_the_key(encrypted: Shell) -> None:
    for command in COMMANDS:
        assert encrypted(*command).code == 0, command
    assert encrypted("projects", "show", "default", "--json").rows()[0]["full_text"] is False


def test_full_text_cannot_be_turned_on(encrypted: Shell) -> None:
    ended = encrypted("projects", "set", "default", "--full-text", "true")
    assert "this store is encrypted" in ended.refusal()
    assert ended.code == WRONG_USAGE
    assert encrypted("rm", "--q", "hello", "--yes").code == FAILED


def test_a_store_that_another_process_has_open_is_not_changed(encrypted: Shell) -> None:
    """In one process SQLite itself knows of all connections; between two the file's locks count."""

    async def changed_meanwhile() -> Ended:
        backend = SqliteBackend(encrypted.backend.path.parent, key=bytes.fromhex(KEY))
        store = await backend.open(serving=True)
        store_url = f"sqlite:///{encrypted.backend.path}"
        settings = {"CHATKEEP_STORE": store_url, "CHATKEEP_ENCRYPTION_KEY": KEY}
        ended = await asyncio.to_thread(
            chatkeep, encrypted.backend.path.parent, "encryption", "rekey", **settings
        )
        await store.aclose()
        return ended

    ended = asyncio.run(changed_meanwhile())
    assert "is open in another process: stop that first" in ended.refusal()
    assert ended.code == FAILED
    assert encrypted("verify").code == 0
