"""What an upstream is sent: its address, its key, headers by an allow-list, and the edited body."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from support import chatkeep_server
from support.calls import called, kept, named
from support.chatkeep_server import KEY, chatkeep_before
from support.provider import Plain, Provider, Received, Refuse, Stream, nobody
from support.rawhttp import PATH, asked, get, head_of, post
from support.refusals import Refusal, assert_refusal, create

from chatkeep.web.server.server import address, listen

SECRET = "sk-upstream-SeCrEt"
CALLERS = "sk-callers-own"
JSON_TYPE = {"content-type": "application/json"}
SENT = {
    **JSON_TYPE,
    "accept": "text/event-stream",
    "openai-beta": "realtime=v1",
    "idempotency-key": "once",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
KEPT_BACK = {
    "cookie": "session=1",
    "api-key": "mine",
    "x-api-key": "mine",
    "proxy-authorization": "Basic dTpw",
    "x-forwarded-for": "10.0.0.1",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "inside",
    "forwarded": "for=10.0.0.1",
    "x-real-ip": "10.0.0.1",
    "x-chatkeep-store": "false",
    "x-chatkeep-metadata": '{"a":"b"}',
    "x-chatkeep-upstream-key": CALLERS,
    "x-chatkeep-hop": "somebody else",
    "x-chatkeep-anything": "1",
    "origin": "https://app.example",
    "referer": "https://app.example/page",
    "accept-encoding": "gzip, br",
    "user-agent": "OpenAI/Python",
    "x-stainless-lang": "python",
    "openai-organization": "org-callers",
    "openai-project": "proj-callers",
    "if-match": '"x"',
    "te": "trailers",
}


async def sent_up(
    provider: Provider, folder: Path, body: bytes, given: dict[str, str], **setting: Any
) -> Received:
    """The request the provider got for a call with these headers, by an upstream set so."""
    async with chatkeep_before(folder, [named("a", provider.url, **setting)]) as chatkeep:
        reply = await asked(chatkeep.url, post(PATH, body, chatkeep.key, given))
        assert reply.head.status == 200, reply.body
    (request,) = provider.requests
    return request


def header_map(request: Received) -> dict[str, str]:
    """All headers by name, none of which may be repeated."""
    names = [name.lower() for name, _ in request.headers]
    assert sorted(names) == sorted(set(names))
    return {name.lower(): value for name, value in request.headers}


async def test_a_server_that_is_its_own_upstream_answers_508(tmp_path: Path) -> None:
    listening = listen("127.0.0.1", 0)
    host = address(listening).removeprefix("http://")
    upstream = named("a", f"http://{host}/v1", key=KEY)
    async with chatkeep_before(tmp_path, [upstream], listening=listening) as chatkeep:
        reply = await called(chatkeep, store=True)
        models = await asked(chatkeep.url, get("/v1/models", chatkeep.key))
        assert await kept(chatkeep) == []
    message = f"The upstream '{host}' is this server itself. Give --upstream another address."
    assert (reply.head.status, json.loads(reply.body)["error"]["message"]) == (508, message)
    failed = "The upstream 'a' broke off its answer: it answers 508 to GET /models."
    assert_refusal(models, Refusal("UpstreamFailed", failed))


@pytest.mark.parametrize("body", [create(), create(store=True), create(store=True, stream=True)])
async def test_nothing_goes_up_that_is_not_on_the_list(
    provider: Provider, tmp_path: Path, body: bytes
) -> None:
    request = await sent_up(provider, tmp_path, body, SENT | KEPT_BACK)
    headers = header_map(request)
    assert headers.pop("host") == provider.url.removeprefix("http://").removesuffix("/v1")
    assert headers.pop("content-length") == str(len(request.body))
    assert headers.pop("user-agent") == "chatkeep"
    assert headers.pop("x-chatkeep-hop") == "somebody else, test-instance"
    assert headers.pop("accept-encoding") == "identity"
    assert headers == SENT


async def test_no_content_type_is_made_up(provider: Provider, tmp_path: Path) -> None:
    request = await sent_up(provider, tmp_path, create(), {})
    assert request.header("content-type") in (None, "application/json")


async def test_the_callers_key_does_not_go_up_to_an_upstream_without_one(
    provider: Provider, tmp_path: Path
) -> None:
    request = await sent_up(provider, tmp_path, create(), {})
    assert request.header("authorization") is None
    assert KEY.encode() not in request.head + request.body


@pytest.mark.parametrize(
    "setting",
    [{}, {"key": SECRET}, {"pass_key": True}, {"pass_key": True, "auth_header": "api-key"}],
)
async def test_the_callers_chatkeep_key_never_goes_up(
    provider: Provider, tmp_path: Path, setting: Any
) -> None:
    wanted = ("authorization", "cookie", "x-chatkeep-store")
    request = await sent_up(
        provider, tmp_path, create(), KEPT_BACK, forward_headers=wanted, **setting
    )
    assert KEY.encode() not in request.head


async def test_configured_headers_of_callers_go_up_too(provider: Provider, tmp_path: Path) -> None:
    headers = {"x-tenant": "t1", "x-stainless-lang": "python", "x-other": "1"}
    wanted = ("X-Tenant", "x-stainless-lang", "x-absent")
    request = await sent_up(provider, tmp_path, create(), headers, forward_headers=wanted)
    assert request.header("x-tenant") == "t1"
    assert request.header("x-stainless-lang") == "python"
    assert request.header("x-other") is None
    assert request.header("x-absent") is None


async def test_an_upstreams_own_headers_win_over_the_callers(
    provider: Provider, tmp_path: Path
) -> None:
    own = {"OpenAI-Beta": "own=1", "X-Title": "chatkeep", "user-agent": "ours/1"}
    request = await sent_up(provider, tmp_path, create(), SENT, headers=own)
    headers = header_map(request)
    assert (headers["openai-beta"], headers["x-title"]) == ("own=1", "chatkeep")
    assert headers["user-agent"] == "ours/1"


async def test_a_key_goes_up_as_a_bearer_token(provider: Provider, tmp_path: Path) -> None:
    request = await sent_up(provider, tmp_path, create(), {}, key=SECRET)
    assert header_map(request)["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("auth_header", ["Authorization", "AUTHORIZATION"])
async def test_the_name_of_the_authorization_header_may_be_capitalised(
    provider: Provider, tmp_path: Path, auth_header: str
) -> None:
    request = await sent_up(provider, tmp_path, create(), {}, key=SECRET, auth_header=auth_header)
    assert header_map(request)["authorization"] == f"Bearer {SECRET}"


async def test_azure_gets_its_key_and_version_its_own_way(
    provider: Provider, tmp_path: Path
) -> None:
    url = provider.url.removesuffix("/v1") + "/openai/deployments/gpt%2D4o"
    provider.always(Plain(b'{"id":"x","choices":[]}'))
    query = {"api-version": "2024-10-21", "a b": "c&d=\u00e9"}
    upstream = named("azure", url, key=SECRET, auth_header="api-key", query=query)
    async with chatkeep_before(tmp_path, [upstream]) as chatkeep:
        assert (await called(chatkeep, store=True)).head.status == 200
        await asked(chatkeep.url, get("/v1/models", chatkeep.key))
    path = "/openai/deployments/gpt%2D4o"
    asked_for = "api-version=2024-10-21&a+b=c%26d%3D%C3%A9"
    for request, ending in zip(provider.requests, ["/chat/completions", "/models"], strict=True):
        assert request.target == f"{path}{ending}?{asked_for}"
        assert request.header("api-key") == SECRET
        assert request.header("authorization") is None


@pytest.mark.parametrize("slashes", ["", "/", "//"])
async def test_a_slash_at_the_end_of_a_base_url_does_not_matter(
    provider: Provider, tmp_path: Path, slashes: str
) -> None:
    async with chatkeep_before(tmp_path, [named("a", provider.url + slashes)]) as chatkeep:
        await called(chatkeep)
    assert provider.requests[0].target == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("setting", "headers", "wanted"),
    [
        ({}, {"x-chatkeep-upstream-key": CALLERS}, None),
        ({"key": SECRET}, {"x-chatkeep-upstream-key": CALLERS}, f"Bearer {SECRET}"),
        ({"pass_key": True}, {}, None),
        ({"pass_key": True, "key": SECRET}, {}, f"Bearer {SECRET}"),
        ({"pass_key": True}, {"x-chatkeep-upstream-key": CALLERS}, f"Bearer {CALLERS}"),
        (
            {"pass_key": True, "key": SECRET},
            {"x-chatkeep-upstream-key": CALLERS},
            f"Bearer {CALLERS}",
        ),
    ],
    ids=["none", "not passed", "not given", "set", "passed", "passed before set"],
)
async def test_the_callers_own_upstream_key_is_used_where_it_may(
    provider: Provider, tmp_path: Path, setting: Any, headers: dict[str, str], wanted: str | None
) -> None:
    request = await sent_up(provider, tmp_path, create(), headers, **setting)
    assert request.header("authorization") == wanted
    assert request.header("x-chatkeep-upstream-key") is None


async def test_a_callers_upstream_key_goes_only_to_the_upstreams_that_pass_it(
    provider: Provider, tmp_path: Path
) -> None:
    provider.answer(Refuse())
    upstreams = [
        named("a", provider.url, pass_key=True, fallbacks=("b",)),
        named("b", provider.url, key=SECRET),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        headers = {"x-chatkeep-upstream-key": CALLERS}
        await asked(chatkeep.url, post(PATH, create(), chatkeep.key, headers))
    keys = [request.header("authorization") for request in provider.requests]
    assert keys == [f"Bearer {CALLERS}", f"Bearer {SECRET}"]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_upstream_that_keeps_too_gets_store_and_metadata(
    provider: Provider, tmp_path: Path, stream: bool
) -> None:
    body = create(
        store=True,
        metadata={"a": "b"},
        stream=stream,
        stream_options={"include_usage": True},
    )
    request = await sent_up(provider, tmp_path, body, {}, keep_store=True)
    assert request.body == body


async def test_what_only_one_upstream_keeps_the_other_does_not_get(
    provider: Provider, tmp_path: Path
) -> None:
    provider.answer(Refuse())
    upstreams = [
        named("a", provider.url, keep_store=True, fallbacks=("b",)),
        named("b", provider.url),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        await called(chatkeep, store=True, metadata={"a": "b"})
    sent = [request.body for request in provider.requests]
    assert sent == [create(store=True, metadata={"a": "b"}), create()]


@pytest.mark.parametrize("wanted", ["add", "leave"])
async def test_the_usage_of_a_stored_stream_is_asked_for_unless_left(
    provider: Provider, tmp_path: Path, wanted: str
) -> None:
    upstream = named("a", provider.url, stream_usage=wanted)
    async with chatkeep_before(tmp_path, [upstream]) as chatkeep:
        reply = await called(chatkeep, store=True, stream=True)
        (row,) = await kept(chatkeep)
    options = provider.requests[0].json().get("stream_options")
    assert options == ({"include_usage": True} if wanted == "add" else None)
    assert (row.usage.total_tokens is not None) == (wanted == "add")
    assert b'"choices":[]' not in reply.body


async def test_usage_that_comes_unasked_is_left_in_the_stream(
    provider: Provider, tmp_path: Path
) -> None:
    head = b'data: {"id":"x","choices":'
    usage = head + b'[],"usage":{"total_tokens":3}}\n\n'
    said = head + b'[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    provider.answer(Stream([said, usage, b"data: [DONE]\n\n"]))
    async with chatkeep_before(tmp_path, [named("a", provider.url, stream_usage="leave")]) as ours:
        reply = await called(ours, store=True, stream=True)
        (row,) = await kept(ours)
    passed = said + usage + b"data: [DONE]\n\n"
    assert reply.body == passed.replace(b'"x"', f'"{row.id}"'.encode())
    assert row.usage.total_tokens == 3


async def test_a_gzip_request_goes_up_decoded(provider: Provider, tmp_path: Path) -> None:
    headers = {**JSON_TYPE, "content-encoding": "gzip"}
    request = await sent_up(provider, tmp_path, gzip.compress(create(store=True)), headers)
    assert request.body == create()
    assert request.header("content-encoding") is None


async def test_an_upstreams_key_is_in_no_answer_and_no_log(
    provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with nobody() as nowhere:
        upstreams = [
            named("a", provider.url, key=SECRET, models=("a",), headers={"x-also": SECRET}),
            named("b", nowhere, key=SECRET, models=("b",), query={"key": SECRET}),
            named("c", provider.url, key=SECRET, models=("c",), timeout_s=0.1),
        ]
        async with chatkeep_before(tmp_path, upstreams, log_level="debug") as chatkeep:
            replies = [await called(chatkeep, model, store=True) for model in "aab"]
            provider.answer(Refuse())
            replies.append(await called(chatkeep, "a", store=True, stream=True))
            id = replies[0].head["x-chatkeep-id"]
            for path in (
                f"{PATH}/{id}",
                PATH,
                f"{PATH}/{id}/messages",
                f"/keep/v1/completions/{id}/raw/request",
                f"/keep/v1/completions/{id}/raw/answer",
                "/keep/v1/upstreams",
                "/v1/models",
                "/openapi.json",
                "/metrics",
                "/nowhere",
            ):
                replies.append(await asked(chatkeep.url, get(path, chatkeep.key)))
            replies.append(await asked(chatkeep.url, head_of("PUT", PATH, chatkeep.key, {})))
    assert [reply.head.status for reply in replies[:4]] == [200, 200, 502, 502]
    shown = "".join(f"{reply.head} {reply.body!r}" for reply in replies)
    assert SECRET not in shown
    said = "".join(f"{line.getMessage()} {vars(line)}" for line in caplog.records)
    assert said
    assert SECRET not in said
    assert KEY not in said


async def test_the_upstream_of_one_server_gets_the_name_of_that_server(
    provider: Provider, tmp_path: Path
) -> None:
    async with chatkeep_server.chatkeep(tmp_path, provider.url) as chatkeep:
        await called(chatkeep)
        await asked(chatkeep.url, get("/v1/models", chatkeep.key))
    hops = [request.header("x-chatkeep-hop") for request in provider.requests]
    assert hops == ["test-instance"] * 2
