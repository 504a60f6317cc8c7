"""Without keys: who is let in by the name it calls this machine, and whose project that is."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.calls import named
from support.chatkeep_server import Chatkeep, chatkeep_before
from support.provider import Provider
from support.rawhttp import PATH, asked, get, post
from support.refusals import Refusal, assert_refusal, create

from chatkeep.core.projects import changed


@pytest.fixture
async def server(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    upstreams = [named("a", provider.url)]
    async with chatkeep_before(tmp_path, upstreams, open_to="default") as chatkeep:
        yield chatkeep


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("evil.example", "evil.example"),
        ("127.0.0.1.evil.example:8787", "127.0.0.1.evil.example"),
        ("localhost.", "localhost."),
        ("[::2]:8787", "[::2]"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("path", [PATH, "/healthz", "/nowhere"])
async def test_another_machines_name_is_refused_in_the_envelope(
    server: Chatkeep, host: str, shown: str, path: str
) -> None:
    reply = await asked(server.url, get(path, None, {"host": host}))
    message = (
        f"Without keys this server answers to names of this machine only, not to '{shown}': call it"
        " as localhost, or start it without --no-auth."
    )
    assert_refusal(reply, Refusal("WrongHost", message))


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8787", "[::1]:8787", "[::1]"]
)
async def test_whoever_names_this_machine_is_let_in(server: Chatkeep, host: str) -> None:
    assert (await asked(server.url, get(PATH, None, {"host": host}))).head.status == 200


async def test_settings_of_the_open_project_are_obeyed_when_they_change(server: Chatkeep) -> None:
    here = {"host": "localhost"}
    request = post(PATH, create(), None, here)
    assert (await asked(server.url, request)).head["x-chatkeep-stored"].startswith("no")
    body = json.dumps({"store_by_default": True}).encode()
    change = post("/keep/v1/projects/default", body, None, here).replace(b"POST", b"PATCH", 1)
    assert (await asked(server.url, change)).head.status == 200
    assert (await asked(server.url, request)).head["x-chatkeep-stored"] == "yes"
    project = await server.store.project("default")
    assert project is not None
    # By another process: noticed within a second.
    await server.store.change_project(project.id, changed({"store_by_default": None}))
    while (await asked(server.url, request)).head["x-chatkeep-stored"] == "yes":
        pass
