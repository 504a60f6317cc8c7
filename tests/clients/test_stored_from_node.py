"""The stored chat completions API through OpenAI's SDK for Node."""

from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from clients.support import scripts
from support.server import ServerProcess

pytestmark = pytest.mark.clients

SCRIPT = Path(__file__).parent / "node" / "stored.mjs"
ODD = {"an odd.key[0]": "a & b = “c”"}


async def test_what_is_stored_can_be_listed_changed_and_deleted_from_node(
    server: ServerProcess, stored: openai.AsyncOpenAI, tmp_path: Path
) -> None:
    printed = await scripts.output(SCRIPT, tmp_path, server.url, server.key)
    seen: dict[str, Any] = msgspec.json.decode(printed)
    first, second, third = seen["created"]

    assert ids(seen["listed"]) == [first, second, third]
    assert seen["filtered"] == [seen["listed"][1]] == [seen["retrieved"]]
    assert seen["retrieved"]["metadata"] == {"number": "two", **ODD}
    assert seen["updated"] == seen["retrieved"] | {"metadata": {"grade": "good"}}
    assert seen["graded"] == [seen["updated"]]
    assert [(item["id"], item["content"]) for item in seen["messages"]] == [
        (f"{second}-1", "Say hello to Zoë 👋🏽. two"),
        (f"{second}-0", "Be brief."),
    ]
    assert seen["deleted"] == {"object": "chat.completion.deleted", "id": second, "deleted": True}
    assert seen["gone"] == 404
    assert ids(seen["left"]) == [third, first]
    python = [
        completion.to_dict(mode="json") async for completion in stored.chat.completions.list()
    ]
    assert seen["left"] == python


def ids(completions: list[Any]) -> list[str]:
    return [completion["id"] for completion in completions]
