"""The models of all upstreams as one list, and how the upstreams fare."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.calls import named
from support.chatkeep_server import Chatkeep, chatkeep_before
from support.observed import check, own
from support.provider import Hang, Plain, Provider, Raw, Refuse, nobody
from support.rawhttp import asked, get
from support.refusals import Refusal, assert_refusal

MODELS = "/v1/models"
UPSTREAMS = "/keep/v1/upstreams"


@pytest.fixture
async def second(anyio_backend: object) -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


def entry(id: str, owner: str = "a") -> bytes:
    """A model as no encoder of ours would write it."""
    return b'{ "id" : %b,"object":"model", "created":1.0,"owned_by":"%b","x":{}}' % (
        json.dumps(id).encode(),
        owner.encode(),
    )


def listing(*entries: bytes) -> Plain:
    return Plain(b'{"object":"list","data":[%b]}' % b" , ".join(entries))


async def ids(chatkeep: Chatkeep) -> list[str]:
    reply = await asked(chatkeep.url, get(MODELS, chatkeep.key))
    assert reply.head.status == 200, reply.body
    body = json.loads(reply.body)
    assert (list(body), body["object"]) == (["object", "data"], "list")
    check("GET", "/models", 200, {**body, "data": []})
    return [model["id"] for model in body["data"]]


async def test_when_every_upstream_is_down_the_first_ones_failure_is_the_answer(
    provider: Provider, tmp_path: Path
) -> None:
    provider.always(Plain(b"", 500))
    with nobody() as nowhere:
        upstreams = [named("a", nowhere), named("b", provider.url)]
        async with chatkeep_before(tmp_path, upstreams) as chatkeep:
            replies = [
                await asked(chatkeep.url, get(path, chatkeep.key))
                for path in (MODELS, f"{MODELS}/m")
            ]
    for reply in replies:
        message = r"The upstream 'a' could not be reached: .+\."
        assert_refusal(reply, Refusal("UpstreamUnreachable", message, pattern=True))


async def test_an_upstream_that_says_nothing_in_time_is_a_timeout(
    provider: Provider, tmp_path: Path
) -> None:
    provider.always(Hang())
    async with chatkeep_before(tmp_path, [named("a", provider.url, timeout_s=0.1)]) as chatkeep:
        reply = await asked(chatkeep.url, get(MODELS, chatkeep.key))
    message = r"The upstream 'a' did not answer in time: .+\."
    assert_refusal(reply, Refusal("UpstreamTimeout", message, pattern=True))


@pytest.mark.parametrize("id", ["m/1/2", "m", "org/m/1", "", "/", "../files", "m/1?x"])
async def test_a_model_that_is_not_listed_is_named_and_not_asked_for(
    provider: Provider, tmp_path: Path, id: str
) -> None:
    provider.always(listing(entry("m/1")))
    async with chatkeep_before(tmp_path, [named("a", provider.url)]) as chatkeep:
        target = id.replace("?", "%3F")
        reply = await asked(chatkeep.url, get(f"{MODELS}/{target}", chatkeep.key))
    assert_refusal(reply, Refusal("ModelNotFound", f"The model '{id}' does not exist", "model"))
    assert {request.target for request in provider.requests} == {MODELS}


async def test_a_model_is_listed_by_the_upstream_its_calls_go_to(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    provider.always(listing(entry("gpt-1"), entry("llama"), entry("both", "a")))
    second.always(listing(entry("gpt-2", "b"), entry("llama", "b"), entry("both", "b")))
    upstreams = [
        named("a", provider.url, models=("gpt-*", "both")),
        named("b", second.url, models=("*",)),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await asked(chatkeep.url, get(MODELS, chatkeep.key))
    listed = [(model["id"], model["owned_by"]) for model in json.loads(reply.body)["data"]]
    # gpt-2 would be asked of a, which does not have it.
    assert listed == [("gpt-1", "a"), ("both", "a"), ("llama", "b")]


async def test_models_stand_in_the_order_of_the_upstreams_and_of_their_lists(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    provider.always(listing(entry("a2"), entry("a1"), entry("a3")))
    second.always(listing(entry("z"), entry("y")))
    upstreams = [
        named("a", provider.url, models=("a*",)),
        named("b", second.url, models=("y", "z")),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        assert await ids(chatkeep) == ["a2", "a1", "a3", "z", "y"]


async def test_a_model_listed_twice_is_listed_once(provider: Provider, tmp_path: Path) -> None:
    provider.always(listing(entry("m", "first"), entry("n"), entry("m", "second")))
    async with chatkeep_before(tmp_path, [named("a", provider.url)]) as chatkeep:
        assert await ids(chatkeep) == ["m", "n"]


@pytest.mark.parametrize(
    "down",
    [Refuse(), Plain(b"{}", 401), Plain(b"<html>"), Raw(b"nonsense\r\n\r\n"), Hang()],
    ids=["closed", "refused", "no list", "no HTTP", "silent"],
)
async def test_an_upstream_that_is_down_is_left_out(
    provider: Provider, second: Provider, tmp_path: Path, down: Any
) -> None:
    provider.always(down)
    second.always(listing(entry("m", "b")))
    upstreams = [
        named("a", provider.url, models=("a*",), timeout_s=0.2),
        named("b", second.url),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        assert await ids(chatkeep) == ["m"]
        found = await asked(chatkeep.url, get(f"{MODELS}/m", chatkeep.key))
        gone = await asked(chatkeep.url, get(f"{MODELS}/a1", chatkeep.key))
    assert (found.head.status, found.body) == (200, entry("m", "b"))
    assert_refusal(gone, Refusal("ModelNotFound", "The model 'a1' does not exist", "model"))


async def test_entries_that_are_no_models_are_left_out(provider: Provider, tmp_path: Path) -> None:
    provider.always(listing(b"1", b"null", b'"m"', b"[]", b'{"id":7}', b"{}", entry("m")))
    async with chatkeep_before(tmp_path, [named("a", provider.url)]) as chatkeep:
        assert await ids(chatkeep) == ["m"]


@pytest.mark.parametrize("id", ["m", "org/m:1", "a/b/c", "\u6771 m", 'q"t', "x%2Fy", "a.b/../c"])
async def test_a_model_is_retrieved_byte_for_byte(
    provider: Provider, tmp_path: Path, id: str
) -> None:
    provider.always(listing(entry("other"), entry(id)))
    async with chatkeep_before(tmp_path, [named("a", provider.url)]) as chatkeep:
        for safe in ("/", ""):
            quoted = "".join(
                char if char in safe + "abcm" else f"%{byte:02X}"
                for char in id
                for byte in char.encode()
            )
            reply = await asked(chatkeep.url, get(f"{MODELS}/{quoted}", chatkeep.key))
            assert (reply.head.status, reply.body) == (200, entry(id))


async def test_the_official_client_lists_and_retrieves_models(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    provider.always(listing(entry("meta/llama:8b")))
    upstreams = [named("a", provider.url), named("b", second.url, models=())]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep, chatkeep.client() as client:
        assert [model.id async for model in client.models.list()] == ["meta/llama:8b"]
        assert (await client.models.retrieve("meta/llama:8b")).id == "meta/llama:8b"


@pytest.mark.parametrize("scopes", [["create", "read", "write"], ["read"]])
async def test_how_upstreams_fare_is_for_admins(chatkeep: Chatkeep, scopes: Any) -> None:
    key = await chatkeep.add_key("sk-ck-no-admin", "default", *scopes)
    reply = await asked(chatkeep.url, get(UPSTREAMS, key))
    message = "This key may not do that: it needs the scope 'admin'."
    assert_refusal(reply, Refusal("ScopeMissing", message))


@pytest.mark.parametrize("scope", ["admin", "root"])
async def test_how_upstreams_fare_is_told_in_their_order(
    provider: Provider, second: Provider, tmp_path: Path, scope: Any
) -> None:
    provider.always(listing(entry("m"), entry("n")))
    second.always(Plain(b"{}", 401))
    with nobody() as nowhere:
        upstreams = [
            named("a", provider.url, models=("x",)),
            named("b", nowhere),
            named("c", second.url),
        ]
        async with chatkeep_before(tmp_path, upstreams) as chatkeep:
            key = await chatkeep.add_key("sk-ck-admin", "default", scope)
            reply = await asked(chatkeep.url, get(UPSTREAMS, key))
            document = await own(chatkeep.url)
    assert reply.head.status == 200
    body = json.loads(reply.body)
    assert document.problems("GET", UPSTREAMS, 200, body) == []
    told = [(one["upstream"], one["ok"], one["models"], one["error"]) for one in body["data"]]
    assert told[0] == ("a", True, 2, None)
    assert told[1][:3] == ("b", False, 0)
    assert told[1][3].startswith("The upstream 'b' could not be reached: ")
    failed = "The upstream 'c' broke off its answer: it answers 401 to GET /models."
    assert told[2] == ("c", False, 0, failed)
    assert all(one["latency_ms"] >= 0 for one in body["data"])
