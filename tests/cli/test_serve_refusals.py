"""Starts that are refused: one line that says why, an exit code, and nothing left behind."""

import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cli.shell import chatkeep

from chatkeep.store import open_store

FAILED, WRONG_USAGE = 1, 2
UPSTREAM = "http://127.0.0.1:9/v1"  # never called: no server gets that far
STORE = "chatkeep.db"
BASE = {
    "CHATKEEP_PORT": "0",
    "CHATKEEP_STORE": f"sqlite:///{STORE}",
    "CHATKEEP_UPSTREAM_URL": UPSTREAM,
}


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@contextlib.asynccontextmanager
async def served(file: Path) -> AsyncIterator[None]:
    """The file as a server holds it."""
    store = await open_store(f"sqlite:///{file}", serving=True)
    try:
        yield
    finally:
        await store.aclose()


# What else is refused, and with which words: test_settings.py.
@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--port", "70000"], {}, r"^port is 70000; give a number from 0 to 65535$"),
        ([], {"CHATKEEP_LOG_LEVEL": "loud"}, r"'loud' .*\blog_level\b"),
        (["--host", "192.0.2.1", "--no-auth"], {}, r"^no_auth with host '192\.0\.2\.1' "),
        (["--config", "no.toml"], {}, r"^no\.toml cannot be read as settings: .*No such file"),
    ],
)
def test_a_bad_setting_is_refused_with_a_hint(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], says: str
) -> None:
    ended = chatkeep(tmp_path, "serve", *arguments, **BASE | environment)
    assert re.search(says, ended.refusal())
    assert ended.code == WRONG_USAGE
    assert list(tmp_path.iterdir()) == []


def test_a_preset_key_that_could_be_guessed_is_refused_and_not_repeated(tmp_path: Path) -> None:
    ended = chatkeep(tmp_path, "serve", **BASE, CHATKEEP_KEY="sk-ck-sesame")
    assert ended.refusal().startswith("key has 12 characters; give at least 16")
    assert "sesame" not in ended.err
    assert ended.code == WRONG_USAGE


@pytest.mark.parametrize(
    ("end", "said"),
    [(["revoke", "1", "--yes"], "been revoked"), (["expire", "1", "now"], "expired")],
)
def test_a_preset_key_that_has_ended_is_refused(tmp_path: Path, end: list[str], said: str) -> None:
    secret = chatkeep(tmp_path, "keys", "add", "--scope", "root", **BASE).out.strip()
    assert chatkeep(tmp_path, "keys", *end, **BASE).code == 0
    ended = chatkeep(tmp_path, "serve", **BASE, CHATKEEP_KEY=secret)
    assert ended.refusal() == f"key has {said} in this store; preset another one"
    assert ended.code == WRONG_USAGE


async def test_a_port_in_use_is_refused_with_a_hint_and_costs_no_root_key(tmp_path: Path) -> None:
    with taken_port() as port:
        ended = chatkeep(tmp_path, "serve", "--port", str(port), **BASE)
    refusal = ended.refusal()
    assert refusal.startswith(f"cannot listen on 127.0.0.1 port {port}: Address already in use")
    assert refusal.endswith("; give another --port or --host")
    assert ended.code == WRONG_USAGE
    await assert_no_key_was_lost(tmp_path)


async def test_an_upstream_that_is_none_is_refused_and_costs_no_root_key(tmp_path: Path) -> None:
    ended = chatkeep(tmp_path, "serve", "--upstream", "provider", **BASE)
    assert re.search(r"^the base URL of .* is 'provider'; give one like http", ended.refusal())
    assert ended.code == WRONG_USAGE
    await assert_no_key_was_lost(tmp_path)


async def assert_no_key_was_lost(folder: Path) -> None:
    """No key was printed, so the next start must still make one and print it."""
    store = await open_store(f"sqlite:///{folder / STORE}")
    try:
        assert await store.keys() == []
    finally:
        await store.aclose()


async def test_a_file_that_is_served_already_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path / STORE):
        ended = chatkeep(tmp_path, "serve", **BASE)
    assert ended.refusal().endswith(
        f"{STORE} is served by another chatkeep process; stop it, or give another --store"
    )
    assert ended.code == FAILED


async def test_a_file_that_is_served_under_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / STORE).symlink_to(tmp_path / "data" / "real.db")
    async with served(tmp_path / "data" / "real.db"):
        with taken_port() as port:  # so that it ends, should it be let in
            ended = chatkeep(tmp_path, "serve", "--port", str(port), **BASE)
    assert "is served by another chatkeep process" in ended.refusal()
    assert ended.code == FAILED


def test_a_file_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / STORE).write_text("Dear diary" * 1000)
    ended = chatkeep(tmp_path, "serve", **BASE)
    assert STORE in ended.refusal()
    assert ended.code == FAILED
    assert (tmp_path / STORE).read_text() == "Dear diary" * 1000


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = chatkeep(tmp_path, "serve", **BASE | {"CHATKEEP_STORE": "sqlite:///file/chatkeep.db"})
    assert "file/chatkeep.db cannot be " in ended.refusal()
    assert ended.code == FAILED


def test_a_traceback_is_shown_with_debug_only(tmp_path: Path) -> None:
    ended = chatkeep(tmp_path, "--debug", "serve", "--port", "70000", **BASE)
    assert ended.err.startswith("Traceback ")
    assert "port is 70000" in ended.err
