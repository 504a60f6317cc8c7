"""Stored completions through OpenAI's own client: create, list, retrieve, update, delete, messages.

Every JSON answer `client` gets is checked against the observed API on its way (support.observed).
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion
from support.chatkeep_server import Chatkeep
from support.provider import Provider
from support.rawhttp import PATH

from chatkeep.store.sqlite import open_sqlite
from chatkeep.store.sqlite.store import SqliteStore

KEYS = [
    "object",
    "id",
    "model",
    "created",
    "request_id",
    "tool_choice",
    "usage",
    "seed",
    "top_p",
    "temperature",
    "presence_penalty",
    "frequency_penalty",
    "system_fingerprint",
    "input_user",
    "service_tier",
    "tools",
    "metadata",
    "choices",
    "response_format",
]


async def create(client: AsyncOpenAI, text: str = "hi", **fields: Any) -> ChatCompletion:
    fields.setdefault("store", True)
    fields.setdefault("model", "gpt-4o-mini")
    fields.setdefault("messages", [{"role": "user", "content": text}])
    completion: ChatCompletion = await client.chat.completions.create(**fields)
    return completion


async def create_streamed(client: AsyncOpenAI, text: str = "hi", **fields: Any) -> str:
    """Reads the stream to its end; the id all its chunks had."""
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": text}],
        store=True,
        stream=True,
        **fields,
    )
    (id,) = {chunk.id async for chunk in stream}
    return str(id)


async def listed(client: AsyncOpenAI, **query: Any) -> list[str]:
    page = await client.chat.completions.list(**query)
    return [completion.id for completion in page.data]


@pytest.mark.parametrize("store", [False, None], ids=["false", "null"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_without_store_true_nothing_is_stored(
    client: AsyncOpenAI, provider: Provider, store: bool | None, stream: bool
) -> None:
    answer: Any = await create(client, store=store, stream=stream, metadata={"a": "b"})
    answer_ids = {chunk.id async for chunk in answer} if stream else {answer.id}
    assert answer_ids == {"chatcmpl-Upstream000000000000000000001"}
    assert await listed(client) == []


async def test_without_store_nothing_is_stored(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}]
    )
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.retrieve(answer.id)


async def test_the_stored_object_has_the_19_keys_in_order_and_then_the_upstreams(
    chatkeep: Chatkeep, client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}], store=True
    )
    created = raw.parse()
    text = (await http.get(f"{PATH}/{created.id}")).text
    stored = json.loads(text)
    assert list(stored) == KEYS
    assert stored == {
        "object": "chat.completion",
        "id": created.id,
        "model": "gpt-4o-mini-2024-07-18",
        "created": created.created,
        "request_id": raw.headers["x-request-id"],
        "tool_choice": None,
        "usage": json.loads(raw.content)["usage"],
        "seed": None,
        "top_p": 1.0,
        "temperature": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "system_fingerprint": "fp_0123456789",
        "input_user": None,
        "service_tier": "default",
        "tools": None,
        "metadata": {},
        "choices": [
            {
                "index": 0,
                "message": {
                    "content": "You said: hi",
                    "role": "assistant",
                    "tool_calls": None,
                    "function_call": None,
                    "refusal": None,
                    "annotations": [],
                },
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "response_format": None,
    }
    assert list(stored["choices"][0]) == ["index", "message", "finish_reason", "logprobs"]
    assert list(stored["choices"][0]["message"])[:4] == [
        "content",
        "role",
        "tool_calls",
        "function_call",
    ]
    for default in ('"top_p":1.0', '"temperature":1.0', '"presence_penalty":0.0'):
        assert default in text


async def test_the_stored_object_tells_what_was_asked_for(
    client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    asked: dict[str, Any] = {
        "seed": -9007199254740993,
        "top_p": 0.5,
        "temperature": 0,
        "presence_penalty": -1.5,
        "frequency_penalty": 2,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": 2}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_object"},
        "metadata": {"b": "2", "a": "\u6771"},
    }
    created = await create(client, **asked, user="someone")
    stored = (await http.get(f"{PATH}/{created.id}")).json()
    assert {key: stored[key] for key in asked} == asked
    assert stored["input_user"] == "someone"


@pytest.mark.parametrize("n", [1, 3])
async def test_a_stream_is_stored_as_the_plain_answer_would_be(
    client: AsyncOpenAI, http: httpx2.AsyncClient, n: int
) -> None:
    plain = await create(client, "one  two\n three", n=n)
    streamed = await create_streamed(client, "one  two\n three", n=n)
    first, second = [(await http.get(f"{PATH}/{id}")).json() for id in (plain.id, streamed)]
    assert first["choices"][0]["message"].pop("annotations") == []  # no stream carries them
    for choice in first["choices"]:
        choice["message"].pop("annotations", None)
    for own in ("id", "created", "request_id"):
        assert first.pop(own) != second.pop(own)
    assert first == second


async def test_a_stored_answer_is_found_under_the_id_the_caller_got(client: AsyncOpenAI) -> None:
    created = await create(client, metadata={"a": "b"})
    retrieved = await client.chat.completions.retrieve(created.id)
    assert retrieved.metadata == {"a": "b"}
    assert retrieved.choices[0].message.content == created.choices[0].message.content
    assert created.id.startswith("chatcmpl-")
    assert len(created.id) == len("chatcmpl-") + 29


async def test_an_update_replaces_the_whole_map(client: AsyncOpenAI) -> None:
    created = await create(client, metadata={"a": "1", "b": "2"})
    updated = await client.chat.completions.update(created.id, metadata={"b": "3", "c": "4"})
    retrieved = await client.chat.completions.retrieve(created.id)
    assert updated.metadata == {"b": "3", "c": "4"}
    assert retrieved == updated
    assert await listed(client, metadata={"a": "1"}) == []
    assert await listed(client, metadata={"b": "3", "c": "4"}) == [created.id]


@pytest.mark.parametrize("nothing", [None, {}], ids=["null", "empty"])
async def test_an_update_with_nothing_clears_the_map(
    client: AsyncOpenAI, nothing: dict[str, str] | None
) -> None:
    created = await create(client, metadata={"a": "1"})
    updated = await client.chat.completions.update(created.id, metadata=nothing)
    assert updated.metadata == {}
    assert (await client.chat.completions.retrieve(created.id)).metadata == {}
    assert await listed(client, metadata={"a": "1"}) == []


async def test_an_etag_guards_an_update(client: AsyncOpenAI, http: httpx2.AsyncClient) -> None:
    path = f"{PATH}/{(await create(client, metadata={'a': '1'})).id}"
    first = (await http.get(path)).headers["etag"]
    body = {"metadata": {"a": "2"}}
    updated = await http.post(path, json=body, headers={"if-match": f'"other", {first}'})
    assert (updated.status_code, updated.json()["metadata"]) == (200, {"a": "2"})
    second = updated.headers["etag"]
    assert second != first
    assert (await http.get(path)).headers["etag"] == second
    late = await http.post(path, json={"metadata": {}}, headers={"if-match": first})
    assert late.status_code == 412
    assert (await http.post(path, json=body, headers={"if-match": "*"})).status_code == 200


async def test_of_updates_at_once_with_one_etag_one_wins(
    client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    path = f"{PATH}/{(await create(client)).id}"
    headers = {"if-match": (await http.get(path)).headers["etag"]}
    updates = [
        http.post(path, json={"metadata": {"n": str(n)}}, headers=headers) for n in range(20)
    ]
    answers = await asyncio.gather(*updates)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 19
    winner = next(answer for answer in answers if answer.status_code == 200)
    assert (await http.get(path)).json()["metadata"] == winner.json()["metadata"]


async def test_parallel_updates_are_each_answered_with_their_own_map(client: AsyncOpenAI) -> None:
    id = (await create(client)).id
    maps = [{"n": str(n), f"k{n}": "v"} for n in range(50)]
    updated = await asyncio.gather(
        *(client.chat.completions.update(id, metadata=given) for given in maps)
    )
    assert [completion.metadata for completion in updated] == maps
    left = (await client.chat.completions.retrieve(id)).metadata
    assert left in maps
    for given in maps:
        assert await listed(client, metadata=given) == ([id] if given == left else [])


async def test_parallel_creates_are_all_in_the_next_list(client: AsyncOpenAI) -> None:
    plain, streamed = await asyncio.gather(
        asyncio.gather(*(create(client, str(n)) for n in range(10))),
        asyncio.gather(*(create_streamed(client, str(n)) for n in range(10))),
    )
    names = {*(completion.id for completion in plain), *streamed}
    assert len(names) == 20
    assert set(await listed(client)) == names


async def test_a_deleted_completion_is_gone_everywhere(client: AsyncOpenAI) -> None:
    kept, gone = (
        await create(client, metadata={"a": "b"}),
        await create(client, metadata={"a": "b"}),
    )
    deleted = await client.chat.completions.delete(gone.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (
        gone.id,
        True,
        "chat.completion.deleted",
    )
    completions = client.chat.completions
    for asked in (
        completions.retrieve(gone.id),
        completions.update(gone.id, metadata={}),
        completions.delete(gone.id),
        completions.messages.list(gone.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await asked
    assert await listed(client) == [kept.id]
    assert await listed(client, metadata={"a": "b"}) == [kept.id]
    assert await listed(client, after=gone.id, order="desc") == [kept.id]


async def test_the_answer_to_a_delete_has_the_recorded_bytes(
    client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    id = (await create(client)).id
    answer = await http.delete(f"{PATH}/{id}")
    assert answer.text == f'{{"object":"chat.completion.deleted","id":"{id}","deleted":true}}'


@pytest.mark.parametrize(
    ("headers", "body", "metadata"),
    [
        ({"x-chatkeep-store": "true"}, {}, {}),
        ({"x-chatkeep-store": "True"}, {"store": None}, {}),
        ({"x-chatkeep-store": "false"}, {"store": True}, {}),
        ({"x-chatkeep-store": "true"}, {"store": False}, None),
        ({"x-chatkeep-store": "false"}, {}, None),
        ({"x-chatkeep-metadata": '{"a":"b"}'}, {}, None),
        (
            {"x-chatkeep-metadata": '{"a":"header","b":"header"}'},
            {"store": True, "metadata": {"a": "body", "c": "body"}},
            {"a": "body", "b": "header", "c": "body"},
        ),
        (
            {"x-chatkeep-store": "true", "x-chatkeep-metadata": '{"k":"\\u6771"}'},
            {},
            {"k": "\u6771"},
        ),
    ],
)
async def test_headers_stand_in_for_body_fields(
    client: AsyncOpenAI,
    provider: Provider,
    headers: dict[str, str],
    body: dict[str, Any],
    metadata: dict[str, str] | None,
) -> None:
    """`metadata` is what the stored completion has, None when none is stored."""
    await client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "hi"}],
        extra_headers=headers,
        **body,
    )
    stored = [completion.metadata async for completion in client.chat.completions.list()]
    assert stored == ([] if metadata is None else [metadata])
    assert not {name for name, _ in provider.requests[0].headers} & set(headers)


async def list_for_ever(client: AsyncOpenAI) -> None:
    while True:
        await listed(client)


async def test_a_key_revoked_by_another_process_stops_working(
    chatkeep: Chatkeep, tmp_path: Path
) -> None:
    secret = await chatkeep.add_key("sk-ck-soon-revoked", "default")
    async with chatkeep.client(secret) as client:
        assert await listed(client) == []
        other = await open_sqlite(tmp_path / "chatkeep.db")
        key = (await other.keys())[-1]
        assert await other.revoke_key(key.id, 1)
        await other.aclose()
        with pytest.raises(openai.AuthenticationError):
            await list_for_ever(client)
    assert SqliteStore.changes_every_s < 1


def blocking_flow(url: str, key: str) -> list[str]:
    with OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        completions = client.chat.completions
        messages: list[Any] = [{"role": "user", "content": "hi"}]
        plain = completions.create(model="m", messages=messages, store=True, metadata={"a": "b"})
        stream = completions.create(model="m", messages=messages, store=True, stream=True)
        (streamed,) = {chunk.id for chunk in stream}
        assert [completion.id for completion in completions.list(limit=1)] == [streamed, plain.id]
        assert completions.update(streamed, metadata={"a": "b"}).metadata == {"a": "b"}
        assert len(completions.list(metadata={"a": "b"}).data) == 2
        assert [item.content for item in completions.messages.list(plain.id)] == ["hi"]
        assert completions.retrieve(plain.id).metadata == {"a": "b"}
        assert completions.delete(plain.id).deleted
        return [completion.id for completion in completions.list()] + [streamed]


async def test_the_blocking_client_does_the_same(chatkeep: Chatkeep) -> None:
    left, streamed = await asyncio.to_thread(blocking_flow, chatkeep.url, chatkeep.key)
    assert left == streamed
