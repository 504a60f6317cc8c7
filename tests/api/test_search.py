"""Full text search through OpenAI's own client and in our own list."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI
from support.chatkeep_server import Chatkeep
from support.database import direct
from support.rawhttp import PATH, get
from support.refusals import Refusal, refused

from chatkeep.core.model import ids

KEEP = "/keep/v1/completions"
LISTS = pytest.mark.parametrize("path", [PATH, KEEP])


async def ask(client: AsyncOpenAI, text: str, **fields: Any) -> str:
    messages: list[Any] = [{"role": "user", "content": text}]
    created = await client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, store=True, **fields
    )
    return str(created.id)


async def found(client: AsyncOpenAI, q: str, **query: Any) -> list[str]:
    page = await client.chat.completions.list(extra_query={"q": q}, **query)
    return [completion.id async for completion in page]


@LISTS
async def test_a_search_of_more_than_512_characters_is_refused(
    chatkeep: Chatkeep, path: str
) -> None:
    wanted = Refusal(
        "StringTooLong",
        "Invalid 'q': string too long. Expected a string with maximum length 512, but got a string"
        " with length 513 instead.",
        "q",
    )
    await refused(chatkeep.url, get(f"{path}?q={'x' * 513}", chatkeep.key), wanted)


@LISTS
async def test_two_searches_at_once_are_refused(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(f"{path}?q=a&q=b")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "duplicate_parameter")


@LISTS
async def test_where_full_text_is_off_a_search_is_refused_and_a_list_is_not(
    chatkeep: Chatkeep, tmp_path: Path, path: str
) -> None:
    with direct(tmp_path / "chatkeep.db") as connection:
        connection.execute("UPDATE project SET full_text = 0")
    wanted = Refusal(
        "SearchOff",
        "The parameter 'q' cannot be used: full text search is off in this project.",
        "q",
    )
    await refused(chatkeep.url, get(f"{path}?q=x", chatkeep.key), wanted)
    async with chatkeep.client() as client:
        created = await ask(client, "kept all the same")
        assert [one.id async for one in client.chat.completions.list()] == [created]


@LISTS
@pytest.mark.parametrize("q", ["", "%22", "%00", "%ff", "*", "a:b", "NEAR(a,2)", "(", "\\", "'--"])
async def test_an_odd_search_is_an_empty_page_or_a_400(
    http: httpx2.AsyncClient, path: str, q: str
) -> None:
    answer = await http.get(f"{path}?q={q}")
    if q in ("%00", "%ff"):
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "q")
    else:
        assert (answer.status_code, answer.json()["data"]) == (200, [])


async def test_words_and_phrases_are_found_newest_first(client: AsyncOpenAI) -> None:
    first = await ask(client, "Where is Zürich?")
    second = await ask(client, "zurich is where I live")
    await ask(client, "Somewhere else")
    assert await found(client, "ZURICH") == [second, first]
    assert await found(client, "zürich", order="asc") == [first, second]
    assert await found(client, '"where is"') == [first]
    assert await found(client, '"is where" live') == [second]
    assert await found(client, "nowhere") == []


async def test_what_the_model_answered_is_found(client: AsyncOpenAI) -> None:
    created = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}], store=True
    )
    said = str(created.choices[0].message.content)
    assert await found(client, f'"{said}"') == [created.id]


async def test_what_was_streamed_is_found(client: AsyncOpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "a streamed question"}]
    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=messages, store=True, stream=True
    )
    (id,) = {chunk.id async for chunk in stream}
    assert await found(client, '"streamed question"') == [id]


async def test_a_search_pages_and_holds_together_with_other_filters(client: AsyncOpenAI) -> None:
    made = [
        await ask(client, f"word {'even' if n % 2 == 0 else 'odd'}", metadata={"n": str(n % 3)})
        for n in range(7)
    ]
    assert await found(client, "word odd", limit=1) == [made[5], made[3], made[1]]
    assert await found(client, "word", metadata={"n": "0"}, limit=2) == [made[6], made[3], made[0]]
    assert await found(client, "even", metadata={"n": "1"}, after=made[5]) == [made[4]]
    assert await found(client, "even", model="gpt-unknown") == []


async def test_deleted_completions_and_other_projects_are_not_found(
    chatkeep: Chatkeep, client: AsyncOpenAI
) -> None:
    gone, kept = await ask(client, "the secret word"), await ask(client, "a secret kept")
    await client.chat.completions.delete(gone)
    assert await found(client, "secret") == [kept]
    secret = await chatkeep.add_key("sk-ck-of-another-project", "other")
    async with chatkeep.client(secret) as stranger:
        assert await found(stranger, "secret") == []


async def test_our_own_list_is_the_same_with_the_second_of_arrival(
    client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    made = [await ask(client, f"word {n}", metadata={"n": str(n)}) for n in range(3)]
    for query in ("", "?limit=2", "?q=word", f"?after={made[2]}", "?order=asc&metadata[n]=1"):
        theirs, ours = (await http.get(PATH + query)).json(), (await http.get(KEEP + query)).json()
        for item in ours["data"]:
            name = ids.decode(item["id"])
            assert name is not None
            assert item["received_at"] == ids.second_of(name.seq)
        for item, shown in zip(ours["data"], theirs["data"], strict=True):
            assert {key: item[key] for key in shown} == shown
        assert ours["data"]
