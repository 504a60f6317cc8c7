"""The server's edges: other origins, proxies before it, raw bytes, and who needs no key."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.provider import Plain, Provider, Stream
from support.rawhttp import PATH, Head, Reply, asked, connected, get, head_of, post
from support.refusals import REQUEST_ID, UNKNOWN, Refusal, assert_refusal, create

from chatkeep.settings import Settings
from chatkeep.web.routes import OPERATIONS
from chatkeep.web.server.server import Server, address, listen
from chatkeep.web.wire import EXPOSED_HEADERS

PAGE = "https://app.example"
OTHER_PAGE = "https://app.example.evil.test"
KEYLESS = ["/healthz", "/readyz", "/metrics", "/openapi.json"]
EVENTS = (("content-type", "text/event-stream"),)


async def options(chatkeep: Chatkeep, origin: str, path: str = PATH, **more: str) -> Reply:
    """The answer to a browser's question whether a page may POST with a key."""
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
        **more,
    }
    return await asked(chatkeep.url, head_of("OPTIONS", path, None, headers))


def allowed(head: Head) -> list[str]:
    return head.all("access-control-allow-origin")


@pytest.fixture
async def shared(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    """A server that PAGE may call."""
    origins = ("http://localhost:3000", PAGE)
    async with chatkeep_server.chatkeep(tmp_path, provider.url, cors_origins=origins) as running:
        yield running


@pytest.mark.parametrize("path", [PATH, "/v1/models", f"{PATH}/{UNKNOWN}", "/healthz"])
async def test_no_page_of_another_origin_may_call_unless_set(chatkeep: Chatkeep, path: str) -> None:
    preflight = await options(chatkeep, PAGE, path)
    assert (preflight.head.status, allowed(preflight.head)) == (405, [])
    reply = await asked(chatkeep.url, get(path, chatkeep.key, {"origin": PAGE}))
    assert allowed(reply.head) == []


async def test_an_upstream_does_not_say_which_pages_may_call(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(Plain(b"{}", headers=[("access-control-allow-origin", "*")]))
    reply = await asked(chatkeep.url, post(PATH, create(), chatkeep.key, {"origin": PAGE}))
    assert allowed(reply.head) == []


@pytest.mark.parametrize("origin", [OTHER_PAGE, "http://app.example", "null", f"{PAGE}:444"])
async def test_a_page_of_an_origin_not_listed_may_not_call(shared: Chatkeep, origin: str) -> None:
    preflight = await options(shared, origin)
    assert (preflight.head.status, allowed(preflight.head)) == (400, [])
    reply = await asked(shared.url, get("/v1/models", shared.key, {"origin": origin}))
    assert allowed(reply.head) == []


@pytest.mark.parametrize("method", ["PUT", "TRACE"])
async def test_a_listed_page_may_use_our_methods_only(shared: Chatkeep, method: str) -> None:
    preflight = await options(shared, PAGE, **{"access-control-request-method": method})
    assert preflight.head.status == 400


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", [PATH, f"{PATH}/{UNKNOWN}", "/v1/models"])
async def test_a_listed_page_may_ask_without_a_key_whether_it_may_call(
    shared: Chatkeep, path: str, method: str
) -> None:
    preflight = await options(shared, PAGE, path, **{"access-control-request-method": method})
    assert (preflight.head.status, allowed(preflight.head)) == (200, [PAGE])
    assert method in preflight.head["access-control-allow-methods"].split(", ")
    headers = preflight.head["access-control-allow-headers"].lower()
    assert all(name in headers for name in ("authorization", "content-type", "x-stainless-lang"))
    assert preflight.head.all("access-control-allow-credentials") == []
    assert "Origin" in preflight.head["vary"]


@pytest.mark.parametrize(
    "request_",
    [
        get("/v1/models", chatkeep_server.KEY, {"origin": PAGE}),
        get("/v1/models", None, {"origin": PAGE}),
        get("/nowhere", None, {"origin": PAGE}),
        post(PATH, create(store=True), chatkeep_server.KEY, {"origin": PAGE}),
        post(PATH, create(stream=True, store=True), chatkeep_server.KEY, {"origin": PAGE}),
    ],
    ids=["answer", "401", "404", "stored", "stream"],
)
async def test_a_listed_page_may_read_every_answer_and_its_headers(
    shared: Chatkeep, request_: bytes
) -> None:
    head = (await asked(shared.url, request_)).head
    assert allowed(head) == [PAGE]
    exposed = head["access-control-expose-headers"].lower().split(", ")
    assert set(exposed) == set(EXPOSED_HEADERS)
    assert {name for name, _ in head.headers if name.startswith("x-chatkeep-")} <= set(exposed)
    assert head.all("access-control-allow-credentials") == []


async def test_any_page_may_call_when_the_origins_are_a_star(
    provider: Provider, tmp_path: Path
) -> None:
    async with chatkeep_server.chatkeep(tmp_path, provider.url, cors_origins=("*",)) as chatkeep:
        assert allowed((await options(chatkeep, OTHER_PAGE)).head) == ["*"]
        reply = await asked(chatkeep.url, get("/v1/models", chatkeep.key, {"origin": PAGE}))
    assert (reply.head.status, allowed(reply.head)) == (200, ["*"])


@pytest.fixture
async def below(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    """A server that a proxy serves under a path."""
    settings = {"root_path": "/my/chatkeep", "cors_origins": (PAGE,)}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, **settings) as running:  # type: ignore[arg-type]  # settings of several types
        yield running


@pytest.mark.parametrize(
    "path",
    [
        "/my/chatkeep",
        "/my/chatkeepv1/models",
        "/my/v1/models",
        "/chatkeep/v1/models",
        "/my/chatkeep/my/chatkeep/v1/models",
        "/x/my/chatkeep/v1/models",
        "/my/chatkeep//v1/models",
    ],
)
async def test_below_a_path_other_paths_are_unknown(below: Chatkeep, path: str) -> None:
    assert (await asked(below.url, get(path, below.key))).head.status == 404


async def test_a_path_is_served_under_no_other_servers_path(chatkeep: Chatkeep) -> None:
    reply = await asked(chatkeep.url, get("/chatkeep/v1/models", chatkeep.key))
    wanted = Refusal("UnknownUrl", "Invalid URL (GET /chatkeep/v1/models)")
    assert_refusal(reply, wanted)


@pytest.mark.parametrize("prefix", ["", "/my/chatkeep"], ids=["stripped", "left"])
async def test_a_proxy_may_strip_its_path_or_leave_it(below: Chatkeep, prefix: str) -> None:
    made = await asked(below.url, post(prefix + PATH, create(store=True), below.key))
    id = json.loads(made.body)["id"]
    for path in (f"{PATH}/{id}", f"{PATH}?limit=1", "/v1/models", "/healthz"):
        assert (await asked(below.url, get(prefix + path, below.key))).head.status == 200
    missing = await asked(below.url, get(prefix + f"{PATH}/{id}", None))
    assert missing.head.status == 401
    assert allowed((await options(below, PAGE, prefix + PATH)).head) == [PAGE]


async def test_the_description_names_the_path(below: Chatkeep) -> None:
    described = json.loads((await asked(below.url, get("/openapi.json", None))).body)
    assert described["servers"] == [{"url": "/my/chatkeep"}]


async def test_the_description_names_the_root_without_a_path(chatkeep: Chatkeep) -> None:
    described = json.loads((await asked(chatkeep.url, get("/openapi.json", None))).body)
    assert described["servers"] == [{"url": "/"}]


@contextlib.asynccontextmanager
async def seeing(trusted: tuple[str, ...]) -> AsyncIterator[tuple[str, list[Scope]]]:
    """A server like ours, and what it takes its callers to be."""
    seen: list[Scope] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    listening = listen("127.0.0.1", 0)
    server = Server(look, Settings(trusted_proxies=trusted, drain_s=1), signals=False)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield address(listening), seen
    finally:
        server.should_exit = True
        await task


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [
        ((), False),
        (("10.0.0.1",), False),
        (("127.0.0.1",), True),
        (("10.0.0.1", "127.0.0.0/8"), True),
        (("*",), True),
    ],
)
async def test_forwarded_headers_are_believed_of_trusted_proxies_only(
    trusted: tuple[str, ...], believed: bool
) -> None:
    headers = {"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https"}
    async with seeing(trusted) as (url, seen):
        await asked(url, get("/", None, headers))
    client, scheme = seen[0]["client"][0], seen[0]["scheme"]
    assert (client, scheme) == (("192.0.2.7", "https") if believed else ("127.0.0.1", "http"))


def raw(id: str, part: str) -> str:
    return f"/keep/v1/completions/{id}/raw/{part}"


@pytest.mark.parametrize("part", ["request", "answer"])
async def test_raw_bytes_are_for_the_projects_readers(chatkeep: Chatkeep, part: str) -> None:
    made = await asked(chatkeep.url, post(PATH, create(store=True), chatkeep.key))
    path = raw(made.head["x-chatkeep-id"], part)
    writer = await chatkeep.add_key("sk-ck-writer", "default", "create", "write", "admin")
    foreign = await chatkeep.add_key("sk-ck-foreign", "other", "read")
    assert (await asked(chatkeep.url, get(path, None))).head.status == 401
    assert (await asked(chatkeep.url, get(path, writer))).head.status == 403
    message = f"Completion {made.head['x-chatkeep-id']} not found"
    wanted = Refusal("CompletionNotFound", message, "completion_id")
    assert_refusal(await asked(chatkeep.url, get(path, foreign)), wanted)
    deleted = head_of("DELETE", f"{PATH}/{made.head['x-chatkeep-id']}", chatkeep.key, {})
    await asked(chatkeep.url, deleted)
    assert_refusal(await asked(chatkeep.url, get(path, chatkeep.key)), wanted)


async def test_raw_bytes_are_what_passed(chatkeep: Chatkeep, provider: Provider) -> None:
    sent = (
        b'\n{ "model":"m","messages" : [{"role":"user","content":"caf\\u00e9 \\ud83d"}],'
        b'"metadata":{"a":"b"},"store":true, "temperature":1.00 ,"x":1,"x":2}\r\n'
    )
    provider.answer(Plain(b'{"choices":[{"message":{"content":"\\u00e9"}}] ,"id":"x","y":1E400}\n'))
    made = await asked(
        chatkeep.url,
        post(PATH, gzip.compress(sent), chatkeep.key, {"content-encoding": "gzip"}),
    )
    id = made.head["x-chatkeep-id"]
    request, answer = [
        await asked(chatkeep.url, get(raw(id, part), chatkeep.key))
        for part in ("request", "answer")
    ]
    assert (request.body, answer.body) == (sent, made.body)
    assert (
        answer.body
        == b'{"choices":[{"message":{"content":"\\u00e9"}}] ,"id":"%b","y":1E400}\n' % id.encode()
    )
    assert request.head["content-type"] == answer.head["content-type"] == "application/json"
    assert answer.head["x-content-type-options"] == "nosniff"


async def test_the_raw_answer_of_a_stream_is_the_completion_put_together(
    chatkeep: Chatkeep,
) -> None:
    body = create(stream=True, store=True)
    made = await asked(chatkeep.url, post(PATH, body, chatkeep.key))
    id = made.head["x-chatkeep-id"]
    request, answer = [
        await asked(chatkeep.url, get(raw(id, part), chatkeep.key))
        for part in ("request", "answer")
    ]
    assert request.body == body
    completion = json.loads(answer.body)
    assert (completion["id"], completion["object"]) == (id, "chat.completion")
    assert completion["choices"][0]["message"]["content"] == "You said: hi"


STORED_ANSWER = Plain(b'{"id":"x","choices":[]}')
SAYINGS: dict[str, tuple[Any, dict[str, Any], dict[str, str]]] = {
    "not asked for": (STORED_ANSWER, {}, {"stored": "no; store was not asked for"}),
    "stream, not asked for": (
        Stream([b"data: [DONE]\n\n"], headers=EVENTS),
        {"stream": True},
        {"stored": "no; store was not asked for"},
    ),
    "stored": (STORED_ANSWER, {"store": True}, {"stored": "yes", "id": "*"}),
    "stream": (
        Stream([b'data: {"id":"x"}\n\n', b"data: [DONE]\n\n"], headers=EVENTS),
        {"store": True, "stream": True},
        {"stored": "pending", "id": "*"},
    ),
    "refused": (
        Plain(b"{}", 400),
        {"store": True},
        {"stored": "no; the upstream refused the call"},
    ),
    "no completion": (Plain(b"[]"), {"store": True}, {"stored": "no; it is no completion"}),
    "too large": (
        Plain(b'{"id":"x","choices":["%b"]}' % (b"x" * 2000)),
        {"store": True},
        {"stored": "no; it is too large"},
    ),
}


@pytest.mark.parametrize("name", SAYINGS)
async def test_every_answer_to_a_create_call_says_what_became_of_it(
    provider: Provider, tmp_path: Path, name: str
) -> None:
    answer, fields, wanted = SAYINGS[name]
    provider.answer(answer)
    small = chatkeep_server.chatkeep(tmp_path, provider.url, max_answer_bytes=1000)
    async with small as chatkeep:
        head = (await asked(chatkeep.url, post(PATH, create(**fields), chatkeep.key))).head
    said = {key: value for key, value in head.headers if key.startswith("x-chatkeep-")}
    if "id" in wanted:
        wanted = {**wanted, "id": said["x-chatkeep-id"]}
    assert said == {f"x-chatkeep-{k}": v for k, v in {**wanted, "upstream": "provider"}.items()}


async def test_other_answers_say_who_they_are_and_nothing_of_storing(chatkeep: Chatkeep) -> None:
    made = await asked(chatkeep.url, post(PATH, create(store=True), chatkeep.key))
    id = made.head["x-chatkeep-id"]
    requests = [
        *(get(path, chatkeep.key) for path in (PATH, f"{PATH}/{id}", f"{PATH}/{id}/messages")),
        *(get(path, chatkeep.key) for path in ("/v1/models", "/nowhere", *KEYLESS)),
        post(f"{PATH}/{id}", b'{"metadata":{}}', chatkeep.key),
        post(PATH, b"", chatkeep.key),
        head_of("DELETE", f"{PATH}/{id}", chatkeep.key, {}),
    ]
    seen = set()
    for request in requests:
        head = (await asked(chatkeep.url, request)).head
        assert REQUEST_ID.fullmatch(head["x-request-id"])
        assert head["openai-version"] == "2020-10-01"
        assert int(head["openai-processing-ms"]) >= 0
        assert [name for name, _ in head.headers if name.startswith("x-chatkeep-")] == []
        seen.add(head["x-request-id"])
    assert len(seen) == len(requests)


@pytest.mark.parametrize("path", [op.path for op in OPERATIONS if op.method == "GET"])
async def test_head_answers_as_get_does_without_the_body(chatkeep: Chatkeep, path: str) -> None:
    made = await asked(chatkeep.url, post(PATH, create(store=True), chatkeep.key))
    id = made.head["x-chatkeep-id"]
    target = path.replace("{completion_id}", id).replace("{model:path}", "echo-1")
    for key in (chatkeep.key, None):
        whole = await asked(chatkeep.url, get(target, key))
        async with connected(chatkeep.url) as wire:
            wire.send(head_of("HEAD", target, key, {}) + get("/healthz", None))
            head = await wire.head()
            assert head.status == whole.head.status
            assert head["content-type"] == whole.head["content-type"]
            if path not in ("/metrics", "/keep/v1/upstreams"):  # whose figures change
                assert head["content-length"] == whole.head["content-length"]
            assert (await wire.reply()).body == b'{"status":"ok"}'


@pytest.mark.parametrize("path", KEYLESS)
@pytest.mark.parametrize("key", [None, "sk-ck-wrong"])
async def test_operators_need_no_key(chatkeep: Chatkeep, path: str, key: str | None) -> None:
    reply = await asked(chatkeep.url, get(path, key))
    assert (reply.head.status, reply.complete) == (200, True)
    assert chatkeep.key.encode() not in reply.body
