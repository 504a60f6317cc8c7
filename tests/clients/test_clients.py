"""What each client got, what its provider said and what is stored are the same.

Each client makes a plain call and a stream, and lets the model use a tool in both ways. Most send
`store` and `metadata`; `llm` cannot and sends our headers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from clients.support import model
from clients.support.scripts import Heard, ToolCall, heard
from openai.types.chat import ChatCompletion, ChatCompletionStoreMessage
from support.provider import Provider, Received
from support.server import ServerProcess

pytestmark = pytest.mark.clients

CALLS = ["plain", "stream", "tools", "tools", "tool stream", "tool stream"]
CHECKED = [*CALLS, "structured"]  # JSON which the client checks against a schema
# instructor takes a tool's arguments for the answer and does not run the tool.
ONE_TURN = ["plain", "stream", "tools", "tool stream", "structured"]

CLIENTS = [
    ("instructor", "scripts/instructor_client.py", ONE_TURN),
    ("langchain", "scripts/langchain_client.py", CHECKED),
    ("litellm", "scripts/litellm_client.py", CALLS),
    ("llamaindex", "scripts/llamaindex_client.py", CALLS),
    ("llm", "scripts/llm_client.py", CHECKED),
    ("pydantic_ai", "scripts/pydantic_ai_client.py", CHECKED),
    ("ai_sdk", "node/ai_sdk.mjs", CHECKED),
    ("ai_sdk_compatible", "node/ai_sdk_compatible.mjs", CHECKED),
    ("openai_node", "node/openai.mjs", CHECKED),
]

OURS = {"store", "metadata", "x-chatkeep-store", "x-chatkeep-metadata"}


@pytest.mark.parametrize(("client", "script", "calls"), CLIENTS, ids=[row[0] for row in CLIENTS])
async def test_a_client_gets_what_is_stored(
    server: ServerProcess,
    provider: Provider,
    stored: openai.AsyncOpenAI,
    tmp_path: Path,
    client: str,
    script: str,
    calls: list[str],
) -> None:
    got = await heard(Path(__file__).parent / script, tmp_path, server.url, server.key)
    of_client = stored.chat.completions.list(metadata={"client": client}, order="asc")
    kept = [completion async for completion in of_client]
    asked = [request for request in provider.requests if request.method == "POST"]

    assert [row.call for row in got] == calls
    for row, completion, request in zip(got, kept, asked, strict=True):
        assert completion.metadata == {"client": client, "call": row.call}
        is_what_the_provider_said(completion, request)
        is_what_the_client_got(completion, row)
        assert await stored.chat.completions.retrieve(completion.id) == completion
        messages = stored.chat.completions.messages.list(completion.id)
        are_what_was_asked([message async for message in messages], request.json()["messages"])


def is_what_the_provider_said(completion: ChatCompletion, request: Received) -> None:
    said = model.reply(request.json())
    message = whole(completion.choices[0].message)
    assert message["content"] == said.text
    assert functions(message) == [*said.calls]
    assert completion.choices[0].finish_reason == said.finish_reason
    assert completion.model == model.MODEL
    assert completion.id != model.ID
    assert not OURS & {*request.json(), *(name.lower() for name, _ in request.headers)}


def is_what_the_client_got(completion: ChatCompletion, row: Heard) -> None:
    message = whole(completion.choices[0].message)
    assert row.text == (message["content"] or "")
    assert row.tools == [ToolCall(name, json.loads(text)) for name, text in functions(message)]
    assert row.id in (None, completion.id)
    assert row.tool_ids in (None, [made["id"] for made in message["tool_calls"] or []])
    assert row.finish_reason in (None, completion.choices[0].finish_reason)
    assert completion.usage
    usage = completion.usage.prompt_tokens, completion.usage.completion_tokens
    assert row.usage in (None, usage)


def are_what_was_asked(kept: Sequence[ChatCompletionStoreMessage], asked: Sequence[Any]) -> None:
    for item, message in zip(map(whole, kept), asked, strict=True):
        parts = message.get("content")
        if isinstance(parts, list):
            message = message | {"content": " ".join(part["text"] for part in parts)}
        assert {key: item[key] for key in message} == message


def functions(message: Any) -> list[tuple[str, str]]:
    """The names and arguments of the tools called."""
    called = (made["function"] for made in message["tool_calls"] or [])
    return [(function["name"], function["arguments"]) for function in called]


def whole(model: openai.BaseModel) -> Any:
    """All fields that came, also those the SDK does not know."""
    return model.to_dict(mode="json")
