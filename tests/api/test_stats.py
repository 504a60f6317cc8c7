"""GET /keep/v1/stats, and what of all calls is counted for it."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from support import chatkeep_server, observed
from support.chatkeep_server import Chatkeep
from support.provider import JSON, CutAfter, Plain, Provider, Stream, nobody
from support.rawhttp import PATH, asked, connected, get, post
from support.refusals import Refusal, assert_refusal, create, refused

from chatkeep.core.usage.prices import Price

STATS = "/keep/v1/stats"
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "cost": 0.0005}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
ANSWER = json.dumps({"id": "x", "model": "m-1", "choices": [CHOICE], "usage": USAGE}).encode()
GROUPS = (
    "Supported values are: 'hour', 'day', 'model', 'upstream', 'key' and 'outcome', several joined"
    " by commas, hour and day not together."
)


async def stats(chatkeep: Chatkeep, query: str = "", key: str | None = None) -> Any:
    reply = await asked(chatkeep.url, get(f"{STATS}?{query}", key or chatkeep.key))
    assert reply.head.status == 200, reply.body
    body = json.loads(reply.body)
    assert (await observed.own(chatkeep.url)).problems("GET", STATS, 200, body) == []
    assert body["complete"]
    return body["data"]


async def counted(chatkeep: Chatkeep, outcome: str, calls: int = 1) -> dict[str, Any]:
    """The sum of an outcome, once so many calls are in it."""
    while True:
        found = await stats(chatkeep, f"outcome={outcome}&group=model,upstream,key,outcome")
        if sum(one["calls"] for one in found) >= calls:
            (only,) = found
            return dict(only)


async def called(chatkeep: Chatkeep, path: str = PATH, **fields: Any) -> None:
    await asked(chatkeep.url, post(path, create(**fields), chatkeep.key))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("group=week", Refusal("InvalidValue", f"Invalid value: 'week'. {GROUPS}", "group")),
        ("group=", Refusal("InvalidValue", f"Invalid value: ''. {GROUPS}", "group")),
        (
            "group=hour,day",
            Refusal("InvalidValue", f"Invalid value: 'hour,day'. {GROUPS}", "group"),
        ),
        (
            "group=key,key",
            Refusal("InvalidValue", f"Invalid value: 'key,key'. {GROUPS}", "group"),
        ),
        (
            "outcome=good",
            Refusal(
                "InvalidValue",
                "Invalid value: 'good'. Supported values are: 'stored', 'passed', 'unkept' and"
                " 'failed'.",
                "outcome",
            ),
        ),
        ("limit=1", Refusal("UnknownParameter", "Unknown parameter: 'limit'.", "limit")),
        (
            "created_after=x",
            Refusal(
                "InvalidType",
                "Invalid type for 'created_after': expected an integer, but got a string instead.",
                "created_after",
            ),
        ),
    ],
)
async def test_what_cannot_be_summed_by_is_refused(
    chatkeep: Chatkeep, query: str, wanted: Refusal
) -> None:
    await refused(chatkeep.url, get(f"{STATS}?{query}", chatkeep.key), wanted)


async def test_a_key_that_may_not_read_sees_no_figures(chatkeep: Chatkeep) -> None:
    key = await chatkeep.add_key("sk-ck-creates", "default", "create")
    message = "This key may not do that: it needs the scope 'read'."
    assert_refusal(await asked(chatkeep.url, get(STATS, key)), Refusal("ScopeMissing", message))


async def test_a_stored_call_is_counted_when_it_is_answered(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(Plain(ANSWER))
    before = int(time.time())
    await called(chatkeep, store=True)
    (found,) = await stats(chatkeep, "group=hour,model,upstream,key,outcome")
    assert found["start"] in (before // 3600 * 3600, int(time.time()) // 3600 * 3600)
    wanted = {"model": "m-1", "upstream": "provider", "key": 1, "outcome": "stored", "calls": 1}
    wanted |= {"prompt_tokens": 100, "completion_tokens": 10, "priced": 1, "cost_micro": 500}
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "answer",
    [
        Plain(ANSWER),
        Stream(
            [
                b'data: {"id":"x","choices":[]}\n\n',
                b"data: " + ANSWER + b"\n\n",
                b"data: [DONE]\n\n",
            ]
        ),
    ],
    ids=["plain", "streamed"],
)
async def test_a_call_that_is_not_stored_is_counted_soon(
    chatkeep: Chatkeep, provider: Provider, answer: Any
) -> None:
    provider.answer(answer)
    await called(chatkeep, model="asked-for")
    found = await counted(chatkeep, "passed")
    wanted = {"model": "asked-for", "upstream": "provider", "key": 1, "calls": 1}
    wanted |= {"prompt_tokens": 100, "completion_tokens": 10, "priced": 1, "cost_micro": 500}
    assert {name: found[name] for name in wanted} == wanted


async def test_other_model_calls_are_counted(chatkeep: Chatkeep, provider: Provider) -> None:
    usage = b'{"data":[],"model":"e-1","usage":{"prompt_tokens":8,"total_tokens":8}}'
    provider.answer(Plain(usage))
    await called(chatkeep, "/v1/embeddings", model="e")
    found = await counted(chatkeep, "passed")
    assert (found["model"], found["prompt_tokens"], found["cost_micro"]) == ("e", 8, None)


async def test_errors_of_the_upstream_are_counted(chatkeep: Chatkeep, provider: Provider) -> None:
    provider.answer(Plain(b'{"error":{}}', status=429))
    await called(chatkeep)
    provider.answer(Plain(b'{"error":{}}', status=400))
    await called(chatkeep, store=True)
    assert (await counted(chatkeep, "failed", 2))["calls"] == 2
    assert await stats(chatkeep, "outcome=stored") == []


@pytest.mark.parametrize("store", [False, True])
async def test_an_answer_that_breaks_off_is_counted(
    chatkeep: Chatkeep, provider: Provider, store: bool
) -> None:
    provider.answer(CutAfter([ANSWER], 20, headers=JSON))
    async with connected(chatkeep.url) as wire:
        wire.send(post(PATH, create(store=store), chatkeep.key))
        await wire.head()
    assert (await counted(chatkeep, "failed"))["calls"] == 1


async def test_an_upstream_that_is_not_there_is_counted(tmp_path: Path) -> None:
    with nobody() as url:
        async with chatkeep_server.chatkeep(tmp_path, url) as chatkeep:
            await called(chatkeep)
            assert (await counted(chatkeep, "failed"))["upstream"] == "provider"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_to_be_stored_and_is_not_is_counted(
    tmp_path: Path, provider: Provider, stream: bool
) -> None:
    async with chatkeep_server.chatkeep(tmp_path, provider.url, max_answer_bytes=50) as chatkeep:
        await called(chatkeep, store=True, stream=stream)
        assert (await counted(chatkeep, "unkept"))["calls"] == 1
        assert await stats(chatkeep, "outcome=passed") == []


async def test_an_answer_that_is_no_completion_is_counted(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provider.answer(Plain(b"[]"))
    await called(chatkeep, store=True)
    assert (await counted(chatkeep, "unkept"))["calls"] == 1


async def test_a_stop_writes_what_was_not_written_yet(tmp_path: Path, provider: Provider) -> None:
    async with chatkeep_server.chatkeep(tmp_path, provider.url) as chatkeep:
        await asyncio.gather(*(called(chatkeep) for _ in range(10)))
    async with chatkeep_server.chatkeep(tmp_path, provider.url) as chatkeep:
        assert (await counted(chatkeep, "passed"))["calls"] == 10


async def test_without_a_cost_of_the_upstreams_the_price_is_taken(
    tmp_path: Path, provider: Provider
) -> None:
    price = Price(model="gpt-4o-mini-*", input=1_000_000, output=0)
    async with chatkeep_server.chatkeep(tmp_path, provider.url, price=(price,)) as chatkeep:
        await called(chatkeep, store=True, model="gpt-4o-mini")
        (found,) = await stats(chatkeep)
        assert found["cost_micro"] == found["prompt_tokens"] * 1_000_000 > 0
        listed = await asked(chatkeep.url, get("/keep/v1/completions", chatkeep.key))
        assert json.loads(listed.body)["data"][0]["cost_micro"] == found["cost_micro"]


async def test_without_any_price_the_cost_is_not_known(chatkeep: Chatkeep) -> None:
    await called(chatkeep, store=True)
    (found,) = await stats(chatkeep)
    assert (found["calls"], found["priced"], found["cost_micro"]) == (1, 0, None)


async def test_figures_are_of_the_own_project(chatkeep: Chatkeep) -> None:
    key = await chatkeep.add_key("sk-ck-theirs", "other")
    await asked(chatkeep.url, post(PATH, create(store=True), key))
    assert await stats(chatkeep) == []
    assert await stats(chatkeep, "key=2") == []
    assert (await stats(chatkeep, key=key))[0]["calls"] == 1


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ("created_after=1000000000", [2]),
        ("created_after=4000000000", []),
        ("created_before=1000000000", []),
        (f"created_after=-{'9' * 300}&created_before={'9' * 300}", [2]),
        (f"created_after={'9' * 300}", []),
        ("model=gpt-4o-mini-2024-07-18", [1]),
        ("model=x&key=1", []),
        ("upstream=provider&outcome=stored", [2]),
        ("group=model", [1, 1]),
        ("group=day", [2]),
    ],
)
async def test_sums_can_be_of_a_part(chatkeep: Chatkeep, query: str, calls: list[int]) -> None:
    await called(chatkeep, store=True, model="gpt-4o-mini")
    await called(chatkeep, store=True, model="other")
    assert [one["calls"] for one in await stats(chatkeep, query)] == calls
