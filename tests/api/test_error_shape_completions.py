"""Every way an error can leave the server: stored completions, and bodies and headers at large."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.provider import Provider
from support.rawhttp import PATH, asked, chunked, connected, get, head_of, post
from support.refusals import UNKNOWN, Refusal, assert_refusal, brief, create, refused, wrong_type

LIMIT = 1000
TOO_LARGE = Refusal(
    "BodyTooLarge", f"The request body is larger than the {LIMIT} bytes this server accepts."
)
LARGE = create(user="x" * LIMIT)


@pytest.fixture
async def stored(chatkeep: Chatkeep) -> str:
    """The id of a stored completion."""
    reply = await asked(chatkeep.url, post(PATH, create(store=True), chatkeep.key))
    return reply.head["x-chatkeep-id"]


@pytest.fixture
async def small(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    """A server that takes bodies of at most LIMIT bytes."""
    async with chatkeep_server.chatkeep(tmp_path, provider.url, max_body_bytes=LIMIT) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "id"),
    [
        pytest.param(UNKNOWN, UNKNOWN, id="of our form"),
        pytest.param("comp-of-nobody", "comp-of-nobody", id="of no form"),
        pytest.param("x" * 2000, "x" * 2000, id="long"),
        pytest.param("%22%27%20%7B0%7D", "\"' {0}", id="quotes and braces"),
        pytest.param("%E6%9D%B1%F0%9F%9A%80", "\u6771\U0001f680", id="not ASCII"),
        pytest.param("a%00b", "a\0b", id="with NUL"),
    ],
)
@pytest.mark.parametrize(
    ("method", "ending"),
    [("GET", ""), ("POST", ""), ("DELETE", ""), ("GET", "/messages")],
    ids=["retrieve", "update", "delete", "messages"],
)
async def test_an_unknown_completion_is_named(
    chatkeep: Chatkeep, method: str, ending: str, target: str, id: str
) -> None:
    body = b'{"metadata":{}}' if method == "POST" else b""
    length = {"content-length": str(len(body))}
    request = head_of(method, f"{PATH}/{target}{ending}", chatkeep.key, length) + body
    wanted = Refusal("CompletionNotFound", f"Completion {id} not found", "completion_id")
    await refused(chatkeep.url, request, wanted)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_deleted_completion_is_unknown(
    chatkeep: Chatkeep, stored: str, method: str
) -> None:
    delete = head_of("DELETE", f"{PATH}/{stored}", chatkeep.key, {})
    assert (await asked(chatkeep.url, delete)).head.status == 200
    wanted = Refusal("CompletionNotFound", f"Completion {stored} not found", "completion_id")
    await refused(chatkeep.url, head_of(method, f"{PATH}/{stored}", chatkeep.key, {}), wanted)


async def test_an_id_with_another_tag_is_unknown(chatkeep: Chatkeep, stored: str) -> None:
    other = stored[:-1] + ("0" if stored[-1] != "0" else "1")
    wanted = Refusal("CompletionNotFound", f"Completion {other} not found", "completion_id")
    await refused(chatkeep.url, get(f"{PATH}/{other}", chatkeep.key), wanted)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            b"{}",
            Refusal("MissingParameter", "Missing required parameter: 'metadata'.", "metadata"),
        ),
        (
            b'{"metadata":{},"model":"m"}',
            Refusal("UnknownParameter", "Unknown parameter: 'model'.", "model"),
        ),
        (
            b'{"metadata":{},"metadatas":{}}',
            Refusal(
                "UnknownParameter",
                "Unknown parameter: 'metadatas'. Did you mean 'metadata'?",
                "metadatas",
            ),
        ),
        (
            rb'{"metadata":{"a":"\u0000"}}',
            Refusal(
                "InvalidCharacter",
                "Invalid 'metadata.a': a value with the character NUL cannot be stored.",
                "metadata.a",
            ),
        ),
        (
            b'{"metadata":{"a":5}}',
            Refusal(
                "InvalidType",
                "Invalid type for 'metadata.a': expected a string, but got an integer instead.",
                "metadata.a",
            ),
        ),
    ],
    ids=["nothing", "unknown", "nearly known", "NUL", "a number"],
)
async def test_an_update_takes_metadata_and_nothing_else(
    chatkeep: Chatkeep, stored: str, body: bytes, wanted: Refusal
) -> None:
    await refused(chatkeep.url, post(f"{PATH}/{stored}", body, chatkeep.key), wanted)


@pytest.mark.parametrize("if_match", ['"other"', "W/{etag}", "{bare}", "", '"a", "b"'])
async def test_an_update_of_what_was_changed_meanwhile_is_refused(
    chatkeep: Chatkeep, stored: str, if_match: str
) -> None:
    retrieved = await asked(chatkeep.url, get(f"{PATH}/{stored}", chatkeep.key))
    etag = retrieved.head["etag"]
    headers = {"if-match": if_match.format(etag=etag, bare=etag.strip('"'))}
    message = (
        "The completion's metadata is not what If-Match names: it was changed meanwhile. Retrieve"
        " it again and repeat the update with its new ETag."
    )
    request = post(f"{PATH}/{stored}", b'{"metadata":{"a":"b"}}', chatkeep.key, headers)
    await refused(chatkeep.url, request, Refusal("MetadataChanged", message))
    unchanged = await asked(chatkeep.url, get(f"{PATH}/{stored}", chatkeep.key))
    assert unchanged.body == retrieved.body


def out_of_bounds(kind: str, side: str, bound: str, got: str) -> Refusal:
    text = (
        f"Invalid 'limit': integer {side} value. Expected a value {bound}, but got {got} instead."
    )
    return Refusal(kind, text, "limit")


def below(got: str) -> Refusal:
    return out_of_bounds("IntegerBelowMin", "below minimum", ">= 0", got)


def above(got: str) -> Refusal:
    return out_of_bounds("IntegerAboveMax", "above maximum", "<= 100", got)


def twice(param: str) -> Refusal:
    text = (
        f"Duplicate parameter: '{param}'. You provided multiple values for this parameter, whereas"
        " only one is allowed. If you are trying to provide a list of values, use the array syntax"
        f" instead e.g. '{param}[]=<value>'."
    )
    return Refusal("DuplicateParameter", text, param)


ORDERS = "Invalid value: '{}'. Supported values are: 'asc' and 'desc'."
TOO_MANY = "&".join(f"metadata[k{index}]=v" for index in range(17))
OF_BOTH_LISTS = [
    ("limit=-1", below("-1")),
    ("limit=101", above("101")),
    ("limit=many", wrong_type("limit", "an integer", "a string")),
    ("limit=", wrong_type("limit", "an integer", "a string")),
    ("limit=1.5", wrong_type("limit", "an integer", "a decimal number")),
    ("limit=%C2%B2", wrong_type("limit", "an integer", "a string")),
    ("limit=1&limit=2", twice("limit")),
    ("after=a&after=b", twice("after")),
    ("order=up", Refusal("InvalidValue", ORDERS.format("up"), "order")),
    ("order=ASC", Refusal("InvalidValue", ORDERS.format("ASC"), "order")),
    ("order=asc&order=asc", twice("order")),
    (
        "lmit=5",
        Refusal("UnknownParameter", "Unknown parameter: 'lmit'. Did you mean 'limit'?", "lmit"),
    ),
    ("zzz=5", Refusal("UnknownParameter", "Unknown parameter: 'zzz'.", "zzz")),
    (
        "Limit=5",
        Refusal("UnknownParameter", "Unknown parameter: 'Limit'. Did you mean 'limit'?", "Limit"),
    ),
    (
        "after=a%00b",
        Refusal(
            "InvalidCharacter",
            "Invalid 'after': a text with the character NUL cannot be stored.",
            "after",
        ),
    ),
    (
        "&".join(["limit=1"] * 201),
        Refusal(
            "MalformedRequest", "The request could not be read: the query has too many parameters."
        ),
    ),
]


@pytest.mark.parametrize(("query", "wanted"), OF_BOTH_LISTS, ids=brief)
@pytest.mark.parametrize("messages", [False, True], ids=["completions", "messages"])
async def test_a_list_takes_what_it_knows(
    chatkeep: Chatkeep, stored: str, messages: bool, query: str, wanted: Refusal
) -> None:
    path = f"{PATH}/{stored}/messages" if messages else PATH
    await refused(chatkeep.url, get(f"{path}?{query}", chatkeep.key), wanted)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        *(
            (
                f"after={after}",
                Refusal(
                    "InvalidValue",
                    f"Invalid value: '{after}'. Expected the id of a completion.",
                    "after",
                ),
            )
            for after in ("", "nonsense", UNKNOWN[:-1], f"{UNKNOWN}-0", "chatcmpl-" + "z" * 29)
        ),
        ("metadata=5", wrong_type("metadata", "a metadata object", "a string")),
        ("metadata[a]=1&metadata%5Ba%5D=2", twice("metadata[a]")),
        (
            TOO_MANY,
            Refusal(
                "TooManyProperties",
                "Invalid 'metadata': too many properties. Expected an object with at most 16"
                " properties, but got an object with 17 properties instead.",
                "metadata",
            ),
        ),
        (
            "metadata[a]=%00",
            Refusal(
                "InvalidCharacter",
                "Invalid 'metadata.a': a value with the character NUL cannot be stored.",
                "metadata.a",
            ),
        ),
        ("created_after=soon", wrong_type("created_after", "an integer", "a string")),
        ("created_before=1.5", wrong_type("created_before", "an integer", "a decimal number")),
        ("model=a&model=a", twice("model")),
    ],
    ids=brief,
)
async def test_the_list_of_completions_is_strict(
    chatkeep: Chatkeep, query: str, wanted: Refusal
) -> None:
    await refused(chatkeep.url, get(f"{PATH}?{query}", chatkeep.key), wanted)


@pytest.mark.parametrize("after", ["{id}", "{id}-", "{id}-x", "{id}--1", "chatcmpl-other-0", ""])
async def test_messages_go_on_only_after_a_message_of_theirs(
    chatkeep: Chatkeep, stored: str, after: str
) -> None:
    given = after.format(id=stored)
    text = f"Invalid value: '{given}'. Expected the id of a message of {stored}."
    request = get(f"{PATH}/{stored}/messages?after={given}", chatkeep.key)
    await refused(chatkeep.url, request, Refusal("InvalidValue", text, "after"))


@pytest.mark.parametrize("name", ["q", "metadata[a]", "created_after"])
async def test_messages_have_no_filters(chatkeep: Chatkeep, stored: str, name: str) -> None:
    wanted = Refusal("UnknownParameter", f"Unknown parameter: '{name}'.", name)
    request = get(f"{PATH}/{stored}/messages?{name}=x", chatkeep.key)
    await refused(chatkeep.url, request, wanted)


@pytest.mark.parametrize("path", [PATH, f"{PATH}/{UNKNOWN}"], ids=["create", "update"])
async def test_a_body_declared_too_large_is_refused(small: Chatkeep, path: str) -> None:
    await refused(small.url, post(path, LARGE, small.key), TOO_LARGE)


async def test_a_body_declared_too_large_is_not_waited_for(small: Chatkeep) -> None:
    async with connected(small.url) as wire:
        wire.send(head_of("POST", PATH, small.key, {"content-length": str(10**12)}))
        assert_refusal(await wire.reply(), TOO_LARGE)


async def test_a_body_that_grows_too_large_is_not_waited_for(small: Chatkeep) -> None:
    async with connected(small.url) as wire:
        wire.send(head_of("POST", PATH, small.key, {"transfer-encoding": "chunked"}))
        wire.send(chunked(LARGE).removesuffix(b"0\r\n\r\n"))
        assert_refusal(await wire.reply(), TOO_LARGE)


@pytest.mark.parametrize("size", [LIMIT + 1, 10**7])
async def test_a_body_too_large_when_decoded_is_refused(small: Chatkeep, size: int) -> None:
    body = gzip.compress(b" " * size)
    await refused(small.url, post(PATH, body, small.key, {"content-encoding": "gzip"}), TOO_LARGE)


async def test_a_body_at_the_limit_is_taken(small: Chatkeep) -> None:
    body = create()
    body += b" " * (LIMIT - len(body))
    for headers, sent in (({}, body), ({"content-encoding": "gzip"}, gzip.compress(body))):
        reply = await asked(small.url, post(PATH, sent, small.key, headers))
        assert reply.head.status == 200, reply.body


@pytest.mark.parametrize("coding", ["br", "deflate", "zstd", "gzip, gzip", "x"])
@pytest.mark.parametrize("path", [PATH, f"{PATH}/{UNKNOWN}"], ids=["create", "update"])
async def test_other_codings_than_gzip_are_refused(
    chatkeep: Chatkeep, path: str, coding: str
) -> None:
    text = f"The content coding '{coding}' is not supported: send the body as it is, or gzip."
    request = post(path, create(), chatkeep.key, {"content-encoding": coding})
    await refused(chatkeep.url, request, Refusal("UnsupportedCoding", text))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (create(), "its body is not the gzip it says it is"),
        (zlib.compress(create()), "its body is not the gzip it says it is"),
        (gzip.compress(create())[:-5], "its gzip body is cut off"),
        (gzip.compress(create()) + b"more", "its body is not the gzip it says it is"),
        (gzip.compress(create())[:-8] + bytes(8), "its body is not the gzip it says it is"),
    ],
    ids=["plain", "zlib", "cut", "trailing bytes", "wrong check sum"],
)
async def test_a_broken_gzip_body_is_refused(chatkeep: Chatkeep, body: bytes, why: str) -> None:
    request = post(PATH, body, chatkeep.key, {"content-encoding": "gzip"})
    wanted = Refusal("MalformedRequest", f"The request could not be read: {why}.")
    await refused(chatkeep.url, request, wanted)


NOT_A_HEADER = "The header {} is not usable: {}."
STORE, METADATA = "x-chatkeep-store", "x-chatkeep-metadata"


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        (
            {STORE: "maybe"},
            Refusal(
                "InvalidHeader",
                NOT_A_HEADER.format(STORE, "it is 'maybe', not true or false"),
                STORE,
            ),
        ),
        (
            {STORE: ""},
            Refusal(
                "InvalidHeader", NOT_A_HEADER.format(STORE, "it is '', not true or false"), STORE
            ),
        ),
        *(
            (
                {METADATA: text},
                Refusal(
                    "InvalidHeader",
                    NOT_A_HEADER.format(METADATA, "it is not JSON in UTF-8"),
                    METADATA,
                ),
            )
            for text in ("", "a=b", '{"a":"\xff"}', "[" * 9000)
        ),
        ({METADATA: "[]"}, wrong_type(METADATA, "a metadata object", "an array")),
        ({METADATA: '{"k":5}'}, wrong_type(f"{METADATA}.k", "a string", "an integer")),
        (
            {METADATA: json.dumps({f"more{index}": "" for index in range(9)})},
            Refusal(
                "TooManyProperties",
                "Invalid 'metadata': too many properties. Expected an object with at most 16"
                " properties, but got an object with 17 properties instead.",
                "metadata",
            ),
        ),
    ],
    ids=brief,
)
async def test_headers_of_ours_are_checked(
    chatkeep: Chatkeep, headers: Mapping[str, str], wanted: Refusal
) -> None:
    body = create(metadata={f"k{index}": "" for index in range(8)})
    await refused(chatkeep.url, post(PATH, body, chatkeep.key, headers), wanted)
