"""A project that may use some upstreams only: the others, and their models, do not exist for it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.calls import named
from support.chatkeep_server import Chatkeep, chatkeep_before
from support.provider import Plain, Provider
from support.rawhttp import PATH, asked, get, post
from support.refusals import Refusal, assert_refusal, create

from chatkeep.core.accounts.projects import changed
from chatkeep.web.routes import FORWARDED

JSON_BODY = {"content-type": "application/json"}
KEY = "sk-ck-of-a-project-with-few-upstreams"
FIELDS: list[dict[str, Any]] = [
    {},
    {"store": True},
    {"stream": True},
    {"store": True, "stream": True},
]


@pytest.fixture
async def second(anyio_backend: object) -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


@pytest.fixture
async def server(provider: Provider, second: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    """`a` serves what begins with a-, and `b` the rest."""
    for one, model in ((provider, "a-1"), (second, "b-1")):
        data = [{"id": id, "object": "model"} for id in (model, "both")]
        one.always(models_or_echo(one, json.dumps({"object": "list", "data": data}).encode()))
    upstreams = [named("a", provider.url, models=("a-*",)), named("b", second.url)]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        yield chatkeep


def models_or_echo(provider: Provider, models: bytes) -> Any:
    return lambda asked: Plain(models) if asked.method == "GET" else provider.echo(asked)


async def permit(server: Chatkeep, *names: str) -> None:
    """Before the project's key is used."""
    if await server.store.project("few") is None:
        await server.add_key(KEY, "few", "create", "read", "admin")
    project = await server.store.project("few")
    assert project is not None
    await server.store.change_project(project.id, changed({"upstreams": list(names)}))


async def unknown_on(server: Chatkeep, path: str, body: bytes, key: str) -> None:
    reply = await asked(server.url, post(path, body, key, JSON_BODY))
    message = f"The model '{json.loads(body)['model']}' does not exist"
    assert_refusal(reply, Refusal("ModelNotFound", message, "model"))


@pytest.mark.parametrize("fields", FIELDS)
async def test_a_model_of_another_upstream_does_not_exist(
    server: Chatkeep, provider: Provider, fields: dict[str, Any]
) -> None:
    await permit(server, "b")
    await unknown_on(server, PATH, create(**fields | {"model": "a-1"}), KEY)
    assert provider.requests == []
    reply = await asked(server.url, post(PATH, create(**fields | {"model": "b-1"}), KEY))
    assert reply.head["x-chatkeep-upstream"] == "b"


@pytest.mark.parametrize("path", FORWARDED)
async def test_a_forwarded_call_to_another_upstream_does_not_exist(
    server: Chatkeep, provider: Provider, path: str
) -> None:
    await permit(server, "b")
    await unknown_on(server, f"/v1{path}", create(model="a-1"), KEY)
    assert provider.requests == []


async def test_without_any_upstream_no_model_exists(server: Chatkeep) -> None:
    await permit(server)
    for model in ("a-1", "b-1"):
        await unknown_on(server, PATH, create(model=model), KEY)
    listed = await asked(server.url, get("/v1/models", KEY))
    assert json.loads(listed.body) == {"object": "list", "data": []}


async def test_models_of_another_upstream_are_not_listed(
    server: Chatkeep, provider: Provider
) -> None:
    await permit(server, "b")
    listed = json.loads((await asked(server.url, get("/v1/models", KEY))).body)
    assert [model["id"] for model in listed["data"]] == ["b-1", "both"]
    reply = await asked(server.url, get("/v1/models/a-1", KEY))
    assert_refusal(reply, Refusal("ModelNotFound", "The model 'a-1' does not exist", "model"))
    assert (await asked(server.url, get("/v1/models/b-1", KEY))).head.status == 200
    assert provider.requests == []


async def test_how_another_upstream_fares_is_not_told(server: Chatkeep, provider: Provider) -> None:
    await permit(server, "b", "gone")
    told = json.loads((await asked(server.url, get("/keep/v1/upstreams", KEY))).body)
    assert [one["upstream"] for one in told["data"]] == ["b"]
    assert provider.requests == []


async def test_a_fallback_is_used_only_where_it_may_be(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    provider.always(Plain(b"{}", 503))
    upstreams = [named("a", provider.url, fallbacks=("b",)), named("b", second.url, models=())]
    request = post(PATH, create(), KEY)
    for names, upstream, status in (("ab", "b", 200), ("a", "a", 503), ("b", "b", 200)):
        async with chatkeep_before(tmp_path, upstreams) as server:
            await permit(server, *names)
            reply = await asked(server.url, request)
            assert (reply.head.status, reply.head["x-chatkeep-upstream"]) == (status, upstream)


async def test_other_projects_use_all_upstreams(server: Chatkeep) -> None:
    await permit(server, "b")
    for model in ("a-1", "b-1"):
        reply = await asked(server.url, post(PATH, create(model=model), server.key))
        assert reply.head["x-chatkeep-upstream"] == model[0]
