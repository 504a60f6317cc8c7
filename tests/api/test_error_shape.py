"""Every way an error can leave the server: keys, URLs, and what creates a completion.

Those of stored completions are in test_error_shape_completions.py, those of what stands behind the
server in test_error_shape_behind.py.
"""

import json
from typing import Any

import pytest
from support.chatkeep_server import Chatkeep
from support.provider import Provider
from support.rawhttp import PATH, asked, get, head_of, post
from support.refusals import KINDS, NOT_JSON, UNKNOWN, Refusal, brief, create, refused, wrong_type

from chatkeep import errors

ROCKET = "\U0001f680"  # one character, two UTF-16 units, four bytes
BEARERLESS = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header"
    " using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). Create one with: chatkeep keys add"
)


@pytest.fixture
async def stored(chatkeep: Chatkeep) -> str:
    """The id of a stored completion."""
    reply = await asked(chatkeep.url, post(PATH, create(store=True), chatkeep.key))
    return reply.head["x-chatkeep-id"]


def test_every_refusal_is_written_down() -> None:
    known = errors.Refusal.__subclasses__()
    assert {kind.__name__: (kind.status, kind.type, kind.code) for kind in known} == KINDS


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer  ", "Basic dTpw", "sk-ck-x"])
@pytest.mark.parametrize("path", [PATH, f"{PATH}/x", f"{PATH}/x/messages", "/v1/models"])
async def test_without_a_key_nothing_is_shown(
    chatkeep: Chatkeep, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    await refused(chatkeep.url, get(path, None, headers), Refusal("MissingKey", BEARERLESS))


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        pytest.param(f"mistaken{'x' * 26}over", f"mistaken{'*' * 26}over", id="long"),
        pytest.param(f"sk-ck-00{'x' * 900}last", f"sk-ck-00{'*' * 64}last", id="very long"),
        pytest.param("fake_key", "fa******", id="short"),
        pytest.param("x", "*", id="one character"),
        pytest.param("\xe9\xe9\xe9", "\xe9**", id="not ASCII"),
    ],
)
async def test_a_wrong_key_is_shown_masked(chatkeep: Chatkeep, key: str, shown: str) -> None:
    message = f"Incorrect API key provided: {shown}. Create one with: chatkeep keys add"
    await refused(chatkeep.url, post(PATH, create(), key), Refusal("WrongKey", message))


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("create", "POST", PATH),
        ("create", "GET", "/v1/models"),
        ("create", "GET", "/v1/models/m"),
        ("read", "GET", PATH),
        ("read", "GET", f"{PATH}/{UNKNOWN}"),
        ("read", "GET", f"{PATH}/{UNKNOWN}/messages"),
        ("write", "POST", f"{PATH}/{UNKNOWN}"),
        ("write", "DELETE", f"{PATH}/{UNKNOWN}"),
    ],
)
async def test_a_key_needs_the_scope(
    chatkeep: Chatkeep, scope: str, method: str, path: str
) -> None:
    others = [other for other in ("create", "read", "write") if other != scope]
    key = await chatkeep.add_key("sk-ck-limited", "default", *others)  # type: ignore[arg-type]  # the words of Scope
    message = f"This key may not do that: it needs the scope '{scope}'."
    await refused(
        chatkeep.url,
        head_of(method, path, key, {"content-length": "0"}),
        Refusal("ScopeMissing", message),
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/foo"),
        ("POST", "/v1/chat"),
        ("GET", f"{PATH}/"),
        ("GET", f"{PATH}/{UNKNOWN}/messages/1"),
        ("GET", "//v1/models"),
    ],
)
async def test_an_unknown_url_is_named(chatkeep: Chatkeep, method: str, path: str) -> None:
    request = head_of(method, path, chatkeep.key, {"content-length": "0"})
    await refused(chatkeep.url, request, Refusal("UnknownUrl", f"Invalid URL ({method} {path})"))


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("PUT", PATH, ["GET", "POST"]),
        ("DELETE", PATH, ["GET", "POST"]),
        ("PATCH", f"{PATH}/x", ["DELETE", "GET", "POST"]),
        ("POST", f"{PATH}/x/messages", ["GET"]),
        ("POST", "/v1/models", ["GET"]),
        ("POST", "/healthz", ["GET"]),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    chatkeep: Chatkeep, method: str, path: str, known: list[str]
) -> None:
    message = f"Only {' and '.join(known)} requests are accepted."
    request = head_of(method, path, chatkeep.key, {"content-length": "0"})
    reply = await refused(chatkeep.url, request, Refusal("MethodNotSupported", message))
    assert reply.head["allow"] == ", ".join(known)


@pytest.mark.parametrize("path", [PATH, f"{PATH}/{UNKNOWN}"], ids=["create", "update"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"model":"m",}',
        b'{"model":NaN}',
        b"{}{}",
        b'{"model":"\n"}',
        b"{'model':'m'}",
        b'\xef\xbb\xbf{"model":"m"}',
        b'{"model":"\xff"}',
        b'{"model":"m","x":"\xed\xa0\x80"}',
    ],
)
async def test_what_is_no_json_object_is_refused(
    chatkeep: Chatkeep, path: str, body: bytes
) -> None:
    await refused(chatkeep.url, post(path, body, chatkeep.key), Refusal("NotJson", NOT_JSON))


@pytest.mark.parametrize("path", [PATH, f"{PATH}/{UNKNOWN}"], ids=["create", "update"])
@pytest.mark.parametrize("key", ["messages", "metadata", "x"])
async def test_json_without_a_bottom_is_refused(chatkeep: Chatkeep, path: str, key: str) -> None:
    body = b'{"model":"m","%s":%s}' % (key.encode(), b"[" * 200_000 + b"]" * 200_000)
    message = "The JSON body is nested too deeply to be read."
    await refused(chatkeep.url, post(path, body, chatkeep.key), Refusal("NestedTooDeep", message))


NO_MODEL = Refusal("MissingModel", "you must provide a model parameter")
NO_MESSAGES = Refusal("MissingParameter", "Missing required parameter: 'messages'.", "messages")
EMPTY = (
    "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty"
    " array instead."
)
TOO_FEW = "Invalid 'n': integer below minimum value. Expected a value >= 1, but got {} instead."


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"model": None}, NO_MODEL),
        ({"model": ""}, NO_MODEL),
        ({"model": None, "messages": None, "store": 5}, NO_MODEL),
        ({"model": 5}, wrong_type("model", "a string", "an integer")),
        ({"messages": None, "store": 5}, NO_MESSAGES),
        ({"messages": "hi"}, wrong_type("messages", "an array of objects", "a string")),
        ({"messages": {}}, wrong_type("messages", "an array of objects", "an object")),
        ({"messages": []}, Refusal("EmptyArray", EMPTY, "messages")),
        ({"messages": ["hi"]}, wrong_type("messages[0]", "an object", "a string")),
        ({"messages": [{}, None]}, wrong_type("messages[1]", "an object", "null")),
        ({"n": "2"}, wrong_type("n", "an integer", "a string")),
        ({"n": 1.5}, wrong_type("n", "an integer", "a decimal number")),
        ({"n": True}, wrong_type("n", "an integer", "a boolean")),
        ({"n": 0}, Refusal("IntegerBelowMin", TOO_FEW.format(0), "n")),
        ({"n": -3}, Refusal("IntegerBelowMin", TOO_FEW.format(-3), "n")),
        ({"store": "true"}, wrong_type("store", "a boolean", "a string")),
        ({"store": 1}, wrong_type("store", "a boolean", "an integer")),
        ({"stream": "yes"}, wrong_type("stream", "a boolean", "a string")),
        ({"stream": "yes", "store": "yes"}, wrong_type("stream", "a boolean", "a string")),
        ({"stream_options": 5}, wrong_type("stream_options", "an object", "an integer")),
        ({"stream_options": []}, wrong_type("stream_options", "an object", "an array")),
        (
            {"stream_options": {"include_usage": "yes"}},
            wrong_type("stream_options.include_usage", "a boolean", "a string"),
        ),
    ],
    ids=brief,
)
async def test_a_create_request_is_checked_in_openais_order(
    chatkeep: Chatkeep, provider: Provider, fields: dict[str, Any], wanted: Refusal
) -> None:
    await refused(chatkeep.url, post(PATH, create(**fields), chatkeep.key), wanted)
    assert provider.requests == []


async def test_the_parts_of_a_request_are_limited_in_number(chatkeep: Chatkeep) -> None:
    messages = b'{"model":"m","messages":[%b{}]}' % (b"{}," * 100_000)
    text = (
        "Invalid 'messages': array too long. Expected an array with maximum length 100000, but got"
        " an array with length 100001 instead."
    )
    wanted = Refusal("ArrayTooLong", text, "messages")
    await refused(chatkeep.url, post(PATH, messages, chatkeep.key), wanted)
    different = json.dumps({f"x{number}": 1 for number in range(10_001)}).encode()
    repeated = b'{"metadata":{}' + b',"x":1' * 10_000 + b"}"
    odd = repeated.replace(b"{}", b'{"x":"\\ud800"}')
    text = (
        "Invalid 'body': too many properties. Expected an object with at most 10000"
        " properties, but got an object with 10001 properties instead."
    )
    wanted = Refusal("TooManyProperties", text, "body")
    for body in (different, odd):
        await refused(chatkeep.url, post(f"{PATH}/{UNKNOWN}", body, chatkeep.key), wanted)
    odd_create = b'{"model":"m","messages":[{"content":"\\ud800"}]' + b',"x":1' * 10_000 + b"}"
    await refused(chatkeep.url, post(PATH, odd_create, chatkeep.key), wanted)
    # Where they are not walked through one by one, the same many times is one.
    wanted = Refusal("UnknownParameter", "Unknown parameter: 'x'.", "x")
    await refused(chatkeep.url, post(f"{PATH}/{UNKNOWN}", repeated, chatkeep.key), wanted)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [(b"{}", NO_MODEL), (b'{"model":"m"}', NO_MESSAGES)],
    ids=["no model", "no messages"],
)
async def test_a_create_request_lacks_something(
    chatkeep: Chatkeep, body: bytes, wanted: Refusal
) -> None:
    await refused(chatkeep.url, post(PATH, body, chatkeep.key), wanted)


LONG_KEY = "k" * 65
BAD_METADATA = [
    ('"x"', wrong_type("metadata", "a metadata object", "a string")),
    ("[]", wrong_type("metadata", "a metadata object", "an array")),
    ("5", wrong_type("metadata", "a metadata object", "an integer")),
    ("true", wrong_type("metadata", "a metadata object", "a boolean")),
    ('{"k":5}', wrong_type("metadata.k", "a string", "an integer")),
    ('{"k":null}', wrong_type("metadata.k", "a string", "null")),
    ('{"k":false}', wrong_type("metadata.k", "a string", "a boolean")),
    ('{"k":{}}', wrong_type("metadata.k", "a string", "an object")),
    ('{"k":[]}', wrong_type("metadata.k", "a string", "an array")),
    (
        json.dumps({f"k{index}": "v" for index in range(17)}),
        Refusal(
            "TooManyProperties",
            "Invalid 'metadata': too many properties. Expected an object with at most 16"
            " properties, but got an object with 17 properties instead.",
            "metadata",
        ),
    ),
    (
        json.dumps({LONG_KEY: "v"}),
        Refusal(
            "PropertyNameTooLong",
            "Invalid property name in 'metadata': 'kkk...kkk' is too long. Expected a string with"
            " maximum length 64, but got a string with length 65 instead.",
            f"metadata.{LONG_KEY}",
        ),
    ),
    *(
        (
            value,
            Refusal(
                "StringTooLong",
                "Invalid 'metadata.k': string too long. Expected a string with maximum length 512,"
                " but got a string with length 513 instead.",
                "metadata.k",
            ),
        )
        for value in (
            json.dumps({"k": "v" * 513}),
            json.dumps({"k": ROCKET * 513}),
            json.dumps({"k": ROCKET * 513}, ensure_ascii=False),
        )
    ),
    (
        r'{"k":"a\u0000b"}',
        Refusal(
            "InvalidCharacter",
            "Invalid 'metadata.k': a value with the character NUL cannot be stored.",
            "metadata.k",
        ),
    ),
    (
        r'{"a\u0000b":"v"}',
        Refusal(
            "InvalidCharacter",
            "Invalid 'metadata': a key with the character NUL cannot be stored.",
            "metadata",
        ),
    ),
    (
        r'{"k":"\ud83d"}',
        Refusal(
            "InvalidCharacter",
            "Invalid 'metadata.k': a value with a lone surrogate cannot be stored.",
            "metadata.k",
        ),
    ),
]


@pytest.mark.parametrize("action", ["create", "update"])
@pytest.mark.parametrize(("metadata", "wanted"), BAD_METADATA, ids=brief)
async def test_metadata_has_limits(
    chatkeep: Chatkeep, stored: str, action: str, metadata: str, wanted: Refusal
) -> None:
    fields = f'"metadata":{metadata}'.encode()
    if action == "create":
        request = post(PATH, create()[:-1] + b"," + fields + b"}", chatkeep.key)
    else:
        request = post(f"{PATH}/{stored}", b"{" + fields + b"}", chatkeep.key)
    await refused(chatkeep.url, request, wanted)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"": ""},
        {f"{index:02}" + "\u6771" * 62: "v" for index in range(16)},
        {f"k{index}": ROCKET * 512 for index in range(16)},
    ],
    ids=["null", "empty", "empty strings", "longest keys", "longest values"],
)
async def test_metadata_at_its_limits_is_taken(
    chatkeep: Chatkeep, stored: str, metadata: dict[str, str] | None
) -> None:
    body = create(store=True, metadata=metadata)
    created = await asked(chatkeep.url, post(PATH, body, chatkeep.key))
    update = json.dumps({"metadata": metadata}, ensure_ascii=False).encode()
    updated = await asked(chatkeep.url, post(f"{PATH}/{stored}", update, chatkeep.key))
    path = f"{PATH}/{created.head['x-chatkeep-id']}"
    retrieved = await asked(chatkeep.url, get(path, chatkeep.key))
    assert [json.loads(reply.body)["metadata"] for reply in (updated, retrieved)] == [
        metadata or {}
    ] * 2


async def test_an_idempotency_key_is_for_one_request(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    headers = {"idempotency-key": "once"}
    first = post(PATH, create(store=True), chatkeep.key, headers)
    assert (await asked(chatkeep.url, first)).head.status == 200
    message = (
        "The Idempotency-Key was used for another request within the last 24 hours. Give a new"
        " request a new key."
    )
    other = post(PATH, create(store=True, user="other"), chatkeep.key, headers)
    await refused(chatkeep.url, other, Refusal("IdempotencyKeyReused", message))
    assert len(provider.requests) == 1
