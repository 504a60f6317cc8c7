"""Keys and projects over the API: what nobody gets, then what works, then how soon it is obeyed."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.chatkeep_server import KEY, Chatkeep, chatkeep
from support.provider import Provider
from support.rawhttp import PATH, Reply, asked, get, head_of, post
from support.refusals import Refusal, assert_refusal, create, refused

from chatkeep.core.accounts.keys import digest
from chatkeep.core.accounts.projects import SETTINGS
from chatkeep.core.model.completion import SCOPES
from chatkeep.store.sqlite import open_sqlite

KEYS, PROJECTS = "/keep/v1/keys", "/keep/v1/projects"
ROOT, ADMIN, THEIRS = "sk-ck-root-of-all", "sk-ck-admin-of-ours", "sk-ck-admin-of-theirs"
LATER = 4_000_000_000
OF_ROOT = [setting.name for setting in SETTINGS if setting.scope == "root"]


@pytest.fixture
async def server(chatkeep: Chatkeep) -> Chatkeep:
    """Has an admin key in each of the projects ours and theirs, and a root key in ours."""
    await chatkeep.add_key(ROOT, "ours", "root")
    await chatkeep.add_key(ADMIN, "ours", "create", "read", "write", "admin")
    await chatkeep.add_key(THEIRS, "theirs", "create", "read", "write", "admin")
    return chatkeep


def request(method: str, path: str, key: str, body: Any = None) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    return head_of(method, path, key, {"content-length": str(len(data))}) + data


async def ok(server: Chatkeep, method: str, path: str, key: str, body: Any = None) -> Any:
    reply = await asked(server.url, request(method, path, key, body))
    assert reply.head.status == 200, reply.body
    return json.loads(reply.body)


async def no(
    server: Chatkeep, wanted: Refusal, method: str, path: str, key: str, body: Any = None
) -> Reply:
    return await refused(server.url, request(method, path, key, body), wanted)


async def status(server: Chatkeep, key: str) -> int:
    return (await asked(server.url, get(PATH, key))).head.status


async def id_of(server: Chatkeep, secret: str) -> int:
    found = await server.store.key(digest(secret))
    assert found is not None
    return found.id


def missing(scope: str) -> Refusal:
    return Refusal("ScopeMissing", f"This key may not do that: it needs the scope '{scope}'.")


def unknown_key(id: object) -> Refusal:
    return Refusal("KeyNotFound", f"Key {id} not found", "key_id")


def unknown_project(name: str) -> Refusal:
    return Refusal("ProjectNotFound", f"Project {name} not found", "project")


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_hands_on_no_scope_it_does_not_have(server: Chatkeep, scope: str) -> None:
    others = [other for other in SCOPES if other not in (scope, "root", "admin")]
    maker = await server.add_key("sk-ck-maker", "ours", "admin", *others)
    before = await server.store.keys()
    if scope == "admin":
        made = await ok(server, "POST", KEYS, maker, {"scopes": ["admin"]})
        assert made["scopes"] == ["admin"]
    else:
        await no(server, missing(scope), "POST", KEYS, maker, {"scopes": ["admin", scope]})
        assert await server.store.keys() == before


async def test_what_is_not_said_gives_no_more_than_the_maker_has(server: Chatkeep) -> None:
    reader = await server.add_key("sk-ck-reader", "ours", "admin", "read")
    assert (await ok(server, "POST", KEYS, reader, {}))["scopes"] == ["read"]
    only = await server.add_key("sk-ck-only-admin", "ours", "admin")
    wanted = Refusal("MissingParameter", "Missing required parameter: 'scopes'.", "scopes")
    await no(server, wanted, "POST", KEYS, only, {})
    assert (await ok(server, "POST", KEYS, ROOT, {}))["scopes"] == ["create", "read", "write"]


@pytest.mark.parametrize("name", ["theirs", "nobody's", "", "a/b", "\0", "\ud83d", "x" * 70])
async def test_a_key_for_another_project_is_one_for_none(server: Chatkeep, name: str) -> None:
    shown = name.encode("utf-8", "replace").decode()
    await no(server, unknown_project(shown), "POST", KEYS, ADMIN, {"project": name})


@pytest.mark.parametrize("expires_at", [None, LATER + 1])
async def test_a_key_gives_nobody_more_time_than_it_has(
    server: Chatkeep, expires_at: object
) -> None:
    maker = "sk-ck-for-a-while"
    await server.store.add_key(
        "ours", digest(maker), "hint", frozenset({"admin", "read"}), 0, expires_unix=LATER
    )
    got = "never" if expires_at is None else str(expires_at)
    message = f"expires_at is {got}; give {LATER} at most, when your key expires."
    wanted = Refusal("UnusableValue", message, "expires_at")
    await no(server, wanted, "POST", KEYS, maker, {"expires_at": expires_at})
    itself = f"{KEYS}/{await id_of(server, maker)}"
    await no(server, wanted, "PATCH", itself, maker, {"expires_at": expires_at})
    assert (await ok(server, "POST", KEYS, maker, {}))["expires_at"] == LATER
    assert (await ok(server, "PATCH", itself, maker, {"expires_at": LATER - 1}))["name"] == ""


async def test_a_root_key_in_a_project_is_not_its_admins_to_end(server: Chatkeep) -> None:
    root = f"{KEYS}/{await id_of(server, ROOT)}"
    await no(server, missing("root"), "DELETE", root, ADMIN)
    await no(server, missing("root"), "PATCH", root, ADMIN, {"expires_at": 1})
    assert await status(server, ROOT) == 200


async def test_a_key_with_more_rights_can_be_revoked_but_not_prolonged(server: Chatkeep) -> None:
    only = await server.add_key("sk-ck-only-admin", "ours", "admin")
    path = f"{KEYS}/{await id_of(server, ADMIN)}"
    await no(server, missing("create"), "PATCH", path, only, {"expires_at": None})
    assert (await ok(server, "DELETE", path, only))["revoked_at"] is not None
    assert await status(server, ADMIN) == 401


@pytest.mark.parametrize(
    "id", ["0", "999999", "9" * 30, "-1", "1.0", "x", "%00", "%ED%A0%BD", "%C2%B2"]
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_key_that_is_not_there_is_not_found(server: Chatkeep, id: str, method: str) -> None:
    path = f"{KEYS}/{id}"
    reply = await asked(server.url, request(method, path, ADMIN, {}))
    assert reply.head.status == 404
    error = json.loads(reply.body)["error"]
    assert (error["code"], error["param"]) == ("not_found", "key_id")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_another_projects_key_is_not_found(server: Chatkeep, method: str) -> None:
    id = await id_of(server, THEIRS)
    await no(server, unknown_key(id), method, f"{KEYS}/{id}", ADMIN, {"name": "mine"})
    assert await status(server, THEIRS) == 200


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("name", ["theirs", "nobodys"])
async def test_another_project_is_not_found(server: Chatkeep, method: str, name: str) -> None:
    body = {"retain_days": 1}
    await no(server, unknown_project(name), method, f"{PROJECTS}/{name}", ADMIN, body)


@pytest.mark.parametrize("name", ["theirs", "nobodys"])
async def test_keys_of_another_project_are_not_listed(server: Chatkeep, name: str) -> None:
    await no(server, unknown_project(name), "GET", f"{KEYS}?project={name}", ADMIN)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"scope": ["read"]}, ("UnknownParameter", "scope", r".*Did you mean 'scopes'\?")),
        ({"scopes": "read"}, ("InvalidType", "scopes", ".*but got a string instead.")),
        ({"scopes": []}, ("EmptyArray", "scopes", ".*")),
        ({"scopes": ["all"]}, ("InvalidValue", "scopes", "Invalid value: '\"all\"'. .*")),
        ({"scopes": [["read"]]}, ("InvalidValue", "scopes", ".*")),
        ({"project": 1}, ("InvalidType", "project", ".*but got an integer instead.")),
        ({"name": 1}, ("InvalidType", "name", ".*")),
        ({"name": "x" * 65}, ("UnusableValue", "name", "name is .*; give up to 64 .*")),
        ({"name": "a\nb"}, ("UnusableValue", "name", ".*")),
        ({"name": "\ud83d"}, ("UnusableValue", "name", ".*")),
        ({"expires_at": 1}, ("UnusableValue", "expires_at", ".*give a unix second to come.")),
        ({"expires_at": "2027-01-01"}, ("UnusableValue", "expires_at", '.*"2027-01-01".*')),
        ({"expires_at": True}, ("UnusableValue", "expires_at", ".*")),
        ({"expires_at": 1e9}, ("UnusableValue", "expires_at", ".*")),
        ({"expires_at": 10**30}, ("UnusableValue", "expires_at", ".*")),
        ({"expires_at": -1}, ("UnusableValue", "expires_at", ".*")),
    ],
)
async def test_a_key_that_cannot_be_made_is_refused_with_what_is_wrong(
    server: Chatkeep, body: dict[str, Any], wanted: tuple[str, str, str]
) -> None:
    kind, param, message = wanted
    before = await server.store.keys()
    await no(server, Refusal(kind, message, param, pattern=True), "POST", KEYS, ROOT, body)
    assert await server.store.keys() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"name":"\xff"}'])
@pytest.mark.parametrize(("method", "path"), [("POST", KEYS), ("PATCH", f"{PROJECTS}/ours")])
async def test_a_body_that_is_no_object_is_refused(
    server: Chatkeep, method: str, path: str, body: bytes
) -> None:
    head = head_of(method, path, ROOT, {"content-length": str(len(body))})
    reply = await asked(server.url, head + body)
    assert reply.head.status == 400
    assert "could not parse the JSON body" in json.loads(reply.body)["error"]["message"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("retain_days", -3),
        ("retain_days", 0),
        ("retain_days", 1.5),
        ("retain_days", True),
        ("retain_body_days", "7"),
        ("requests_per_minute", 10**30),
        ("max_concurrent", []),
        ("store_by_default", 1),
        ("full_text", "true"),
        ("upstreams", "a"),
        ("upstreams", ["a", 1]),
        ("upstreams", [""]),
        ("upstreams", ["\ud83d"]),
    ],
)
async def test_a_setting_that_cannot_be_used_is_refused_and_nothing_is_set(
    server: Chatkeep, setting: str, value: object
) -> None:
    body = {"retain_body_days": 9, setting: value}
    wanted = Refusal("UnusableValue", f"{setting} is .*; give .*", setting, pattern=True)
    await no(server, wanted, "PATCH", f"{PROJECTS}/ours", ROOT, body)
    await no(server, wanted, "POST", PROJECTS, ROOT, {"name": "new", **body})
    names = [project["name"] for project in (await ok(server, "GET", PROJECTS, ROOT))["data"]]
    assert names == ["default", "ours", "theirs"]
    assert (await ok(server, "GET", f"{PROJECTS}/ours", ROOT))["retain_body_days"] is None


async def test_a_value_is_said_with_what_to_give(server: Chatkeep) -> None:
    message = "retain_days is -3; give a whole number from 1 to 1000000000, or null to unset it."
    wanted = Refusal("UnusableValue", message, "retain_days")
    await no(server, wanted, "PATCH", f"{PROJECTS}/ours", ADMIN, {"retain_days": -3})


@pytest.mark.parametrize("name", OF_ROOT)
async def test_what_the_installation_grants_is_not_the_projects_to_change(
    server: Chatkeep, name: str
) -> None:
    await no(server, missing("root"), "PATCH", f"{PROJECTS}/ours", ADMIN, {name: None})


async def test_projects_are_made_by_root_and_once(server: Chatkeep) -> None:
    await no(server, missing("root"), "POST", PROJECTS, ADMIN, {"name": "theirs"})
    message = "There is a project theirs already: change it, or give another name."
    taken = Refusal("ProjectExists", message, "name")
    await no(server, taken, "POST", PROJECTS, ROOT, {"name": "theirs"})
    nameless = Refusal("MissingParameter", "Missing required parameter: 'name'.", "name")
    await no(server, nameless, "POST", PROJECTS, ROOT, {})
    for name in ("", "a/b", "..", " a", 1, None):
        wanted = Refusal("UnusableValue", "name is .*", "name", pattern=True)
        await no(server, wanted, "POST", PROJECTS, ROOT, {"name": name})


async def test_a_new_key_works_and_its_secret_is_shown_once(server: Chatkeep) -> None:
    asking = {"name": "ci", "scopes": ["read", "create"], "expires_at": LATER}
    reply = await asked(server.url, request("POST", KEYS, ADMIN, asking))
    made = json.loads(reply.body)
    secret = made.pop("key")
    assert reply.head["cache-control"] == "no-store"
    assert made | {"id": 0, "hint": "", "created_at": 0} == {
        "object": "key",
        "id": 0,
        "name": "ci",
        "project": "ours",
        "hint": "",
        "scopes": ["create", "read"],
        "created_at": 0,
        "expires_at": LATER,
        "last_used_at": None,
        "revoked_at": None,
    }
    assert await status(server, secret) == 200
    path = f"{KEYS}/{made['id']}"
    assert await ok(server, "GET", path, ADMIN) == made
    listed = await asked(server.url, get(KEYS, ADMIN))
    assert made in json.loads(listed.body)["data"]
    assert secret[8:-4].encode() not in listed.body


async def test_an_admin_sees_the_projects_keys_and_root_sees_all(server: Chatkeep) -> None:
    async def shown(key: str, query: str = "") -> list[str]:
        return [one["project"] for one in (await ok(server, "GET", KEYS + query, key))["data"]]

    assert await shown(ADMIN) == ["ours", "ours"]
    assert await shown(ADMIN, "?project=ours") == ["ours", "ours"]
    assert await shown(ROOT) == ["default", "ours", "ours", "theirs"]
    assert await shown(ROOT, "?project=theirs") == ["theirs"]


async def test_root_makes_keys_for_any_project_and_scope(server: Chatkeep) -> None:
    made = await ok(server, "POST", KEYS, ROOT, {"project": "theirs", "scopes": list(SCOPES)})
    assert (made["project"], made["scopes"]) == ("theirs", list(SCOPES))
    assert await ok(server, "GET", f"{KEYS}/{made['id']}", made["key"])


async def test_a_revoked_key_is_refused_at_once_and_stays_listed(server: Chatkeep) -> None:
    assert await status(server, THEIRS) == 200
    path = f"{KEYS}/{await id_of(server, THEIRS)}"
    revoked = await ok(server, "DELETE", path, THEIRS)
    assert abs(revoked["revoked_at"] - time.time()) < 60
    assert await status(server, THEIRS) == 401
    assert await ok(server, "DELETE", path, ROOT) == revoked
    assert await ok(server, "GET", path, ROOT) == revoked


async def test_an_expired_key_is_refused_at_once_and_can_be_taken_up_again(
    server: Chatkeep,
) -> None:
    assert await status(server, THEIRS) == 200
    path = f"{KEYS}/{await id_of(server, THEIRS)}"
    await ok(server, "PATCH", path, ROOT, {"expires_at": 1, "name": "old"})
    assert await status(server, THEIRS) == 401
    again = await ok(server, "PATCH", path, ROOT, {"expires_at": None})
    assert (again["name"], again["expires_at"]) == ("old", None)
    assert await status(server, THEIRS) == 200


async def test_a_change_sets_what_is_given_and_null_unsets(server: Chatkeep) -> None:
    path = f"{PROJECTS}/ours"
    before = await ok(server, "GET", path, ADMIN)
    values = {"retain_days": 30, "store_by_default": True, "full_text": False}
    assert await ok(server, "PATCH", path, ADMIN, values) == before | values
    assert await ok(server, "PATCH", path, ADMIN, {}) == before | values
    unset = await ok(server, "PATCH", path, ADMIN, {"retain_days": None, "full_text": None})
    assert unset == before | {"store_by_default": True}


async def test_a_new_project_has_the_settings_it_was_given(server: Chatkeep) -> None:
    made = await ok(server, "POST", PROJECTS, ROOT, {"name": "Zoë's", "upstreams": ["a"]})
    assert (made["name"], made["upstreams"], made["store_by_default"]) == ("Zoë's", ["a"], False)
    assert await ok(server, "GET", f"{PROJECTS}/Zo%C3%AB%27s", ROOT) == made
    assert made in (await ok(server, "GET", PROJECTS, ROOT))["data"]
    assert [one["name"] for one in (await ok(server, "GET", PROJECTS, ADMIN))["data"]] == ["ours"]


async def test_store_by_default_is_obeyed_at_once(server: Chatkeep) -> None:
    async def stored(**fields: Any) -> str:
        reply = await asked(server.url, post(PATH, create(**fields), ADMIN))
        return reply.head["x-chatkeep-stored"].partition(";")[0]

    assert await stored() == "no"
    await ok(server, "PATCH", f"{PROJECTS}/ours", ADMIN, {"store_by_default": True})
    assert [await stored(), await stored(store=None), await stored(store=False)] == [
        "yes",
        "yes",
        "no",
    ]


async def test_the_last_use_of_a_key_is_on_disk_after_the_server_ends(
    provider: Provider, tmp_path: Path
) -> None:
    async with chatkeep(tmp_path, provider.url) as server:
        idle = await server.add_key("sk-ck-never-used", "default")
        for _ in range(3):
            assert await status(server, KEY) == 200
        noted = await server.store.key(digest(KEY))
        assert noted is not None
        assert noted.last_used_unix is None  # nothing is written while requests come
    store = await open_sqlite(tmp_path / "chatkeep.db")
    used, unused = await store.key(digest(KEY)), await store.key(digest(idle))
    await store.aclose()
    assert used is not None
    assert used.last_used_unix is not None
    assert abs(used.last_used_unix - time.time()) < 60
    assert unused is not None
    assert unused.last_used_unix is None


async def test_a_key_that_another_process_made_to_expire_ends_by_the_clock(
    server: Chatkeep, tmp_path: Path
) -> None:
    beside = await open_sqlite(tmp_path / "chatkeep.db")
    ended = "sk-ck-ended-before-it-came"
    await beside.add_key("ours", digest(ended), "hint", frozenset({"read"}), 0, expires_unix=1)
    await beside.aclose()
    reply = await asked(server.url, get(PATH, ended))
    message = "Incorrect API key provided: sk-ck-en.*came. .*"
    assert_refusal(reply, Refusal("WrongKey", message, pattern=True))
