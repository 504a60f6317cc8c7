"""What the first start makes, says and shows only once, and what it says afterwards."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent

import httpx2
import pytest
from cli.shell import NEW_KEY_SERVE, SECRET, Banner, banner, chatkeep, python, run, typed
from support.provider import Provider
from support.server import KEY, ServerProcess

PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first")


@pytest.fixture(scope="module")
async def server(folder: Path, provider: Provider) -> AsyncIterator[ServerProcess]:
    """Started for the first time, with nothing said but the upstream."""
    environment = {"XDG_DATA_HOME": str(folder), "CHATKEEP_UPSTREAM_URL": provider.url}
    command = typed(NEW_KEY_SERVE)
    async with ServerProcess(
        folder, provider.url, command=command, environment=environment
    ) as server:
        yield server


@pytest.fixture(scope="module")
async def said(server: ServerProcess) -> Banner:
    return await banner(server)


@pytest.fixture(scope="module")
def key(said: Banner) -> str:
    return said.rows["root key"].partition(" ")[0]


@pytest.fixture(scope="module")
async def preset(
    tmp_path_factory: pytest.TempPathFactory, provider: Provider
) -> AsyncIterator[ServerProcess]:
    """Started for the first time with CHATKEEP_KEY."""
    async with ServerProcess(tmp_path_factory.mktemp("preset"), provider.url) as server:
        yield server


async def kept(server: ServerProcess, key: str) -> list[dict[str, object]]:
    """The metadata of all that is kept, newest first."""
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=server.url, headers=headers) as http:
        listed = (await http.get(PATH)).json()
    return [completion["metadata"] for completion in listed["data"]]


@pytest.mark.parametrize("guessed", [None, "chatkeep", "sk-ck-", "none-needed", "$CHATKEEP_KEY"])
async def test_no_key_that_could_be_guessed_is_let_in(
    server: ServerProcess, guessed: str | None
) -> None:
    headers = {} if guessed is None else {"authorization": f"Bearer {guessed}"}
    async with httpx2.AsyncClient(base_url=server.url, headers=headers) as http:
        assert (await http.get(PATH)).status_code == 401


async def test_the_first_start_prints_a_root_key_once(
    server: ServerProcess, said: Banner, key: str, folder: Path
) -> None:
    assert SECRET.fullmatch(key)
    assert said.rows["root key"] == f"{key}  (shown only now: keep it)"
    assert set(SECRET.findall(server.stdout + server.stderr)) == {key}
    listed = await asyncio.to_thread(chatkeep, folder, "keys", "ls", "--json")
    (only,) = listed.rows()
    assert (only["scopes"], only["project"], only["revoked_at"]) == (["root"], "default", None)


async def test_it_says_where_it_is_and_what_it_has(
    server: ServerProcess, said: Banner, provider: Provider
) -> None:
    assert said.rows["address"] == f"{server.url}/v1"
    assert provider.url in said.rows["upstream"]
    assert said.rows["auth"] == "on; add keys with: chatkeep keys add"


def test_the_store_is_a_private_file_in_the_users_data_directory(
    said: Banner, folder: Path
) -> None:
    assert said.rows["store"].startswith("sqlite:///")
    file = Path(said.rows["store"].removeprefix("sqlite:///"))
    assert file.is_relative_to(folder)
    assert file.name == "chatkeep.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_key_itself_is_not_in_the_store(said: Banner, folder: Path, key: str) -> None:
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    assert not any(key.encode() in file.read_bytes() for file in files)


async def test_the_printed_curl_runs_as_it_stands(
    server: ServerProcess, said: Banner, key: str, folder: Path
) -> None:
    ended = await asyncio.to_thread(run, folder, "bash", stdin=said.curl)
    assert json.loads(ended.out)["choices"][0]["message"]["content"] == "You said: Say hello."
    assert {"run": "1"} in await kept(server, key)


def test_the_printed_python_is_four_lines_to_paste(said: Banner) -> None:
    assert said.python.count("\n") == 4
    assert said.python == dedent(said.python)


async def test_the_printed_python_runs(
    server: ServerProcess, said: Banner, key: str, folder: Path
) -> None:
    ended = await asyncio.to_thread(python, folder, dedent(said.python))
    assert (ended.code, ended.err) == (0, "")
    assert "You said: Say hello." in ended.out
    assert {"run": "2"} in await kept(server, key)


def test_stderr_is_kept_for_logs(server: ServerProcess, said: Banner) -> None:
    assert server.stderr == ""


async def test_a_second_start_shows_no_key_and_the_first_one_still_works(
    tmp_path: Path, provider: Provider
) -> None:
    environment = {"XDG_DATA_HOME": str(tmp_path), "CHATKEEP_UPSTREAM_URL": provider.url}
    command = typed(NEW_KEY_SERVE)
    first = ServerProcess(tmp_path, provider.url, command=command, environment=environment)
    async with first:
        key = (await banner(first)).rows["root key"].partition(" ")[0]
        await asyncio.to_thread(first.terminate)
    second = ServerProcess(tmp_path, provider.url, command=command, environment=environment)
    async with second:
        rows = (await banner(second)).rows
        assert rows["auth"] == "on; add keys with: chatkeep keys add"
        assert "root key" not in rows
        assert not SECRET.search(second.stdout + second.stderr)
        assert await kept(second, key) == []


async def test_a_preset_key_is_not_printed(preset: ServerProcess) -> None:
    rows = (await banner(preset)).rows
    assert "root key" not in rows
    assert "sk-ck-" not in preset.stdout + preset.stderr
    assert await kept(preset, KEY) is not None


async def test_the_printed_curl_takes_a_preset_key_from_its_variable(
    preset: ServerProcess, tmp_path: Path
) -> None:
    curl = (await banner(preset)).curl
    ended = await asyncio.to_thread(run, tmp_path, "bash", stdin=curl, CHATKEEP_KEY=KEY)
    assert json.loads(ended.out)["choices"][0]["message"]["content"] == "You said: Say hello."


async def test_the_printed_python_takes_a_preset_key_from_its_variable(
    preset: ServerProcess, tmp_path: Path
) -> None:
    snippet = dedent((await banner(preset)).python)
    ended = await asyncio.to_thread(python, tmp_path, snippet, CHATKEEP_KEY=KEY)
    assert (ended.code, ended.err) == (0, "")
    assert "You said: Say hello." in ended.out
