"""The completions of one conversation, linked by what each goes on from."""

from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI
from support.chatkeep_server import Chatkeep
from support.rawhttp import get
from support.refusals import UNKNOWN, Refusal, refused

KEEP = "/keep/v1/completions"


class Talk:
    """Calls the model as an agent does, with the whole history each time."""

    def __init__(self, client: AsyncOpenAI, *history: Any) -> None:
        self._client = client
        self.history: list[Any] = list(history)
        self.id = ""

    async def say(self, text: str) -> "Talk":
        """The conversation one turn further."""
        asked = [*self.history, {"role": "user", "content": text}]
        answer = await self._client.chat.completions.create(model="m", messages=asked, store=True)
        said = {"role": "assistant", "content": answer.choices[0].message.content}
        further = Talk(self._client, *asked, said)
        further.id = answer.id
        return further


async def conversation(http: httpx2.AsyncClient, id: str, query: str = "") -> dict[str, Any]:
    answer = await http.get(f"{KEEP}/{id}/conversation{query}")
    assert answer.status_code == 200
    page: dict[str, Any] = answer.json()
    return page


def links(page: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(item["id"], item["parent"]) for item in page["data"]]


async def test_an_unknown_completion_has_no_conversation(chatkeep: Chatkeep) -> None:
    wanted = Refusal("CompletionNotFound", f"Completion {UNKNOWN} not found", "completion_id")
    await refused(chatkeep.url, get(f"{KEEP}/{UNKNOWN}/conversation", chatkeep.key), wanted)


async def test_every_turn_shows_all_turns_and_the_parent_of_each(
    client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    first = await Talk(client).say("one")
    second = await first.say("two")
    third = await second.say("three")
    await Talk(client).say("something else")
    wanted = [(first.id, None), (second.id, first.id), (third.id, second.id)]
    for id in (first.id, second.id, third.id):
        assert links(await conversation(http, id)) == wanted


async def test_a_long_conversation_is_linked_turn_by_turn(
    client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    """Every 16th record builds on another than the turn before."""
    talk = Talk(client)
    made = []
    for number in range(36):
        talk = await talk.say(f"turn {number}")
        made.append(talk.id)
    page = await conversation(http, made[20], "?limit=100")
    assert links(page) == list(zip(made, [None, *made], strict=False))


async def test_branches_and_repetitions_follow_what_they_went_on_from(
    client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    first = await Talk(client).say("one")
    left, right = await first.say("left"), await first.say("right")
    again = await first.say("left")
    wanted = [(first.id, None), *((one.id, first.id) for one in (left, right, again))]
    assert links(await conversation(http, again.id)) == wanted


async def test_what_followed_a_deleted_turn_stays_in_the_conversation(
    client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    first = await Talk(client).say("one")
    second = await first.say("two")
    third = await second.say("three")
    await client.chat.completions.delete(second.id)
    assert links(await conversation(http, third.id)) == [(first.id, None), (third.id, None)]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_conversation_has_pages(
    client: AsyncOpenAI, http: httpx2.AsyncClient, order: str
) -> None:
    talk = Talk(client)
    made = []
    for number in range(5):
        talk = await talk.say(str(number))
        made.append(talk.id)
    seen: list[str] = []
    after, more = "", True
    while more:
        page = await conversation(http, made[0], f"?limit=2&order={order}{after}")
        seen += [item["id"] for item in page["data"]]
        after, more = f"&after={page['last_id']}", page["has_more"]
    assert seen == (made if order == "asc" else made[::-1])
    assert (await conversation(http, made[0], "?limit=0"))["data"] == []
