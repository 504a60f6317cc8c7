"""A repeated stream, answered from the record, as the official client reads it."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from support.assembly import choice as delta_of
from support.assembly import chunk
from support.chatkeep_server import Chatkeep
from support.provider import Plain, Provider, Stream
from support.rawhttp import PATH, Reply, asked, get, post
from support.refusals import create

ONCE = {"idempotency-key": "once"}
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def function(index: int, **keys: Any) -> dict[str, Any]:
    return {"index": index, **keys}


def logprob(token: str) -> dict[str, Any]:
    one = {"token": token, "logprob": -0.5, "bytes": [1], "top_logprobs": []}
    return {"content": [one], "refusal": None}


ANSWERS: dict[str, list[bytes]] = {
    "text": [
        chunk(delta_of({"role": "assistant", "content": ""}), service_tier="default"),
        chunk(delta_of({"content": "caf\u00e9 "}), system_fingerprint="fp_1"),
        chunk(delta_of({"content": "\u6771\u4eac \U0001f680\n\n"})),
        chunk(delta_of({}, finish_reason="stop")),
    ],
    "choices": [
        chunk(delta_of({"role": "assistant", "content": "zero"}, 0)),
        chunk(delta_of({"role": "assistant", "content": "one"}, 1)),
        chunk(delta_of({"content": "!"}, 1, finish_reason="stop")),
        chunk(delta_of({}, 0, finish_reason="stop")),
    ],
    "tool calls": [
        chunk(delta_of({"role": "assistant", "content": None})),
        *(
            chunk(delta_of({"tool_calls": [call]}))
            for call in (
                function(0, id="c0", type="function", function={"name": "f", "arguments": ""}),
                function(0, function={"arguments": '{"a":'}),
                function(1, id="c1", type="function", function={"name": "g", "arguments": "{}"}),
                function(0, function={"arguments": '"\\u00e9"}'}),
            )
        ),
        chunk(delta_of({}, finish_reason="tool_calls")),
    ],
    "refusal": [
        chunk(delta_of({"role": "assistant", "content": None, "refusal": "I "})),
        chunk(delta_of({"refusal": "will not"}, finish_reason="stop")),
    ],
    "reasoning": [
        chunk(delta_of({"role": "assistant", "content": "", "reasoning_content": "Let me"})),
        chunk(delta_of({"reasoning_content": " think"})),
        chunk(delta_of({"content": "42"}, finish_reason="stop")),
    ],
    "logprobs": [
        chunk(delta_of({"role": "assistant"})),
        chunk(delta_of({"content": "a"}, logprobs=logprob("a"))),
        chunk(delta_of({"content": "b"}, logprobs=logprob("b"), finish_reason="stop")),
    ],
    "old function": [
        chunk(delta_of({"role": "assistant", "function_call": {"name": "f", "arguments": "{"}})),
        chunk(delta_of({"function_call": {"arguments": "}"}}, finish_reason="function_call")),
    ],
}


def provided(provider: Provider, chunks: list[bytes]) -> None:
    usage = chunk(usage=USAGE)
    events = [b"data: " + data + b"\n\n" for data in (*chunks, usage)]
    provider.answer(Stream([*events, DONE]))


async def streamed(client: AsyncOpenAI, **options: Any) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "hi"}],
        store=True,
        stream=True,
        extra_headers=ONCE,
        **options,
    )
    return [each async for each in stream]


def accumulated(chunks: list[ChatCompletionChunk]) -> ChatCompletion:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(each)
    return state.get_final_completion()


def choices_of(completion: ChatCompletion) -> list[Any]:
    """The choices without what is null, which the client adds and leaves out as it likes."""
    found = json.loads(completion.model_dump_json(exclude_none=True, warnings=False))["choices"]
    for one in found:
        one["message"].pop("parsed", None)
        for call in one["message"].get("tool_calls", []):
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
    return sorted(found, key=lambda one: int(one["index"]))


@pytest.mark.parametrize("name", ANSWERS)
async def test_the_official_client_puts_a_repeated_stream_together_to_what_is_stored(
    chatkeep: Chatkeep, provider: Provider, name: str
) -> None:
    provided(provider, ANSWERS[name])
    async with chatkeep.client() as client:
        first, second = await streamed(client), await streamed(client)
        stored = await client.chat.completions.retrieve(second[0].id)
    assert len(provider.requests) == 1
    assert {each.id for each in (*first, *second)} == {stored.id}
    assert choices_of(accumulated(second)) == choices_of(stored)
    assert choices_of(accumulated(second)) == choices_of(accumulated(first))
    assert {(each.object, each.model, each.created) for each in second} == {
        ("chat.completion.chunk", stored.model, stored.created)
    }


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_repeated_stream_has_a_chunk_for_each_choice_and_the_usage_when_asked(
    chatkeep: Chatkeep, provider: Provider, name: str
) -> None:
    provided(provider, ANSWERS[name])
    options = {"stream_options": {"include_usage": True}}
    async with chatkeep.client() as client:
        await streamed(client, **options)
        *chunks, last = await streamed(client, **options)
        stored = await client.chat.completions.retrieve(last.id)
    assert [[one.index for one in each.choices] for each in chunks] == [
        [one.index] for one in stored.choices
    ]
    assert all(each.usage is None for each in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.model_dump(exclude_none=True) == USAGE


async def test_the_clients_stream_helper_reads_a_repeated_stream(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    provided(provider, ANSWERS["tool calls"])
    contents = []
    async with chatkeep.client() as client:
        for _ in range(2):
            async with client.chat.completions.stream(
                model="m",
                messages=[{"role": "user", "content": "hi"}],
                extra_body={"store": True},
                extra_headers=ONCE,
            ) as stream:
                contents.append(choices_of(await stream.get_final_completion()))
    assert contents[0] == contents[1]
    assert len(provider.requests) == 1


async def both(chatkeep: Chatkeep, **fields: Any) -> list[Reply]:
    """The answers to a stored stream's call and to its repetition, as bytes."""
    body = create(store=True, stream=True, **fields)
    return [await asked(chatkeep.url, post(PATH, body, chatkeep.key, ONCE)) for _ in range(2)]


async def test_a_repeated_stream_is_a_stream_by_its_head(chatkeep: Chatkeep) -> None:
    first, second = await both(chatkeep)
    assert second.head["content-type"] == "text/event-stream; charset=utf-8"
    assert (second.head["cache-control"], second.head["x-accel-buffering"]) == ("no-cache", "no")
    assert second.head["x-chatkeep-idempotency"] == "repeated"
    assert (first.head["x-chatkeep-stored"], second.head["x-chatkeep-stored"]) == ("pending", "yes")
    assert second.head["x-chatkeep-upstream"] == "provider"
    assert second.head["x-chatkeep-id"] == first.head["x-chatkeep-id"]
    assert second.body.endswith(b"\n\n" + DONE)
    assert second.body.count(DONE) == 1


async def test_usage_that_was_not_asked_for_is_not_repeated(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    first, second = await both(chatkeep)
    assert provider.requests[0].json()["stream_options"] == {"include_usage": True}
    assert b"total_tokens" not in first.body + second.body
    assert b'"usage"' not in second.body


async def test_a_repeated_stream_has_the_stored_values_bytes(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    odd = (
        b'{"id":"x","created":1.50,"choices":'
        b'[{"index":0,"delta":{"content":"\\u00e9","score":1E400},"finish_reason":"stop"}]}'
    )
    provider.answer(Stream([b"data: " + odd + b"\n\n", DONE]))
    _, second = await both(chatkeep)
    id = second.head["x-chatkeep-id"]
    stored = (await asked(chatkeep.url, get(f"{PATH}/{id}", chatkeep.key))).body
    for value in (b'"created":1.50', b'"score":1E400'):
        assert value in second.body
        assert value in stored


async def test_a_plain_answer_to_a_streams_call_is_repeated_as_a_stream(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    call = {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    whole = {"id": "x", "created": 7, "model": "m", "choices": [choice]}
    provider.answer(Plain(json.dumps(whole, indent=2).encode()))
    async with chatkeep.client() as client:
        await streamed(client)
        second = await streamed(client)
    assert len(provider.requests) == 1
    assert choices_of(accumulated(second)) == [choice]
