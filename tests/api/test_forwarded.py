"""The other model calls: handed on as they are by their model, never stored. Nothing else is."""

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.calls import kept, named
from support.chatkeep_server import Chatkeep, chatkeep_before
from support.provider import Hang, Plain, Provider, Refuse, Stream
from support.rawhttp import asked, connected, get, head_of, post
from support.refusals import Refusal, assert_refusal

from chatkeep.web.routes import FORWARDED

pytestmark = pytest.mark.usefixtures("nothing_left_open")

ALL = pytest.mark.parametrize("path", FORWARDED)
BODY = b'{ "input" : "caf\\u00e9 \\ud83d", "model":"m",\n"store":true, "metadata":{"a":1} }\r\n'
ANSWER = b'{"object" :"list",\n"data":[1.0, "\xff\xfe not UTF-8"] }\n'
JSON = {"content-type": "application/json"}
EVENTS = (("content-type", "text/event-stream; charset=utf-8"),)
BOUNDARY = "----b0undary"
FORM = {"content-type": f'multipart/form-data; boundary="{BOUNDARY}"'}
# Everything else of OpenAI's API, and what proxies of it were seen to let through.
ELSEWHERE = [
    ("GET", "/v1/files"),
    ("POST", "/v1/files"),
    ("GET", "/v1/files/file-1/content"),
    ("DELETE", "/v1/files/file-1"),
    ("POST", "/v1/uploads"),
    ("POST", "/v1/fine_tuning/jobs"),
    ("GET", "/v1/fine_tuning/jobs"),
    ("POST", "/v1/batches"),
    ("GET", "/v1/batches"),
    ("POST", "/v1/assistants"),
    ("POST", "/v1/threads"),
    ("POST", "/v1/threads/runs"),
    ("POST", "/v1/vector_stores"),
    ("GET", "/v1/organization/admin_api_keys"),
    ("GET", "/v1/organization/usage/completions"),
    ("GET", "/v1/organization/costs"),
    ("GET", "/v1/usage"),
    ("GET", "/v1/dashboard/billing/usage"),
    ("POST", "/v1/containers"),
    ("POST", "/v1/videos"),
    ("POST", "/v1/conversations"),
    ("POST", "/v1/realtime/sessions"),
    ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("DELETE", "/v1/models/m"),
    ("POST", "/v1/edits"),
    ("POST", "/v1/engines/m/completions"),
    ("POST", "/v1"),
    ("POST", "/v1/"),
    ("POST", "/embeddings"),
    ("POST", "/v2/embeddings"),
    ("POST", "/V1/embeddings"),
    ("POST", "/api/generate"),
    ("GET", "/"),
]
TRICKS = [
    "/v1//embeddings",
    "//v1/embeddings",
    "/v1/embeddings/",
    "/v1/embeddings//",
    "/v1/embeddings/..",
    "/v1/embeddings/../files",
    "/v1/embeddings/..%2ffiles",
    "/v1/embeddings/..%2Ffiles",
    "/v1/embeddings%2f..%2ffiles",
    "/v1/embeddings/%2e%2e/files",
    "/v1/./embeddings",
    "/v1/x/../embeddings",
    "/v1/embeddings;x=1",
    "/v1/embeddings%00",
    "/v1/embeddings%20",
    "/v1/embeddings%3Fx",
    "/v1/embeddings%23",
    "/v1%5cembeddings",
    "/v1/embeddings%5c..%5cfiles",
    "/v1/chat/completions/..%2f..%2ffiles",
    "/v1/chat/completions/../../files",
    "/v1/audio/speech/../../files",
    "/v1/audio/..%2ffiles",
    "/v1/embeddings%252f..%252ffiles",
]


@pytest.fixture
async def second(anyio_backend: object) -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


@pytest.fixture
async def two(provider: Provider, second: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    """A server whose upstream b has the models b-*, and a all others."""
    provider.always(Plain(b'{"by":"a"}'))
    second.always(Plain(b'{"by":"b"}'))
    upstreams = [
        named("a", provider.url, models=("a-*",), model_names={"a-1": "one"}),
        named("b", second.url, models=("b-*",), model_names={"b-1": "one"}),
    ]
    async with chatkeep_before(tmp_path, upstreams) as running:
        yield running


def part(head: str, body: bytes) -> bytes:
    lines = f"--{BOUNDARY}\r\ncontent-disposition: form-data; {head}\r\n\r\n"
    return lines.encode() + body + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize("path", FORWARDED)
async def test_without_a_key_or_its_scope_nothing_is_forwarded(
    chatkeep: Chatkeep, provider: Provider, path: str
) -> None:
    reader = await chatkeep.add_key("sk-ck-reader", "default", "read", "write")
    without = await asked(chatkeep.url, post(f"/v1{path}", BODY, None, JSON))
    denied = await asked(chatkeep.url, post(f"/v1{path}", BODY, reader, JSON))
    assert (without.head.status, denied.head.status) == (401, 403)
    assert provider.requests == []


@pytest.mark.parametrize(("method", "path"), ELSEWHERE)
async def test_nothing_else_is_forwarded(
    chatkeep: Chatkeep, provider: Provider, method: str, path: str
) -> None:
    headers = {**JSON, "content-length": str(len(BODY))}
    reply = await asked(chatkeep.url, head_of(method, path, chatkeep.key, headers) + BODY)
    assert reply.head.status in (404, 405)
    if reply.head.status == 404:
        assert_refusal(reply, Refusal("UnknownUrl", f"Invalid URL ({method} {path})"))
    assert provider.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@ALL
async def test_forwarded_calls_are_posts(
    chatkeep: Chatkeep, provider: Provider, path: str, method: str
) -> None:
    reply = await asked(chatkeep.url, head_of(method, f"/v1{path}", chatkeep.key, {}))
    assert_refusal(reply, Refusal("MethodNotSupported", "Only POST requests are accepted."))
    assert reply.head["allow"] == "POST"
    assert provider.requests == []


@pytest.mark.parametrize("path", TRICKS)
async def test_a_path_that_only_looks_like_one_of_ours_is_not_forwarded(
    chatkeep: Chatkeep, provider: Provider, path: str
) -> None:
    for method in ("POST", "GET"):
        headers = {**JSON, "content-length": str(len(BODY))}
        reply = await asked(chatkeep.url, head_of(method, path, chatkeep.key, headers) + BODY)
        assert reply.head.status in (404, 405)
    assert provider.requests == []


@ALL
async def test_a_call_is_forwarded_as_it_is_and_not_stored(
    chatkeep: Chatkeep, provider: Provider, path: str
) -> None:
    answer = provider.answer(Plain(ANSWER, 201, [("content-type", "text/x"), ("x-own", "1")]))
    headers = {**JSON, "accept": "*/*", "x-chatkeep-store": "true", "idempotency-key": "k"}
    reply = await asked(chatkeep.url, post(f"/v1{path}", BODY, chatkeep.key, headers))
    assert (reply.head.status, reply.body) == (201, answer.body)
    assert (reply.head["content-type"], reply.head["x-own"]) == ("text/x", "1")
    assert reply.head["x-chatkeep-upstream"] == "provider"
    assert reply.head.all("x-chatkeep-id") == reply.head.all("x-chatkeep-stored") == []
    (request,) = provider.requests
    assert (request.target, request.body) == (f"/v1{path}", BODY)
    assert request.header("content-type") == "application/json"
    assert request.header("idempotency-key") == "k"
    assert request.header("x-chatkeep-store") is None
    assert await kept(chatkeep) == []
    figures = (await asked(chatkeep.url, get("/metrics", None))).body.decode()
    counted = f'chatkeep_requests_total{{method="POST",route="/v1{path}",status="201"}} 1.0'
    assert counted in figures


@ALL
async def test_a_call_goes_to_the_upstream_of_its_model(
    two: Chatkeep, provider: Provider, second: Provider, path: str
) -> None:
    for model, wanted in (("a-1", "a"), ("b-1", "b"), ("c", "a")):
        body = BODY.replace(b'"m"', f'"{model}"'.encode())
        reply = await asked(two.url, post(f"/v1{path}", body, two.key, JSON))
        assert reply.head["x-chatkeep-upstream"] == wanted
        assert json.loads(reply.body) == {"by": wanted}
    renamed = BODY.replace(b'"m"', b'"one"')
    assert [r.body for r in provider.requests] == [renamed, BODY.replace(b'"m"', b'"c"')]
    assert [r.body for r in second.requests] == [renamed]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"[1]",
        b'"m"',
        b'{"model":7}',
        b'{"model":"b-1"',
        b"{}",
        b"\xff\xfe",
        b"[" * 10_000,
    ],
    ids=["empty", "text", "list", "string", "number", "cut", "no model", "bytes", "deep"],
)
async def test_a_body_without_a_model_goes_to_the_first_upstream_as_it_is(
    two: Chatkeep, provider: Provider, second: Provider, body: bytes
) -> None:
    reply = await asked(two.url, post("/v1/embeddings", body, two.key, JSON))
    assert (reply.head.status, reply.body) == (200, b'{"by":"a"}')
    assert ([r.body for r in provider.requests], second.requests) == ([body], [])


@pytest.mark.parametrize(
    "before",
    [
        b"",
        part('name="file"; filename="a.wav"', bytes(range(256)) * 9),
        part('name="prompt"', b"say model"),
        part('name="model_hint"', b"a-1"),
        part('name="file"; filename="x; name=model"', b"a-1"),
        part('name="file"; filename="a"', part('name="model"', b"a-1").replace(b"--", b"-")),
    ],
    ids=["nothing", "a file", "a prompt", "another name", "a file's name", "within a file"],
)
@pytest.mark.parametrize(
    "head", ['name="model"', "name=model", 'name="model"\r\ncontent-type: text/plain']
)
async def test_a_form_goes_to_the_upstream_of_its_model_byte_for_byte(
    two: Chatkeep, second: Provider, before: bytes, head: str
) -> None:
    body = form(before, part(head, b"b-1"), part('name="language"', b"en"))
    reply = await asked(two.url, post("/v1/audio/transcriptions", body, two.key, FORM))
    assert reply.head["x-chatkeep-upstream"] == "b"
    (request,) = second.requests
    assert (request.body, request.header("content-type")) == (body, FORM["content-type"])


@pytest.mark.parametrize(
    "piece",
    [b"content-disposition:", b"content-disposition:;name=model\r\n"],
    ids=["one line", "lines"],
)
async def test_no_form_keeps_the_server_busy(two: Chatkeep, piece: bytes) -> None:
    # With the square of the pieces it would take longer than any test may.
    body = form(part('name="file"', piece * 50_000 + b"x"))
    assert (await asked(two.url, post("/v1/images/edits", body, two.key, FORM))).complete


async def test_bytes_that_are_no_text_come_back_as_they_are(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    sound = bytes(range(256)) * 4096
    provider.answer(Stream([sound[:5], sound[5:]], headers=[("content-type", "audio/mpeg")]))
    reply = await asked(chatkeep.url, post("/v1/audio/speech", BODY, chatkeep.key, JSON))
    assert (reply.complete, reply.body, reply.head["content-type"]) == (True, sound, "audio/mpeg")


@pytest.mark.parametrize("path", ["/completions", "/responses", "/images/generations"])
async def test_a_stream_is_forwarded_piece_by_piece(
    chatkeep: Chatkeep, provider: Provider, path: str
) -> None:
    pieces = [b'event: a\r\ndata: {"id":', b' "x"}\r\n\r\n', b": comment\n\n", b"data: [DONE]\n\n"]
    stream = provider.answer(Stream(pieces, headers=EVENTS, stepped=True))
    async with connected(chatkeep.url) as wire:
        wire.send(post(f"/v1{path}", BODY, chatkeep.key, JSON))
        head = await wire.head()
        assert head["content-type"] == EVENTS[0][1]
        assert (head["cache-control"], head["x-accel-buffering"]) == ("no-cache", "no")
        for piece in pieces:
            stream.step()
            assert await wire.until(piece[-1:]) == piece
        assert await wire.piece() == b""


@ALL
async def test_an_upstreams_error_is_handed_on(
    chatkeep: Chatkeep, provider: Provider, path: str
) -> None:
    provider.answer(Plain(b'{"error":"no"}', 422, [("content-type", "application/json")]))
    reply = await asked(chatkeep.url, post(f"/v1{path}", BODY, chatkeep.key, JSON))
    assert (reply.head.status, reply.body) == (422, b'{"error":"no"}')


async def test_a_forwarded_call_falls_back_too(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    provider.answer(Refuse())
    second.answer(Plain(ANSWER))
    upstreams = [named("a", provider.url, fallbacks=("b",)), named("b", second.url)]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await asked(chatkeep.url, post("/v1/rerank", BODY, chatkeep.key, JSON))
    assert (reply.body, reply.head["x-chatkeep-upstream"]) == (ANSWER, "b")


async def test_an_idempotency_key_is_the_upstreams_business(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.always(Plain(ANSWER))
    headers = {**JSON, "idempotency-key": "same"}
    for body in (BODY, BODY, b"{}"):
        reply = await asked(chatkeep.url, post("/v1/responses", body, chatkeep.key, headers))
        assert (reply.head.status, reply.head.all("x-chatkeep-idempotency")) == (200, [])
    assert [request.header("idempotency-key") for request in provider.requests] == ["same"] * 3


async def test_a_gzip_body_is_forwarded_decoded(chatkeep: Chatkeep, provider: Provider) -> None:
    provider.always(Plain(ANSWER))
    headers = {**JSON, "content-encoding": "gzip"}
    await asked(chatkeep.url, post("/v1/rerank", gzip.compress(BODY), chatkeep.key, headers))
    assert (provider.requests[0].body, provider.requests[0].header("content-encoding")) == (
        BODY,
        None,
    )


async def test_a_client_that_leaves_ends_its_forwarded_call(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    hang = provider.answer(Hang())
    async with connected(chatkeep.url) as wire:
        wire.send(post("/v1/images/generations", BODY, chatkeep.key, JSON))
        await hang.arrived.wait()
        wire.leave()
        await hang.ended.wait()
    assert hang.disconnected


async def test_the_official_client_embeds_transcribes_and_speaks(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    vector: dict[str, Any] = {"object": "embedding", "index": 0, "embedding": [0.5]}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    listed = {"object": "list", "model": "m", "data": [vector], "usage": usage}
    provider.answer(Plain(json.dumps(listed).encode()))
    provider.answer(Plain(b'{"text":"hello"}'))
    provider.answer(Plain(b"\xff\xfbID3", headers=[("content-type", "audio/mpeg")]))
    async with chatkeep.client() as client:
        made = await client.embeddings.create(model="m", input="x", encoding_format="float")
        heard = await client.audio.transcriptions.create(model="w", file=("a.wav", b"RIFF\0\xff"))
        said = await client.audio.speech.create(model="t", voice="alloy", input="x")
    assert made.data[0].embedding == [0.5]
    assert heard.text == "hello"
    assert said.content == b"\xff\xfbID3"
    assert b"RIFF\0\xff" in provider.requests[1].body
