"""A server told everything by variables and a file: each of them takes effect."""

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from cli.shell import Banner, banner, run, typed
from support.provider import Provider
from support.server import CHATKEEP, ServerProcess

PATH = "/v1/chat/completions"
ASKED = {"model": "echo-1", "messages": [{"role": "user", "content": "hi"}], "store": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@pytest.fixture(scope="module")
async def server(folder: Path, provider: Provider) -> AsyncIterator[ServerProcess]:
    (folder / "our.toml").write_text('max_body_bytes = 500\nlog_level = "error"\n')
    environment = {
        "CHATKEEP_CONFIG": "our.toml",
        "CHATKEEP_HOST": "localhost",
        "CHATKEEP_PORT": "0",
        "CHATKEEP_STORE": "sqlite:///in%20here/our.db",
        "CHATKEEP_UPSTREAM": provider.url,
        "CHATKEEP_UPSTREAM_KEY": "sk-upstream",
        "CHATKEEP_ROOT_PATH": "/keep",
        "CHATKEEP_NO_AUTH": "true",
        "CHATKEEP_LOG_LEVEL": "debug",
        "CHATKEEP_CORS_ORIGINS": "https://a.example, https://b.example",
    }
    serve = typed(f"env -u CHATKEEP_KEY {shlex.join(CHATKEEP)} serve")
    async with ServerProcess(
        folder, provider.url, command=serve, environment=environment
    ) as server:
        yield server


@pytest.fixture(scope="module")
async def said(server: ServerProcess) -> Banner:
    return await banner(server)


@pytest.fixture
async def http(server: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=20) as http:
        yield http


async def test_the_file_limits_bodies(http: httpx2.AsyncClient) -> None:
    long = ASKED | {"user": "x" * 500}
    assert (await http.post(PATH, json=long)).status_code == 413
    assert (await http.post(PATH, json=ASKED)).status_code == 200


async def test_the_root_path_is_taken_away(http: httpx2.AsyncClient) -> None:
    assert (await http.get(f"/keep{PATH}")).status_code == 200
    assert (await http.get(f"/keeper{PATH}")).status_code == 404
    described = (await http.get("/openapi.json")).json()
    assert described["servers"] == [{"url": "/keep"}]


async def test_no_auth_lets_everybody_in_and_says_so(
    http: httpx2.AsyncClient, said: Banner, folder: Path
) -> None:
    assert said.rows["auth"] == "off (--no-auth)"
    ended = await asyncio.to_thread(run, folder, "bash", stdin=said.curl)
    id = json.loads(ended.out)["id"]
    assert (await http.delete(f"{PATH}/{id}")).json()["deleted"] is True


@pytest.mark.parametrize(
    "host", ["pages.example", "127.0.0.1.pages.example", "localhost@pages.example", "", "[::2]:80"]
)
async def test_without_keys_a_page_cannot_call_under_a_name_of_its_own(
    http: httpx2.AsyncClient, host: str
) -> None:
    answer = await http.get(PATH, headers={"host": host})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_host"


@pytest.mark.parametrize("host", ["127.0.0.1:8787", "LOCALHOST", "[::1]:8787"])
async def test_without_keys_this_machine_may_call(http: httpx2.AsyncClient, host: str) -> None:
    assert (await http.get(PATH, headers={"host": host})).status_code == 200


async def test_the_upstream_is_called_with_its_key(
    http: httpx2.AsyncClient, provider: Provider, said: Banner
) -> None:
    asked = len(provider.requests)
    await http.post(PATH, json=ASKED, headers={"authorization": "Bearer sk-mine"})
    assert provider.requests[asked].header("authorization") == "Bearer sk-upstream"
    assert provider.url in said.rows["upstream"]


async def test_the_store_is_where_it_was_wanted(said: Banner, folder: Path) -> None:
    assert (folder / "in here" / "our.db").exists()
    assert said.rows["store"] == "sqlite:///in%20here/our.db"


async def test_pages_of_the_origins_given_may_call(http: httpx2.AsyncClient) -> None:
    allowed = await http.get(PATH, headers={"origin": "https://b.example"})
    other = await http.get(PATH, headers={"origin": "https://c.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://b.example"
    assert "access-control-allow-origin" not in other.headers


async def test_the_variable_for_the_log_level_beats_the_file(
    http: httpx2.AsyncClient, server: ServerProcess
) -> None:
    while '"level":"debug"' not in server.stderr:  # it comes through a pipe
        await http.get("/healthz")
