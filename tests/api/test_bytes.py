"""What goes up, byte for byte; what comes down is in test_bytes_answers.py and _streamed.py."""

import gzip
import itertools
from pathlib import Path

import pytest
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.kept import kept_of
from support.provider import Provider
from support.rawhttp import PATH, Reply, asked, post

# Members of a request that nobody may touch: what it means and how it is written.
ODD = [
    b'"model":"m"',
    rb'"messages" : [ {"role":"user","content":"\ud83d \u00e9 \/ \u0000 '
    + "\u00e9 \U0001f680".encode()
    + b'"},\t{"content":null,"role":"assistant"} ]',
    b'"n":1',
    b'"seed":123456789012345678901234567890',
    b'"temperature":1e3',
    b'"top_p":-0.0',
    b'"x_huge":1E400',
    b'"x_order":{"b":1,"a":2,"b":3}',
    b'"user":"first","user":"second"',
    b'"x_deep":' + b"[" * 200 + b"]" * 200,
    b'"x\\u0079":[ ]',
]
STORE = [b'"store":true', b'"metadata":{"a":"b"}']
PLAIN = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
STORED = PLAIN[:-1] + b',"store":true}'
STREAMED = PLAIN[:-1] + b',"store":true,"stream":true}'


async def create(chatkeep: Chatkeep, body: bytes, headers: dict[str, str] | None = None) -> Reply:
    return await asked(chatkeep.url, post(PATH, body, chatkeep.key, headers))


@pytest.mark.parametrize("separator", [b",", b" ,\r\n\t"], ids=["dense", "loose"])
async def test_a_request_goes_up_as_it_came(
    chatkeep: Chatkeep, provider: Provider, separator: bytes
) -> None:
    body = b" {" + separator.join(ODD) + b"}\n"
    assert (await create(chatkeep, body)).head.status == 200
    assert provider.requests[0].body == body


@pytest.mark.parametrize("separator", [b",", b" ,\r\n\t"], ids=["dense", "loose"])
@pytest.mark.parametrize("closing", [b"}", b"\n }\n"], ids=["dense", "loose"])
async def test_only_store_and_metadata_are_taken_out(
    chatkeep: Chatkeep, provider: Provider, separator: bytes, closing: bytes
) -> None:
    places = itertools.combinations_with_replacement(range(0, len(ODD) + 1, 3), 2)
    for first, second in places:
        members = [*ODD[:first], STORE[0], *ODD[first:second], STORE[1], *ODD[second:]]
        body = b"{" + separator.join(members) + closing
        reply = await create(chatkeep, body)
        assert reply.head["x-chatkeep-stored"] == "yes"
        assert provider.requests[-1].body == b"{" + separator.join(ODD) + closing
        record = await kept_of(chatkeep, reply.head["x-chatkeep-id"])
        assert record.request == body


@pytest.mark.parametrize(
    "members",
    [
        [b'"store":false', *ODD, b'"store":true'],
        [*ODD, *STORE, b'"metadata":{}', b'"store":true'],
        [*ODD[:2], rb'"st\u006fre":true', *ODD[2:]],
        [*STORE, *ODD, *STORE],
    ],
    ids=["false and true", "twice", "escaped", "around"],
)
async def test_a_repeated_store_is_taken_out_wherever_it_stands(
    chatkeep: Chatkeep, provider: Provider, members: list[bytes]
) -> None:
    """The last one counts, as for every JSON reader."""
    reply = await create(chatkeep, b"{" + b",".join(members) + b"}")
    assert reply.head["x-chatkeep-stored"] == "yes"
    assert provider.requests[0].body == b"{" + b",".join(ODD) + b"}"


async def test_an_upstream_that_keeps_too_gets_store_and_metadata(
    provider: Provider, tmp_path: Path
) -> None:
    body = b"{" + b",".join([*ODD, *STORE]) + b"}"
    keeping = {"keep_store": True}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=keeping) as chatkeep:
        await create(chatkeep, body)
    assert provider.requests[0].body == body


USAGE = b'{"include_usage":true}'


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b"null", USAGE),
        (b"{}", USAGE),
        (b"{ }", b'{"include_usage":true }'),
        (b'{"include_usage":true}', USAGE),
        (b'{"include_usage":false}', USAGE),
        (b'{"include_usage" : null}', b'{"include_usage" : true}'),
        (
            b'{"include_obfuscation":false}',
            b'{"include_usage":true,"include_obfuscation":false}',
        ),
        (b'{"x":1e3,"include_usage":false}', b'{"x":1e3,"include_usage":true}'),
    ],
)
async def test_a_stored_stream_asks_for_its_usage(
    chatkeep: Chatkeep, provider: Provider, given: bytes, sent: bytes
) -> None:
    ends = STREAMED[:-1] + b',"stream_options":', b"}"
    await create(chatkeep, given.join(ends))
    assert provider.requests[0].body == sent.join(ends).replace(b',"store":true', b"")


async def test_a_stored_stream_without_options_gets_some(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    await create(chatkeep, STREAMED)
    body = provider.requests[0].body
    assert body.count(b'"stream_options":' + USAGE + b",") == 1
    without = body.replace(b'"stream_options":' + USAGE + b",", b"")
    assert without == STREAMED.replace(b',"store":true', b"")


@pytest.mark.parametrize("options", [b"", b',"stream_options":null', b',"stream_options":{}'])
async def test_only_a_stored_stream_asks_for_its_usage(
    chatkeep: Chatkeep, provider: Provider, options: bytes
) -> None:
    body = PLAIN[:-1] + b',"stream":true' + options + b"}"
    await create(chatkeep, body)
    plain = PLAIN[:-1] + options + b',"store":true}'
    await create(chatkeep, plain)
    sent = [request.body for request in provider.requests]
    assert sent == [body, plain.replace(b',"store":true', b"")]


async def test_an_upstream_may_be_left_without_being_asked_for_usage(
    provider: Provider, tmp_path: Path
) -> None:
    leave = {"stream_usage": "leave"}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=leave) as chatkeep:
        await create(chatkeep, STREAMED)
    assert provider.requests[0].body == STREAMED.replace(b',"store":true', b"")


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", " GZIP ", "identity", ""])
@pytest.mark.parametrize("body", [PLAIN, STORED], ids=["not stored", "stored"])
async def test_a_compressed_request_goes_up_decoded(
    chatkeep: Chatkeep, provider: Provider, coding: str, body: bytes
) -> None:
    sent = gzip.compress(body[:9]) + gzip.compress(body[9:]) if "zip" in coding.lower() else body
    await create(chatkeep, sent, {"content-encoding": coding})
    (request,) = provider.requests
    assert request.body == PLAIN
    assert (request.header("content-encoding"), request.header("content-length")) == (
        None,
        str(len(PLAIN)),
    )


async def test_a_chunked_request_goes_up_whole(chatkeep: Chatkeep, provider: Provider) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {chatkeep.key}\r\n"
    pieces = (
        b"%x\r\n%b\r\n" * len(PLAIN) % tuple(part for byte in PLAIN for part in (1, bytes([byte])))
    )
    framed = head.encode() + b"transfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    assert (await asked(chatkeep.url, framed)).head.status == 200
    assert provider.requests[0].body == PLAIN


PASSED_UP = {
    "content-type": "application/json; charset=utf-8",
    "accept": "text/event-stream, */*;q=0.1",
    "openai-beta": "assistants=v2",
    "idempotency-key": "once",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
KEPT_DOWN = {
    "cookie": "session=secret",
    "x-forwarded-for": "10.0.0.1",
    "x-forwarded-proto": "https",
    "forwarded": "for=10.0.0.1",
    "api-key": "other",
    "openai-organization": "org-of-the-caller",
    "x-stainless-lang": "python",
    "user-agent": "OpenAI/Python 3.54.0",
    "accept-encoding": "gzip, br",
    "referer": "https://inside.example",
    "x-chatkeep-store": "false",
    "x-chatkeep-metadata": "{}",
    "x-chatkeep-hop": "another",
    "x-chatkeep-upstream-key": "sk-of-the-caller",
    "if-match": "*",
    "x-unknown": "1",
}


async def test_only_listed_headers_go_up(provider: Provider, tmp_path: Path) -> None:
    upstream = {"key": "sk-upstream", "headers": {"x-team": "us"}}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=upstream) as chatkeep:
        assert (await create(chatkeep, PLAIN, PASSED_UP | KEPT_DOWN)).head.status == 200
        own_key = chatkeep.key
    (request,) = provider.requests
    got = {name.lower(): value for name, value in request.headers}
    assert len(got) == len(request.headers)
    assert got.pop("host") in provider.url
    assert got == PASSED_UP | {
        "authorization": "Bearer sk-upstream",
        "x-team": "us",
        "x-chatkeep-hop": "another, test-instance",
        "accept-encoding": "identity",
        "user-agent": "chatkeep",
        "content-length": str(len(PLAIN)),
    }
    assert own_key.encode() not in request.head


async def test_configured_headers_and_the_callers_own_upstream_key_go_up(
    provider: Provider, tmp_path: Path
) -> None:
    upstream = {"key": "sk-upstream", "pass_key": True, "forward_headers": ("x-unknown",)}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=upstream) as chatkeep:
        await create(chatkeep, PLAIN, PASSED_UP | KEPT_DOWN)
    (request,) = provider.requests
    assert request.header("x-unknown") == "1"
    assert request.header("authorization") == "Bearer sk-of-the-caller"
    assert request.header("x-chatkeep-upstream-key") is None


@pytest.mark.parametrize("store", [b"", b',"store":true'], ids=["not stored", "stored"])
async def test_five_megabytes_go_up_as_they_came(
    chatkeep: Chatkeep, provider: Provider, store: bytes
) -> None:
    text = "\u00e9\\u00e9 \U0001f680 <script> " * (5 * 2**20 // 24)
    body = PLAIN.replace(b"hi", text.encode())[:-1] + store + b"}"
    reply = await create(chatkeep, body)
    assert provider.requests[0].body == (body.replace(store, b"") if store else body)
    assert reply.complete
    for id in reply.head.all("x-chatkeep-id"):
        assert (await kept_of(chatkeep, id)).request == body
