"""Whatever a client sends, it gets an answer in its turn, in OpenAI's shape, that is no 5xx."""

import asyncio
import contextlib
import gzip
import json
import random

import pytest
from support.chatkeep_server import Chatkeep
from support.mutation import mutants
from support.provider import Provider
from support.rawhttp import PATH, Reply, asked, connected, get, head_of, post
from support.refusals import REQUEST_ID, UNKNOWN, create

GZIP = {"content-encoding": "gzip"}
IDS = [
    "x",
    "." * 3000,
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5cwindows",
    "%00",
    "%ff%fe",
    "%ed%a0%80",
    "%c0%ae%c0%ae",
    "%0d%0aset-cookie:%20a=b",
    "'%20OR%201=1--",
    "%3Cscript%3E",
    "chatcmpl-" + "z" * 29,
    "chatcmpl-" + "0" * 29,
    "chatcmpl-" + "%F0%9F%9A%80" * 7,
    UNKNOWN + "%20",
    UNKNOWN.upper(),
    "9" * 5000,
    "{completion_id}",
]
QUERIES = [
    "&" * 199,
    "&" * 5000,
    "=" * 5000,
    "limit=" + "9" * 10_000,
    "limit=-" + "9" * 400,
    "limit=1e3",
    "limit=%D9%A1",
    "limit=%00",
    "after=%00",
    "after=" + "x" * 10_000,
    "order=%FF",
    "metadata[%00]=x",
    "metadata[%ED%A0%80]=%ED%A0%80",
    "metadata[" + "k" * 5000 + "]=" + "v" * 5000,
    "metadata=x",
    "metadata[]=x",
    "metadata[a][b]=x",
    "&".join(f"metadata[k{number}]=v" for number in range(150)),
    "created_after=" + "9" * 400,
    "created_after=-1",
    "created_before=nan",
    "model=%F0%9F%9A%80&model=x",
    "a" * 60_000,
    "%",
    "%zz=%",
]
DEEP = b"[" * 100_000
BODIES = {
    "nothing": b"",
    "NUL": b"\0" * 1000,
    "invalid UTF-8": create(user="x").replace(b'"x"', b'"\xff\xc0\xaf"'),
    "UTF-16": create().decode().encode("utf-16"),
    "depth": b'{"model":"m","messages":' + DEEP,
    "closed depth": b'{"model":"m","messages":' + DEEP + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a number": b'{"model":"m","n":' + b"9" * 1_000_000 + b"}",
    "a fraction": b'{"model":"m","n":0.' + b"9" * 1_000_000 + b"}",
    "an exponent": b'{"model":"m","n":1e' + b"9" * 1_000_000 + b"}",
    "a name": b'{"' + b"x" * 5_000_000 + b'":1}',
    "names": b"{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}",
    "the same name": b"{" + b'"model":"m",' * 20_000 + b'"x":1}',
    "escapes": b'{"model":"' + b"\\u0000\\ud83d" * 50_000 + b'"}',
    "metadata": b'{"metadata":{' + b",".join(b'"k%d":"v"' % n for n in range(100_000)) + b"}}",
    "messages": b'{"model":"m","messages":[' + b"{}," * 300_000 + b"]}",
    "cut": create(store=True)[:-1],
    "twice": create() * 2,
}


def assert_shape(reply: Reply) -> None:
    """A success, or a refusal in the envelope that blames the client."""
    status = reply.head.status
    assert reply.complete
    assert status < 500, reply.body[:500]
    assert REQUEST_ID.fullmatch(reply.head["x-request-id"])
    if status >= 400:
        error = json.loads(reply.body)["error"]
        assert list(error) == ["message", "type", "param", "code"]
        assert len(reply.body) < 200_000
    assert reply.head.all("set-cookie") == []


async def assert_answered(chatkeep: Chatkeep, request: bytes) -> Reply:
    reply = await asked(chatkeep.url, request)
    assert_shape(reply)
    return reply


@pytest.mark.parametrize("id", IDS, ids=lambda id: f"{len(id)} {id[:30]}")
async def test_an_absurd_id_is_that_of_nothing(chatkeep: Chatkeep, id: str) -> None:
    for method, path in (
        ("GET", f"{PATH}/{id}"),
        ("POST", f"{PATH}/{id}"),
        ("DELETE", f"{PATH}/{id}"),
        ("GET", f"{PATH}/{id}/messages"),
        ("GET", f"/keep/v1/completions/{id}/raw/request"),
    ):
        body = b'{"metadata":{}}' if method == "POST" else b""
        head = head_of(method, path, chatkeep.key, {"content-length": str(len(body))})
        assert (await assert_answered(chatkeep, head + body)).head.status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/v1/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/chat/completions/../../../healthz",
        "//etc/passwd",
        "/v1//chat/completions",
        "/.env",
        "/v1/files/secret",
        "/" + "a/" * 20_000,
        "/%00",
        "/;/",
        "/v1/chat/completions%3Flimit=1",
    ],
    ids=lambda path: path[:40],
)
async def test_no_path_leads_out_of_the_route_table(chatkeep: Chatkeep, path: str) -> None:
    assert (await assert_answered(chatkeep, get(path, chatkeep.key))).head.status == 404


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: f"{len(query)} {query[:30]}")
async def test_an_absurd_query_is_refused_or_finds_nothing(chatkeep: Chatkeep, query: str) -> None:
    for path in (PATH, f"{PATH}/{UNKNOWN}/messages"):
        reply = await assert_answered(chatkeep, get(f"{path}?{query}", chatkeep.key))
        assert reply.head.status in (200, 400, 404)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("coding", [{}, GZIP], ids=["plain", "gzip"])
async def test_an_absurd_body_is_refused(
    chatkeep: Chatkeep, provider: Provider, name: str, coding: dict[str, str]
) -> None:
    body = gzip.compress(BODIES[name], 1) if coding else BODIES[name]
    for path in (PATH, f"{PATH}/{UNKNOWN}"):
        reply = await assert_answered(chatkeep, post(path, body, chatkeep.key, coding))
        assert 400 <= reply.head.status < 500
    assert provider.requests == []


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(bytes(64 << 20), 1),
        gzip.compress(bytes(1 << 20), 1) * 40,
        gzip.compress(gzip.compress(bytes(64 << 20), 1), 1),
        gzip.compress(b"") * 10_000,
        gzip.compress(create())[:-4],
        gzip.compress(create()) + b"more",
        b"\x1f\x8b\x08",
        create(),
    ],
    ids=["bomb", "bombs", "bomb in bomb", "members", "cut", "more", "head", "no gzip"],
)
async def test_gzip_that_is_none_or_too_much_is_refused(chatkeep: Chatkeep, body: bytes) -> None:
    reply = await assert_answered(chatkeep, post(PATH, body, chatkeep.key, GZIP))
    assert reply.head.status in (400, 413)


@pytest.mark.parametrize(
    "headers",
    [
        {"idempotency-key": "k" * 60_000},
        {"idempotency-key": "\xff\xfe"},
        {"x-chatkeep-metadata": "{" * 30_000},
        {"x-chatkeep-metadata": "\xff"},
        {"x-chatkeep-store": "true" * 1000},
        {"if-match": '"' * 60_000},
        {"if-match": ",".join(['W/"x"'] * 5000)},
        {"content-type": "\xff" * 1000},
        {"content-encoding": "gzip" * 1000},
        {"content-encoding": "gzip, gzip"},
        {"accept": "*/*;" * 10_000},
        {"cookie": "a=b;" * 10_000},
        {"expect": "200-ok"},
        {"range": "bytes=0-" + "9" * 100},
        {"x-forwarded-for": "," * 10_000},
        {"traceparent": "\x80" * 1000},
    ],
    ids=lambda headers: str(headers)[:40].encode("ascii", "replace").decode(),
)
async def test_absurd_headers_do_no_harm(chatkeep: Chatkeep, headers: dict[str, str]) -> None:
    for path, body in ((PATH, create(store=True)), (f"{PATH}/{UNKNOWN}", b'{"metadata":{}}')):
        await assert_answered(chatkeep, post(path, body, chatkeep.key, headers))


@pytest.mark.parametrize(
    "authorization", ["Bearer " + "x" * 60_000, "Bearer \xff", "\x80", "B" * 9]
)
async def test_an_absurd_key_opens_nothing(chatkeep: Chatkeep, authorization: str) -> None:
    reply = await assert_answered(chatkeep, get(PATH, None, {"authorization": authorization}))
    assert reply.head.status == 401


@pytest.mark.parametrize(
    "method", ["PUT", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "MERGE"]
)
async def test_another_method_is_told_which_there_are(chatkeep: Chatkeep, method: str) -> None:
    for path in (PATH, "/healthz", "/v1/models"):
        reply = await assert_answered(chatkeep, head_of(method, path, chatkeep.key, {}))
        assert reply.head.status == 405
        assert reply.head["allow"]


async def test_bytes_gone_wrong_get_an_answer_each(chatkeep: Chatkeep) -> None:
    """Whole requests, mutated: heads, framing and bodies alike."""
    key = chatkeep.key
    seeds = [
        post(PATH, create(store=True, metadata={"a": "b"}), key, {"idempotency-key": "k"}),
        post(PATH, gzip.compress(create()), key, GZIP),
        get(f"{PATH}?limit=5&metadata[a]=b&after={UNKNOWN}", key),
        head_of("POST", PATH, key, {"transfer-encoding": "chunked"}) + b"2\r\n{}\r\n0\r\n\r\n",
        head_of("DELETE", f"{PATH}/{UNKNOWN}", key, {}),
    ]
    source = random.Random(3)
    for sent in mutants(seeds, seed=11, rounds=400):
        async with connected(chatkeep.url) as wire:
            # Half of them in two writes.
            cut = source.randint(0, len(sent)) if source.random() < 0.5 else len(sent)
            wire.send(sent[:cut])
            wire.send(sent[cut:])
            wire.end()
            with contextlib.suppress(asyncio.IncompleteReadError):  # it had not come to its end
                assert (await wire.head()).status < 500, sent
    await assert_answered(chatkeep, get("/healthz", None))


async def test_a_client_that_leaves_amid_its_body_is_no_error_of_ours(
    chatkeep: Chatkeep, caplog: pytest.LogCaptureFixture
) -> None:
    for framing in ({"content-length": "100"}, {"transfer-encoding": "chunked"}):
        async with connected(chatkeep.url) as wire:
            wire.send(head_of("POST", PATH, chatkeep.key, framing) + b"5\r\n{")
            wire.end()
            assert await wire.closed()
    assert caplog.messages == []
