"""Limits of model calls as clients meet them: 429s, headers, and places that come free again."""

from typing import Any

import openai
import pytest
from support.chatkeep_server import Chatkeep
from support.provider import JSON, Hang, Plain, Provider, Stream
from support.rawhttp import PATH, Head, asked, connected, head_of, post
from support.refusals import Refusal, assert_refusal, create

from chatkeep.core.accounts.keys import digest
from chatkeep.web.routes import OPERATIONS
from chatkeep.web.wire import EXPOSED_HEADERS

MODEL_CALLS = [operation for operation in OPERATIONS if operation.forwards]
OTHERS = [operation for operation in OPERATIONS if not operation.forwards]
ROOT = "sk-ck-root"
RATE = "x-ratelimit-{}-requests"
AT_A_TIME = (
    "Rate limit reached for project default on requests at a time: Limit 1, Used 1, Requested 1."
    " Please try again in 1s."
)


async def set_limits(chatkeep: Chatkeep, **limits: Any) -> None:
    """As root does it over the API."""
    if await chatkeep.store.key(digest(ROOT)) is None:
        await chatkeep.add_key(ROOT, "elsewhere", "root")
    async with chatkeep.http(ROOT) as http:
        assert (await http.patch("/keep/v1/projects/default", json=limits)).status_code == 200


async def let_in(chatkeep: Chatkeep, request: bytes) -> None:
    """The place comes free a moment after the last byte was sent."""
    while (reply := await asked(chatkeep.url, request)).head.status == 429:
        pass
    assert reply.head.status == 200


def rate_in(head: Head) -> list[list[str]]:
    return [head.all(RATE.format(what)) for what in ("limit", "remaining", "reset")]


def call_of(path: str, key: str) -> bytes:
    return post(path, create(), key, {"content-type": "application/json"})


@pytest.mark.parametrize("operation", MODEL_CALLS, ids=lambda operation: operation.path)
async def test_every_model_call_counts_and_the_one_too_many_is_refused(
    chatkeep: Chatkeep, provider: Provider, operation: Any
) -> None:
    await set_limits(chatkeep, requests_per_minute=1)
    request = call_of(operation.path, chatkeep.key)
    first = await asked(chatkeep.url, request)
    assert first.head.status != 429
    assert rate_in(first.head) == [["1"], ["0"], ["1m0s"]]
    arrived = len(provider.requests)
    reply = await asked(chatkeep.url, request)
    message = "Rate limit reached for project default on requests per min .*Limit 1, Used 1, .*"
    assert_refusal(reply, Refusal("RateLimitReached", message, pattern=True))
    assert int(reply.head["retry-after"]) in (59, 60)
    assert 59_000 < int(reply.head["retry-after-ms"]) <= 60_000
    assert rate_in(reply.head)[:2] == [["1"], ["0"]]
    assert len(provider.requests) == arrived


@pytest.mark.parametrize("operation", OTHERS, ids=lambda one: f"{one.method} {one.path}")
async def test_what_is_no_model_call_does_not_count(chatkeep: Chatkeep, operation: Any) -> None:
    await set_limits(chatkeep, requests_per_minute=1, max_concurrent=1)
    path = operation.path.replace(":path", "").replace("{", "").replace("}", "")
    for _ in range(2):
        reply = await asked(
            chatkeep.url, head_of(operation.method, path, chatkeep.key, {"content-length": "0"})
        )
        assert reply.head.status != 429
        assert rate_in(reply.head) == [[], [], []]
    first = await asked(chatkeep.url, post(PATH, create(), chatkeep.key))
    assert first.head.status == 200


async def test_a_call_refused_for_its_key_or_scope_does_not_count(chatkeep: Chatkeep) -> None:
    await set_limits(chatkeep, requests_per_minute=1)
    reader = await chatkeep.add_key("sk-ck-reader", "default", "read")
    for key in (None, "sk-ck-unknown", reader):
        assert (await asked(chatkeep.url, post(PATH, create(), key))).head.status in (401, 403)
    assert (await asked(chatkeep.url, post(PATH, create(), chatkeep.key))).head.status == 200


async def test_a_call_refused_for_its_body_counts_and_says_so(chatkeep: Chatkeep) -> None:
    await set_limits(chatkeep, requests_per_minute=5)
    reply = await asked(chatkeep.url, post(PATH, b"{}", chatkeep.key))
    assert (reply.head.status, rate_in(reply.head)[1]) == (400, ["4"])


async def test_a_call_that_is_answered_gives_its_place_back(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    await set_limits(chatkeep, max_concurrent=1)
    request = post(PATH, create(), chatkeep.key)
    hang = provider.answer(Hang(Plain(b"{}")))
    async with connected(chatkeep.url) as wire:
        wire.send(request)
        await hang.arrived.wait()
        reply = await asked(chatkeep.url, request)
        assert_refusal(reply, Refusal("RateLimitReached", AT_A_TIME))
        assert reply.head["retry-after"] == "1"
        hang.release()
        assert (await wire.reply()).head.status == 200
    await let_in(chatkeep, request)


@pytest.mark.parametrize("store", [True, False])
async def test_a_stream_has_its_place_until_its_end(
    chatkeep: Chatkeep, provider: Provider, store: bool
) -> None:
    await set_limits(chatkeep, max_concurrent=1)
    event = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    stream = provider.answer(Stream([event, b"data: [DONE]\n\n"], stepped=True))
    request = post(PATH, create(store=store, stream=True), chatkeep.key)
    async with connected(chatkeep.url) as wire:
        wire.send(request)
        stream.step()
        await wire.head()
        await wire.until(b"Hi")
        assert (await asked(chatkeep.url, request)).head.status == 429
        stream.step()
        while await wire.piece():
            pass
    await let_in(chatkeep, request)


async def test_a_client_that_leaves_gives_its_place_back(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    await set_limits(chatkeep, max_concurrent=1)
    request = post(PATH, create(), chatkeep.key)
    hang = provider.answer(Hang())
    async with connected(chatkeep.url) as wire:
        wire.send(request)
        await hang.arrived.wait()
        wire.leave()
    await hang.ended.wait()
    await let_in(chatkeep, request)


async def test_each_key_has_the_limit_of_keys_for_itself(chatkeep: Chatkeep) -> None:
    await set_limits(chatkeep, key_requests_per_minute=1)
    other = await chatkeep.add_key("sk-ck-other", "default")
    for key in (chatkeep.key, other):
        statuses = [
            (await asked(chatkeep.url, post(PATH, create(), key))).head.status for _ in range(2)
        ]
        assert statuses == [200, 429]


async def test_the_upstreams_own_limits_are_hidden_behind_ours_only(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    theirs = [(RATE.format("limit"), "9"), (RATE.format("remaining"), "8"), ("x-ratelimit-a", "b")]
    provider.always(Plain(b"{}", 200, [*JSON, *theirs]))
    request = post(PATH, create(), chatkeep.key)
    reply = await asked(chatkeep.url, request)
    assert rate_in(reply.head) == [["9"], ["8"], []]
    await set_limits(chatkeep, requests_per_minute=100)
    reply = await asked(chatkeep.url, request)
    assert rate_in(reply.head)[:2] == [["100"], ["99"]]
    assert reply.head["x-ratelimit-a"] == "b"


async def test_a_limit_that_is_unset_holds_no_longer(chatkeep: Chatkeep) -> None:
    await set_limits(chatkeep, requests_per_minute=1)
    request = post(PATH, create(), chatkeep.key)
    assert [(await asked(chatkeep.url, request)).head.status for _ in range(2)] == [200, 429]
    await set_limits(chatkeep, requests_per_minute=None)
    reply = await asked(chatkeep.url, request)
    assert (reply.head.status, rate_in(reply.head)) == (200, [[], [], []])


async def test_the_official_client_sees_a_rate_limit(chatkeep: Chatkeep) -> None:
    await set_limits(chatkeep, requests_per_minute=1)
    assert (await asked(chatkeep.url, post(PATH, create(), chatkeep.key))).head.status == 200
    async with chatkeep.client() as client:
        with pytest.raises(openai.RateLimitError) as error:
            await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}]
            )
    assert (error.value.code, error.value.type) == ("rate_limit_exceeded", "requests")


def test_scripts_of_other_origins_may_read_the_limits_headers() -> None:
    assert {RATE.format(what) for what in ("limit", "remaining", "reset")} <= set(EXPOSED_HEADERS)
