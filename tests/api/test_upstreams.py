"""Which upstream answers: patterns, names, retries and fallbacks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.calls import called, kept, named
from support.chatkeep_server import chatkeep_before
from support.provider import Answer, CutAfter, Hang, Plain, Provider, Raw, Refuse, Stream, nobody
from support.rawhttp import PATH, asked, connected, post
from support.refusals import Refusal, assert_refusal, create

from chatkeep.errors import BadSetting

pytestmark = pytest.mark.usefixtures("nothing_left_open")

BUSY = b'{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit"}}\n'
CUT = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"
EVENT = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
FIELDS = pytest.mark.parametrize(
    "fields",
    [{}, {"stream": True}, {"store": True}, {"store": True, "stream": True}],
    ids=["plain", "stream", "stored", "stored stream"],
)


@pytest.fixture
async def second(anyio_backend: object) -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


def counts(*providers: Provider) -> list[int]:
    return [len(provider.requests) for provider in providers]


@pytest.mark.parametrize("fallback", ["c", ""])
async def test_a_fallback_nobody_knows_is_refused_at_the_start(
    provider: Provider, tmp_path: Path, fallback: str
) -> None:
    upstreams = [named("a", provider.url, fallbacks=(fallback,)), named("b", provider.url)]
    with pytest.raises(BadSetting, match=f"'a' falls back on '{fallback}', which is none of a, b"):
        async with chatkeep_before(tmp_path, upstreams):
            pass


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 501])
@FIELDS
async def test_an_error_of_the_requests_own_is_handed_on_at_once(
    provider: Provider, second: Provider, tmp_path: Path, status: int, fields: Any
) -> None:
    provider.answer(Plain(BUSY, status, [("content-type", "application/json"), ("x-own", "1")]))
    upstreams = [
        named("a", provider.url, retries=2, fallbacks=("b",)),
        named("b", second.url, models=()),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep, **fields)
        assert await kept(chatkeep) == []
    assert (reply.head.status, reply.body, reply.head["x-own"]) == (status, BUSY, "1")
    assert reply.head["x-chatkeep-upstream"] == "a"
    assert reply.head["x-chatkeep-stored"].startswith("no; ")
    assert counts(provider, second) == [1, 0]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_the_last_answer_is_handed_on_as_it_is(
    provider: Provider, second: Provider, tmp_path: Path, status: int
) -> None:
    provider.answer(Refuse())
    second.answer(Plain(BUSY, status, [("content-type", "text/x"), ("retry-after", "7")]))
    upstreams = [named("a", provider.url, fallbacks=("b",)), named("b", second.url)]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep, store=True)
    assert (reply.head.status, reply.body) == (status, BUSY)
    assert (reply.head["content-type"], reply.head["retry-after"]) == ("text/x", "7")
    assert reply.head["x-chatkeep-upstream"] == "b"


async def test_what_the_last_upstream_fails_with_is_the_answer(
    provider: Provider, tmp_path: Path
) -> None:
    provider.answer(Plain(BUSY, 429))
    with nobody() as nowhere:
        upstreams = [named("a", provider.url, fallbacks=("b",)), named("b", nowhere)]
        async with chatkeep_before(tmp_path, upstreams) as chatkeep:
            reply = await called(chatkeep, store=True)
    unreachable = r"The upstream 'b' could not be reached: .+\."
    assert_refusal(reply, Refusal("UpstreamUnreachable", unreachable, pattern=True))


@pytest.mark.parametrize(
    "answer",
    [Raw(CUT), CutAfter([b'{"id":', b'"x"}'], 6, headers=(("content-type", "application/json"),))],
    ids=["length", "chunks"],
)
async def test_an_answer_that_has_begun_is_not_tried_again(
    provider: Provider, second: Provider, tmp_path: Path, answer: Answer
) -> None:
    provider.answer(answer)
    upstreams = [
        named("a", provider.url, retries=2, fallbacks=("b",)),
        named("b", second.url, models=()),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep)
    assert (reply.head.status, reply.complete) == (200, False)
    assert counts(provider, second) == [1, 0]


@pytest.mark.parametrize("store", [True, False])
async def test_a_stream_that_has_begun_is_not_tried_again(
    provider: Provider, second: Provider, tmp_path: Path, store: bool
) -> None:
    provider.answer(CutAfter([EVENT, EVENT], len(EVENT) + 3))
    upstreams = [
        named("a", provider.url, retries=2, fallbacks=("b",)),
        named("b", second.url, models=()),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep, stream=True, store=store)
        assert (reply.head.status, reply.complete) == (200, False)
        assert b'"content":"Hi"' in reply.body
        rows = await kept(chatkeep)
    assert [(row.upstream, row.status) for row in rows] == [("a", "failed_midstream")] * store
    assert counts(provider, second) == [1, 0]


async def test_a_client_that_leaves_ends_the_retries(provider: Provider, tmp_path: Path) -> None:
    hang = provider.always(Hang())
    upstreams = [named("a", provider.url, retries=5, fallbacks=("a",))]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        async with connected(chatkeep.url) as wire:
            wire.send(post(PATH, create(store=True), chatkeep.key))
            await hang.arrived.wait()
            wire.leave()
            await hang.ended.wait()
        provider.always(Plain(b"{}"))
        await called(chatkeep)
    assert hang.disconnected
    assert counts(provider) == [2]


@pytest.mark.parametrize(
    "answer",
    [
        *(Plain(BUSY, status) for status in (429, 500, 502, 503, 504)),
        Plain(BUSY, 503, content_length=False),
        Stream([BUSY, BUSY], 503),
        Refuse(),
        Refuse(reset=True),
        Raw(b"nonsense\r\n\r\n"),
    ],
    ids=["429", "500", "502", "503", "504", "unending", "chunked", "closed", "reset", "no-HTTP"],
)
@FIELDS
async def test_what_an_upstream_cannot_answer_now_is_asked_of_its_fallback(
    provider: Provider, second: Provider, tmp_path: Path, answer: Answer, fields: Any
) -> None:
    provider.answer(answer)
    upstreams = [
        named("a", provider.url, fallbacks=("b",)),
        named("b", second.url, models=()),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep, **fields)
        rows = await kept(chatkeep)
    assert (reply.head.status, reply.complete) == (200, True)
    assert reply.head["x-chatkeep-upstream"] == "b"
    assert [row.upstream for row in rows] == ["b"] * ("store" in fields)
    assert counts(provider, second) == [1, 1]


async def test_an_upstream_nobody_listens_at_is_replaced_by_its_fallback(
    provider: Provider, tmp_path: Path
) -> None:
    with nobody() as nowhere:
        upstreams = [named("a", nowhere, fallbacks=("b",)), named("b", provider.url)]
        async with chatkeep_before(tmp_path, upstreams) as chatkeep:
            reply = await called(chatkeep, store=True)
            (row,) = await kept(chatkeep)
    assert (reply.head.status, reply.head["x-chatkeep-upstream"], row.upstream) == (200, "b", "b")


async def test_an_upstream_that_says_nothing_in_time_is_replaced_by_its_fallback(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    hang = provider.answer(Hang())
    upstreams = [
        named("a", provider.url, timeout_s=0.2, fallbacks=("b",)),
        named("b", second.url),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep, store=True)
        await hang.ended.wait()
    assert (reply.head.status, reply.head["x-chatkeep-upstream"]) == (200, "b")
    assert hang.disconnected


async def test_a_call_is_repeated_as_often_as_set_then_each_fallback_tried_in_order(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    provider.always(Plain(BUSY, 429))
    upstreams = [
        named("a", provider.url + "/a", retries=1, fallbacks=("c", "b")),
        named("b", second.url),
        named("c", provider.url + "/c", retries=1, fallbacks=("a",)),  # its own do not count
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep, store=True)
    assert (reply.head.status, reply.head["x-chatkeep-upstream"]) == (200, "b")
    tried = [request.target for request in provider.requests]
    assert tried == [f"/v1/{name}/chat/completions" for name in "aacc"]
    assert {request.body for request in provider.requests} == {create()}
    assert counts(second) == [1]


async def test_a_repeated_call_that_succeeds_is_stored_once(
    provider: Provider, tmp_path: Path
) -> None:
    provider.answer(Plain(BUSY, 500))
    upstreams = [named("a", provider.url, retries=1)]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep, store=True)
        rows = await kept(chatkeep)
    assert reply.head.status == 200
    assert [row.id for row in rows] == [reply.head["x-chatkeep-id"]]


async def test_a_model_no_pattern_fits_goes_to_the_first_upstream(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    upstreams = [
        named("a", provider.url, models=("gpt-*",)),
        named("b", second.url, models=("llama-*",)),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep, "mistral")
    assert (reply.head["x-chatkeep-upstream"], counts(second)) == ("a", [0])


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("gpt-4o", "a"),
        ("gpt-", "a"),
        ("o1", "a"),
        ("o10", "b"),  # ? is one character
        ("GPT-4o", "b"),
        ("my-gpt-4o", "b"),
        ("meta/llama-3:8b", "b"),
        ("exact", "a"),
        ("exactly", "b"),
        ("x[12]", "a"),  # only * and ? are special
        ("x1", "b"),
    ],
)
async def test_a_call_goes_to_the_first_upstream_with_a_pattern_that_fits(
    provider: Provider, second: Provider, tmp_path: Path, model: str, wanted: str
) -> None:
    upstreams = [
        named("a", provider.url, models=("gpt-*", "o?", "exact", "x[12]")),
        named("b", second.url),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        reply = await called(chatkeep, model, store=True)
        (row,) = await kept(chatkeep)
    assert (reply.head["x-chatkeep-upstream"], row.upstream) == (wanted, wanted)
    assert counts(provider, second) == ([1, 0] if wanted == "a" else [0, 1])


@pytest.mark.parametrize("own", [b"}", b',"store":true,"metadata":{"model":"m"}}'])
async def test_of_a_mapped_model_only_the_names_bytes_change(
    provider: Provider, tmp_path: Path, own: bytes
) -> None:
    sent = (
        b'{ "messages" :[{"role":"user","content":"m\\u00e9 \\ud83d","model":"m"}],\n'
        b'"temperature":1.00,"model" : "m" ,"x":{"model":"m"},"stream":false'
    )
    upstream = named("a", provider.url, model_names={"m": 'deploy"ment'})
    async with chatkeep_before(tmp_path, [upstream]) as chatkeep:
        reply = await asked(chatkeep.url, post(PATH, sent + own, chatkeep.key))
    assert reply.head.status == 200
    assert provider.requests[0].body == sent.replace(b'"m" ,', b'"deploy\\"ment" ,') + b"}"


async def test_a_model_without_another_name_keeps_its_own(
    provider: Provider, tmp_path: Path
) -> None:
    upstream = named("a", provider.url, model_names={"m": "deployment"})
    async with chatkeep_before(tmp_path, [upstream]) as chatkeep:
        await called(chatkeep, "m2")
    assert provider.requests[0].body == create(model="m2")


async def test_a_fallback_knows_the_model_by_its_own_name(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    provider.answer(Plain(BUSY, 429))
    upstreams = [
        named("a", provider.url, model_names={"m": "m-at-a"}, fallbacks=("b",)),
        named("b", second.url, model_names={"m": "m-at-b"}),
    ]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        await called(chatkeep)
    assert provider.requests[0].json()["model"] == "m-at-a"
    assert second.requests[0].json()["model"] == "m-at-b"


async def test_calls_to_several_upstreams_do_not_wait_for_each_other(
    provider: Provider, second: Provider, tmp_path: Path
) -> None:
    hang = provider.answer(Hang(then=Plain(b"{}")))
    upstreams = [named("a", provider.url, models=("slow",)), named("b", second.url)]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        slow = asyncio.create_task(called(chatkeep, "slow"))
        await hang.arrived.wait()
        assert (await called(chatkeep, "quick")).head["x-chatkeep-upstream"] == "b"
        hang.release()
        assert (await slow).head["x-chatkeep-upstream"] == "a"
