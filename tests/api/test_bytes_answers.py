"""What comes down of plain answers, byte for byte; what goes up is in test_bytes.py."""

import gzip
import json
from typing import Any

import pytest
from support.chatkeep_server import Chatkeep
from support.kept import kept_of
from support.provider import JSON, Headers, Plain, Provider, Stream
from support.rawhttp import PATH, Head, Reply, asked, get, post

PLAIN = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
STORED = PLAIN[:-1] + b',"store":true}'
ANSWER = (
    b'{ "id" : "theirs",\n "choices" : [ {"index":0,"message":{"role":"assistant","content":'
    rb'"\ud83d \u00e9 \/ ' + "\u00e9".encode() + b'","id":"inner","refusal":null},'
    b'"finish_reason":"stop","x":1e3} ],\r\n "created": 1e9,"model":"m-1",'
    b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"cost":0.10},'
    b'"x_big":123456789012345678901234567890,"x_zero":-0.0,"x_twice":1,"x_twice":2 }\n'
)


async def create(chatkeep: Chatkeep, body: bytes, headers: dict[str, str] | None = None) -> Reply:
    return await asked(chatkeep.url, post(PATH, body, chatkeep.key, headers))


BODIES = [
    pytest.param(200, ANSWER, id="odd JSON"),
    pytest.param(200, b"", id="nothing"),
    pytest.param(200, b"<html>\xff\0</html>", id="HTML"),
    pytest.param(200, b'{"id":"theirs","choices":[', id="cut JSON"),
    pytest.param(200, b'{"id":"theirs","choices":"\xff"}', id="no UTF-8"),
    pytest.param(200, b'{"error":{"message":"no"}}', id="an error"),
    pytest.param(200, b"[" * 5000 + b"]" * 5000, id="deep JSON"),
    pytest.param(201, b"null", id="null"),
    pytest.param(302, b"elsewhere", id="redirect"),
    pytest.param(400, b'{"error":{"message":"\\ud83d","id":"theirs"}}', id="bad request"),
    pytest.param(401, b"", id="upstream key refused"),
    pytest.param(429, b"slow down", id="rate limit"),
    pytest.param(500, ANSWER, id="server error"),
    pytest.param(529, b"overloaded", id="unknown status"),
]


@pytest.mark.parametrize(("status", "body"), BODIES)
async def test_an_answer_that_is_not_stored_comes_down_as_it_is(
    chatkeep: Chatkeep, provider: Provider, status: int, body: bytes
) -> None:
    provider.answer(Plain(body, status, headers=(("content-type", "x/y"), ("retry-after", "7"))))
    reply = await create(chatkeep, PLAIN)
    assert (reply.head.status, reply.body, reply.complete) == (status, body, True)
    assert (reply.head["content-type"], reply.head["retry-after"]) == ("x/y", "7")
    assert reply.head["content-length"] == str(len(body))
    assert reply.head["x-chatkeep-stored"].startswith("no; ")
    assert reply.head.all("x-chatkeep-id") == []


@pytest.mark.parametrize("kind", ["x/y", "application/json"])
@pytest.mark.parametrize(("status", "body"), BODIES[1:])
async def test_an_answer_that_is_no_completion_comes_down_as_it_is(
    chatkeep: Chatkeep, provider: Provider, status: int, body: bytes, kind: str
) -> None:
    provider.answer(Plain(body, status, headers=(("content-type", kind), ("retry-after", "7"))))
    reply = await create(chatkeep, STORED)
    assert (reply.head.status, reply.body, reply.complete) == (status, body, True)
    assert reply.head["content-type"] == kind
    assert reply.head["content-length"] == str(len(body))
    if reply.head["x-chatkeep-stored"] == "yes":  # JSON that does not parse is kept unread
        record = await kept_of(chatkeep, reply.head["x-chatkeep-id"])
        assert record.answer == body
    listed = json.loads((await asked(chatkeep.url, get(PATH, chatkeep.key))).body)["data"]
    assert [row["id"] for row in listed] == reply.head.all("x-chatkeep-id")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (ANSWER, ANSWER.replace(b'"theirs"', b'"@"')),
        (b'{"choices":[]}', b'{"id":"@","choices":[]}'),
        (b'{ "choices":[] }', b'{ "id":"@","choices":[] }'),
        (b'{"id":null,"choices":[]}', b'{"id":"@","choices":[]}'),
        (b'{"id":17,"choices":[]}', b'{"id":"@","choices":[]}'),
        (b'{"id":"","choices":[]}', b'{"id":"@","choices":[]}'),
        (rb'{"choices":[],"\u0069d":"theirs"}', rb'{"choices":[],"\u0069d":"@"}'),
        (rb'{"id":"a\"b\u0000","choices":[]}', b'{"id":"@","choices":[]}'),
    ],
    ids=["odd", "none", "none, loose", "null", "a number", "empty", "escaped key", "escapes"],
)
async def test_of_a_stored_answer_only_the_id_changes(
    chatkeep: Chatkeep, provider: Provider, theirs: bytes, ours: bytes
) -> None:
    provider.answer(Plain(theirs))
    reply = await create(chatkeep, STORED)
    id = reply.head["x-chatkeep-id"]
    assert reply.body == ours.replace(b"@", id.encode())
    assert reply.head["content-length"] == str(len(reply.body))
    record = await kept_of(chatkeep, id)
    assert record.answer == reply.body
    assert record.request == STORED


async def test_the_stored_object_writes_every_value_as_the_upstream_did(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(Plain(ANSWER))
    reply = await create(chatkeep, b'{"seed":12345678901234567890,"top_p":5e-1,' + STORED[1:])
    retrieved = await asked(
        chatkeep.url, get(f"{PATH}/{reply.head['x-chatkeep-id']}", chatkeep.key)
    )
    for fragment in (
        b'"created":1e9',
        b'"seed":12345678901234567890',
        b'"top_p":5e-1',
        b'"cost":0.10',
        b'"x":1e3',
        b'"x_big":123456789012345678901234567890',
        b'"x_zero":-0.0',
        rb'"content":"\ud83d \u00e9 \/ ' + "\u00e9".encode() + b'"',
        b'"id":"inner"',
    ):
        assert fragment in retrieved.body


SENT_DOWN: Headers = (
    *JSON,
    ("x-ratelimit-limit-requests", "5"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("Openai-Organization", "org"),
    ("link", "<a>"),
    ("link", "<b>"),
    ("x-odd", "caf\xe9"),
    ("x-request-id", "req_theirs"),
    ("openai-processing-ms", "123456"),
    ("openai-version", "1999-01-01"),
    ("set-cookie", "session=upstream"),
    ("server", "cloudflare"),
    ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("keep-alive", "timeout=5"),
    ("proxy-authenticate", "Basic"),
    ("connection", "keep-alive, X-Hop"),
    ("x-hop", "by hop"),
    ("trailer", "x-t"),
)
DROPPED = {"set-cookie", "server", "keep-alive", "proxy-authenticate", "connection", "x-hop"}


def assert_headers_down(head: Head) -> None:
    assert head["x-ratelimit-limit-requests"] == "5"
    assert head["openai-organization"] == "org"
    assert head.all("link") == ["<a>", "<b>"]
    assert head["x-odd"] == "caf\xe9"
    assert head["x-upstream-request-id"] == "req_theirs"
    assert head["x-request-id"].startswith("req_")
    assert head["x-request-id"] != "req_theirs"
    assert int(head["openai-processing-ms"]) < 123456
    assert head["openai-version"] == "2020-10-01"
    assert head["x-chatkeep-upstream"] == "provider"
    assert not head["date"].endswith("1970 00:00:00 GMT")
    assert not DROPPED & {name for name, _ in head.headers}


@pytest.mark.parametrize("body", [PLAIN, STORED], ids=["not stored", "stored"])
@pytest.mark.parametrize("status", [200, 404])
async def test_an_answers_headers_come_down_but_for_the_upstreams_own(
    chatkeep: Chatkeep, provider: Provider, body: bytes, status: int
) -> None:
    provider.answer(Plain(ANSWER, status, headers=SENT_DOWN))
    reply = await create(chatkeep, body)
    assert_headers_down(reply.head)
    assert reply.head["content-type"] == "application/json"


@pytest.mark.parametrize("body", [PLAIN, STORED], ids=["not stored", "stored"])
async def test_a_streams_headers_come_down_and_are_not_to_be_buffered(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    events = ("content-type", "text/event-stream; charset=utf-8")
    headers = [events, ("cache-control", "max-age=9"), ("x-accel-buffering", "yes"), *SENT_DOWN[1:]]
    provider.answer(Stream([b"data: [DONE]\n\n"], headers=headers))
    reply = await create(chatkeep, body)
    assert_headers_down(reply.head)
    assert reply.head["content-type"] == events[1]
    assert reply.head["cache-control"] == "no-cache"
    assert reply.head["x-accel-buffering"] == "no"


@pytest.mark.parametrize("body", [PLAIN, STORED], ids=["not stored", "stored"])
async def test_what_another_chatkeep_says_of_itself_is_not_said_again(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    """Its own headers, when the upstream is a chatkeep too."""
    theirs = (("x-chatkeep-id", "theirs"), ("x-chatkeep-stored", "?"), ("x-chatkeep-upstream", "?"))
    provider.answer(Plain(ANSWER, headers=(*JSON, *theirs)))
    head = (await create(chatkeep, body)).head
    assert "?" not in head["x-chatkeep-stored"] + head["x-chatkeep-upstream"]
    assert "theirs" not in head.all("x-chatkeep-id")


@pytest.mark.parametrize("etag", [("etag", '"theirs"'), ("content-md5", "x"), ("digest", "x")])
async def test_a_check_sum_comes_down_only_with_the_bytes_it_is_of(
    chatkeep: Chatkeep, provider: Provider, etag: tuple[str, str]
) -> None:
    for body, seen in ((PLAIN, [etag[1]]), (STORED, [])):
        provider.answer(Plain(ANSWER, headers=(*JSON, etag)))
        assert (await create(chatkeep, body)).head.all(etag[0]) == seen


@pytest.mark.parametrize("body", [PLAIN, STORED], ids=["not stored", "stored"])
async def test_a_compressed_answer_comes_down_decoded(
    chatkeep: Chatkeep, provider: Provider, body: bytes
) -> None:
    headers = (*JSON, ("content-encoding", "gzip"))
    provider.answer(Plain(gzip.compress(ANSWER), headers=headers))
    reply = await create(chatkeep, body)
    id: Any = reply.head.all("x-chatkeep-id") or ["theirs"]
    assert reply.body == ANSWER.replace(b'"theirs"', b'"%b"' % id[0].encode())
    assert reply.head.all("content-encoding") == []
