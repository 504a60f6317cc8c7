"""`chatkeep keys` beside a server that serves the same file."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from cli.shell import SECRET, Ended, chatkeep
from click.testing import CliRunner
from support.patience import PATIENCE_S
from support.provider import Provider
from support.server import KEY, ServerProcess

from chatkeep.cli import main
from chatkeep.core.model.completion import SCOPES
from chatkeep.store.sqlite.store import SqliteStore

PATH = "/v1/chat/completions"
FAILED, WRONG_USAGE = 1, 2
ASKED = {"model": "echo-1", "messages": [{"role": "user", "content": "hi"}], "store": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
async def server(folder: Path, provider: Provider) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(folder, provider.url) as server:
        yield server


@pytest.fixture
async def http(server: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as http:
        yield http


async def keys(folder: Path, *arguments: str) -> Ended:
    store = f"sqlite:///{folder / 'chatkeep.db'}"
    return await asyncio.to_thread(chatkeep, folder, "keys", *arguments, CHATKEEP_STORE=store)


async def added(folder: Path, *arguments: str) -> str:
    """The secret of a new key."""
    ended = await keys(folder, "add", *arguments)
    assert (ended.code, ended.err) == (0, "")
    secret = ended.out.removesuffix("\n")
    assert SECRET.fullmatch(secret), ended
    return secret


async def added_and_used(folder: Path, http: httpx2.AsyncClient) -> tuple[str, str]:
    """The number and the secret of a new key that the server has seen."""
    (row,) = (await keys(folder, "add", "--json")).rows()
    assert await listed(http, row["key"]) == 200
    return str(row["id"]), row["key"]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def listed(http: httpx2.AsyncClient, key: str) -> int:
    return (await http.get(PATH, headers=bearer(key))).status_code


async def until_refused(http: httpx2.AsyncClient, key: str) -> None:
    while await listed(http, key) != 401:
        pass


@pytest.mark.parametrize("key", ["99999999999999999999", "sk-ck-unknown"])
async def test_a_key_that_is_not_there_cannot_be_revoked(
    server: ServerProcess, folder: Path, key: str
) -> None:
    ended = await keys(folder, "revoke", key)
    assert "`chatkeep keys ls` lists them" in ended.refusal()
    assert ended.code == FAILED


async def test_with_json_the_refusal_is_json(server: ServerProcess, folder: Path) -> None:
    ended = await keys(folder, "revoke", "99", "--json")
    assert ended.json_refusal() == "there is no active key 99; `chatkeep keys ls` lists them"
    assert ended.code == FAILED


async def test_with_json_wrong_usage_is_json(tmp_path: Path) -> None:
    ended = await keys(tmp_path, "add", "--scope", "everything", "--json")
    assert ended.code == WRONG_USAGE
    assert "'everything' is not one of 'create'" in ended.json_refusal()


async def test_with_json_a_bad_setting_is_json(tmp_path: Path) -> None:
    ended = await keys(tmp_path, "ls", "--store", "chatkeep.db", "--json")
    assert ended.code == WRONG_USAGE
    assert "store is 'chatkeep.db'" in ended.json_refusal()


@pytest.mark.parametrize("name", ["", "  ", " a", "a/b", "..", "two\nlines", "x" * 65])
def test_a_project_needs_a_name_that_can_be_shown(tmp_path: Path, name: str) -> None:
    environment = {"CHATKEEP_STORE": f"sqlite:///{tmp_path / 'chatkeep.db'}"}
    ended = CliRunner().invoke(main, ["keys", "add", "--project", name], env=environment)
    assert (ended.exit_code, ended.stdout) == (WRONG_USAGE, "")
    assert "give 1 to 64 printable characters" in ended.stderr


@pytest.mark.parametrize("arguments", [["ls"], ["revoke", "1"], ["expire", "1", "now"]])
async def test_a_store_that_is_not_there_is_not_made_by_looking(
    tmp_path: Path, arguments: list[str]
) -> None:
    ended = await keys(tmp_path, *arguments)
    assert ended.code == FAILED
    assert ended.refusal().startswith(f"there is no store {tmp_path / 'chatkeep.db'}; ")
    assert os.listdir(tmp_path) == []


async def test_revoking_asks_and_is_refused_when_there_is_nobody_to_answer(tmp_path: Path) -> None:
    await added(tmp_path, "--name", "ci")
    ended = await keys(tmp_path, "revoke", "1")
    assert ended.code == FAILED
    assert ended.refusal() == (
        "key 1 (ci) of project default ends for good: give --yes to do it without being asked"
    )
    (row,) = (await keys(tmp_path, "ls", "--json")).rows()
    assert row["revoked_at"] is None


@pytest.mark.parametrize("ends", ["", "soon", "1y", "1.5d", "2027-13-01", "\u0663d", "9" * 16])
async def test_a_key_can_only_end_at_a_time(tmp_path: Path, ends: str) -> None:
    await added(tmp_path)
    for arguments in (["expire", "1", ends], ["add", "--expires", ends]):
        ended = await keys(tmp_path, *arguments, "--json")
        assert (ended.code, "is no time" in ended.json_refusal()) == (WRONG_USAGE, True)
    (row,) = (await keys(tmp_path, "ls", "--json")).rows()
    assert row["expires_at"] is None


async def test_a_key_can_only_be_made_to_end_later_than_now(tmp_path: Path) -> None:
    ended = await keys(tmp_path, "add", "--expires", "now")
    assert ended.code == WRONG_USAGE
    assert "give a unix second to come" in ended.refusal()


async def test_keys_of_a_project_that_is_not_there_are_not_an_empty_list(tmp_path: Path) -> None:
    await added(tmp_path)
    ended = await keys(tmp_path, "ls", "--project", "typo")
    assert (ended.code, ended.refusal()) == (FAILED, "Project typo not found")


async def test_a_key_that_expires_is_refused_soon_and_can_be_taken_up_again(
    server: ServerProcess, folder: Path, http: httpx2.AsyncClient
) -> None:
    number, secret = await added_and_used(folder, http)
    assert (await keys(folder, "expire", number, "now")).code == 0
    await until_refused(http, secret)
    ended = await keys(folder, "expire", number, "never", "--json")
    assert [row["expires_at"] for row in ended.rows()] == [None]
    while await listed(http, secret) != 200:
        pass


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("2099-01-31", "until 2099-01-31T00:00:00Z"),
        ("2099-01-31T18:00+02:00", "until 2099-01-31T16:00:00Z"),
        ("4102444800", "until 2100-01-01T00:00:00Z"),
        ("2001-01-01", "expired 2001-01-01T00:00:00Z"),
        ("never", "active"),
    ],
)
async def test_when_a_key_ends_is_listed(tmp_path: Path, ends: str, said: str) -> None:
    await added(tmp_path, "--expires", "30d", "--name", "for ci")
    assert (await keys(tmp_path, "expire", "1", ends)).code == 0
    line = (await keys(tmp_path, "ls")).out.rstrip("\n").split("\t")
    assert line[4:] == [said, "used never", "for ci"]


async def test_keys_can_be_listed_of_one_project(tmp_path: Path) -> None:
    for project in ("a", "b", "a"):
        await added(tmp_path, "--project", project)
    rows = (await keys(tmp_path, "ls", "--project", "a", "--json")).rows()
    assert [(row["id"], row["project"]) for row in rows] == [(1, "a"), (3, "a")]


async def test_an_added_key_works_at_once(
    server: ServerProcess, folder: Path, http: httpx2.AsyncClient
) -> None:
    secret = await added(folder)
    assert await listed(http, secret) == 200


async def test_by_default_a_key_may_create_read_and_write_in_the_project_default(
    server: ServerProcess, folder: Path, http: httpx2.AsyncClient
) -> None:
    created = await keys(folder, "add", "--json")
    (row,) = created.rows()
    secret = row.pop("key")
    assert SECRET.fullmatch(secret)
    assert row["project"] == "default"
    assert row["scopes"] == ["create", "read", "write"]
    assert (row["revoked_at"], row["expires_at"], row["last_used_at"]) == (None, None, None)
    assert row["hint"][:8] + row["hint"][-4:] == secret[:8] + secret[-4:]
    id = (await http.post(PATH, json=ASKED, headers=bearer(KEY))).json()["id"]
    assert (await http.get(f"{PATH}/{id}", headers=bearer(secret))).status_code == 200
    assert (await http.delete(f"{PATH}/{id}", headers=bearer(secret))).status_code == 200


async def test_a_key_may_do_what_its_scopes_say(
    server: ServerProcess, folder: Path, http: httpx2.AsyncClient
) -> None:
    reader = bearer(await added(folder, "--scope", "read"))
    writer = bearer(await added(folder, "--scope", "create", "--scope", "write"))
    assert (await http.post(PATH, json=ASKED, headers=reader)).status_code == 403
    assert (await http.get(PATH, headers=writer)).status_code == 403
    id = (await http.post(PATH, json=ASKED, headers=writer)).json()["id"]
    assert (await http.get(f"{PATH}/{id}", headers=reader)).status_code == 200
    assert (await http.delete(f"{PATH}/{id}", headers=reader)).status_code == 403
    assert (await http.delete(f"{PATH}/{id}", headers=writer)).status_code == 200


async def test_a_new_project_is_made_and_sees_only_its_own(
    server: ServerProcess, folder: Path, http: httpx2.AsyncClient
) -> None:
    other = bearer(await added(folder, "--project", "Zoë's"))
    id = (await http.post(PATH, json=ASKED, headers=bearer(KEY))).json()["id"]
    assert (await http.get(PATH, headers=other)).json()["data"] == []
    assert (await http.get(f"{PATH}/{id}", headers=other)).status_code == 404
    own = (await http.post(PATH, json=ASKED, headers=other)).json()["id"]
    assert [row["id"] for row in (await http.get(PATH, headers=other)).json()["data"]] == [own]
    assert (await http.get(f"{PATH}/{own}", headers=bearer(KEY))).status_code == 404


def test_the_server_looks_for_changed_keys_twice_a_second() -> None:
    assert SqliteStore.changes_every_s <= 0.5


async def test_a_key_revoked_by_its_number_is_refused_soon(
    server: ServerProcess, folder: Path, http: httpx2.AsyncClient
) -> None:
    number, secret = await added_and_used(folder, http)
    ended = await keys(folder, "revoke", number, "--yes")
    assert ended == (0, "", f"revoked key {number}\n")
    await until_refused(http, secret)
    assert await listed(http, KEY) == 200


async def test_a_key_revoked_by_itself_is_refused_soon(
    server: ServerProcess, folder: Path, http: httpx2.AsyncClient
) -> None:
    number, secret = await added_and_used(folder, http)
    ended = await keys(folder, "revoke", secret, "--json", "--yes")
    assert (ended.code, ended.err) == (0, "")
    (row,) = ended.rows()
    assert (row["id"], row["revoked_at"] is None) == (int(number), False)
    await until_refused(http, secret)
    again = await keys(folder, "revoke", secret, "--yes")
    assert again.code == FAILED
    assert f"there is no active key {number}" in again.refusal()


async def test_keys_are_listed_without_their_secrets(tmp_path: Path) -> None:
    secrets = [await added(tmp_path, "--project", "a"), await added(tmp_path, "--scope", "root")]
    await keys(tmp_path, "revoke", "1", "--yes")
    plain, as_json = await keys(tmp_path, "ls"), await keys(tmp_path, "ls", "--json")
    assert (plain.code, plain.err, as_json.code, as_json.err) == (0, "", 0, "")
    lines = [line.split("\t") for line in plain.out.splitlines()]
    assert [(line[0], line[1], *line[3:]) for line in lines] == [
        ("1", "a", "create,read,write", "revoked", "used never", ""),
        ("2", "default", "root", "active", "used never", ""),
    ]
    assert [row["id"] for row in as_json.rows()] == [1, 2]
    assert [row["revoked_at"] is None for row in as_json.rows()] == [False, True]
    shown = plain.out + as_json.out
    assert [secret for secret in secrets if secret in shown or secret[8:-4] in shown] == []


async def test_every_scope_can_be_given_and_no_other(tmp_path: Path) -> None:
    await added(tmp_path, *(word for scope in SCOPES for word in ("--scope", scope)))
    (row,) = (await keys(tmp_path, "ls", "--json")).rows()
    assert row["scopes"] == list(SCOPES)


async def test_the_store_may_come_from_a_settings_file(tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text('store = "sqlite:///here.db"')
    ended = await asyncio.to_thread(chatkeep, tmp_path, "keys", "add", "--config", "here.toml")
    assert ended.code == 0
    assert (tmp_path / "here.db").exists()
