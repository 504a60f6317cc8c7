"""Completions without their bodies, through OpenAI's own client and our routes."""

from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from support.chatkeep_server import Chatkeep
from support.rawhttp import PATH, asked, get, post
from support.refusals import Refusal, create, refused

from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import MAX_SEQ, Seq

KEEP = "/keep/v1/completions"
SECRET = "the secret that was told"
TOOLS: list[Any] = [{"type": "function", "function": {"name": SECRET.replace(" ", "_")}}]


async def let_go(chatkeep: Chatkeep) -> None:
    """Of all bodies."""
    project = await chatkeep.store.project("default")
    assert isinstance(project, Project)
    while (await chatkeep.store.expire_bodies(project, Seq(MAX_SEQ), 1)).more:
        pass


@pytest.fixture
async def before(chatkeep: Chatkeep, client: AsyncOpenAI, http: httpx2.AsyncClient) -> Any:
    """The stored object as it was before its body went."""
    made = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": SECRET}],
        tools=TOOLS,
        user=SECRET,
        temperature=0.25,
        seed=7,
        store=True,
        metadata={"run": "1"},
    )
    shown = (await http.get(f"/v1/chat/completions/{made.id}")).json()
    assert SECRET in str(shown)
    await let_go(chatkeep)
    return shown


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/{}/messages",
        KEEP + "/{}/raw/request",
        KEEP + "/{}/raw/answer",
        KEEP + "/{}/parts/0",
    ],
)
async def test_what_was_said_is_refused_as_gone(
    chatkeep: Chatkeep, before: dict[str, Any], path: str
) -> None:
    await refused(chatkeep.url, get(path.format(before["id"]), chatkeep.key), gone(before["id"]))


def gone(id: str, param: str | None = "completion_id") -> Refusal:
    message = (
        f"The request and the answer of completion {id} are kept no longer, only its metadata and"
        " figures: see retain_body_days of its project."
    )
    return Refusal("BodyExpired", message, param)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_repeated_create_is_refused_rather_than_answered_with_nothing(
    chatkeep: Chatkeep, stream: bool
) -> None:
    body = create(store=True, stream=stream)
    request = post(PATH, body, chatkeep.key, {"idempotency-key": "once"})
    id = (await asked(chatkeep.url, request)).head["x-chatkeep-id"]
    await let_go(chatkeep)
    await refused(chatkeep.url, request, gone(id, None))


async def test_the_official_client_shows_it_as_it_was_with_empty_messages(
    client: AsyncOpenAI, http: httpx2.AsyncClient, before: dict[str, Any]
) -> None:
    shown = (await http.get(f"/v1/chat/completions/{before['id']}")).json()
    choices = [
        {
            "index": choice["index"],
            "message": {
                "content": None,
                "role": "assistant",
                "tool_calls": None,
                "function_call": None,
            },
            "finish_reason": choice["finish_reason"],
            "logprobs": None,
        }
        for choice in before["choices"]
    ]
    kept = {key: before[key] for key in list(before)[:19]}
    wanted = {**kept, "choices": choices, "tools": None, "input_user": None}
    assert shown == wanted
    assert list(shown) == list(wanted)
    assert (shown["seed"], shown["temperature"]) == (7, 0.25)
    assert shown["usage"] is not None
    listed = [one async for one in client.chat.completions.list(metadata={"run": "1"})]
    retrieved = await client.chat.completions.retrieve(before["id"])
    assert listed == [retrieved]
    assert retrieved.choices[0].message.content is None


async def test_keep_says_that_the_body_is_gone(
    chatkeep: Chatkeep, client: AsyncOpenAI, http: httpx2.AsyncClient, before: dict[str, Any]
) -> None:
    await client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], store=True
    )
    for path in (KEEP, f"{KEEP}/{before['id']}/conversation"):
        shown = (await http.get(path)).json()["data"]
        assert {one["id"] == before["id"]: one["has_body"] for one in shown}[True] is False
    shown = (await http.get(KEEP)).json()["data"]
    assert [one["has_body"] for one in shown] == [True, False]


async def test_search_finds_it_no_more_and_figures_still_count_it(
    http: httpx2.AsyncClient, before: dict[str, Any]
) -> None:
    assert (await http.get(f"{KEEP}?q=secret")).json()["data"] == []
    facets = (await http.get("/keep/v1/facets?values_of=run")).json()
    assert facets["looked_at"] == 1
    assert facets["facets"]["values"]["values"] == [{"value": "1", "count": 1}]
    stats = (await http.get("/keep/v1/stats")).json()["data"]
    assert [one["calls"] for one in stats] == [1]


async def test_its_metadata_is_updated_and_it_is_deleted_as_ever(
    client: AsyncOpenAI, before: dict[str, Any]
) -> None:
    updated = await client.chat.completions.update(before["id"], metadata={"grade": "good"})
    assert updated.metadata == {"grade": "good"}
    found = [one.id async for one in client.chat.completions.list(metadata={"grade": "good"})]
    assert found == [before["id"]]
    assert (await client.chat.completions.delete(before["id"])).deleted
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.retrieve(before["id"])
