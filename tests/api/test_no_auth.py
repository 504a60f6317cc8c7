"""Without keys: who is let in by the name it calls this machine, and whose project that is."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.calls import named
from support.chatkeep_server import Chatkeep, chatkeep_before
from support.provider import Provider
from support.rawhttp import PATH, asked, get, post
from support.refusals import Refusal, assert_refusal, create

from chatkeep.core.accounts.projects import changed


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


OWN = {"host": "localhost:8787"}
PAGE = "https://app.example"
CROSS = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "origin": PAGE}
SIMPLE = {"content-type": "text/plain"}  # what a page may send without asking first
REFUSED = (
    "Without keys this server answers no web page of another origin, as {} is: list the origin in"
    " cors_origins, or start it without --no-auth."
)


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        (CROSS, f"'{PAGE}'"),
        (CROSS | {"sec-fetch-site": "same-site", "origin": "http://localhost:3000"}, None),
        ({"origin": PAGE}, f"'{PAGE}'"),  # a browser that says no more
        ({"origin": "null"}, "'null'"),
        ({"origin": "http://localhost:3000"}, "'http://localhost:3000'"),
        ({"origin": "http://localhost:8787.evil.example"}, None),
        ({"sec-fetch-site": "cross-site"}, "one without a name"),  # an image, a link
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:8787"}, None),
        ({"sec-fetch-site": "of a later standard"}, "one without a name"),
    ],
)
@pytest.mark.parametrize(
    "request_of",
    [
        lambda headers: post(PATH, create(store=True), None, OWN | SIMPLE | headers),
        lambda headers: post("/keep/v1/keys", b'{"name":"theirs"}', None, OWN | SIMPLE | headers),
        lambda headers: get(PATH, None, OWN | headers),
        lambda headers: get("/nowhere", None, OWN | headers),
    ],
    ids=["create", "key", "list", "unknown"],
)
async def test_a_web_page_of_another_origin_is_refused(
    server: Chatkeep,
    provider: Provider,
    headers: dict[str, str],
    named: str | None,
    request_of: Callable[[dict[str, str]], bytes],
) -> None:
    before = await server.store.keys()
    named = named or repr(headers["origin"])
    reply = await asked(server.url, request_of(headers))
    assert_refusal(reply, Refusal("CrossOrigin", REFUSED.format(named)))
    assert provider.requests == []
    assert await server.store.keys() == before


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:8787"},
        {"origin": "http://localhost:8787", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
    ids=["no browser", "older browser", "own page", "own link", "address bar"],
)
async def test_own_pages_and_what_is_no_browser_are_let_in(
    server: Chatkeep, headers: dict[str, str]
) -> None:
    request = post(PATH, create(store=True), None, OWN | headers)
    assert (await asked(server.url, request)).head["x-chatkeep-stored"] == "yes"


@pytest.mark.parametrize(
    ("origins", "status"), [((PAGE,), 200), (("*",), 200), (("https://other.example",), 403)]
)
async def test_pages_of_the_origins_listed_are_let_in(
    provider: Provider, tmp_path: Path, origins: tuple[str, ...], status: int
) -> None:
    upstreams = [named("a", provider.url)]
    async with chatkeep_before(
        tmp_path, upstreams, open_to="default", cors_origins=origins
    ) as chatkeep:
        request = post(PATH, create(store=True), None, OWN | SIMPLE | CROSS)
        assert (await asked(chatkeep.url, request)).head.status == status
