"""Pages of completions and of messages through OpenAI's own client, and who sees which."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from support.chatkeep_server import Chatkeep
from support.observed import checking
from support.rawhttp import PATH

from chatkeep.core.model import ids

MODEL = "gpt-4o-mini-2024-07-18"  # what the provider resolves gpt-4o-mini to
PARTS: list[Any] = [
    {"type": "text", "text": "Whose leaf is it?: "},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    {"type": "text", "text": "Be short."},
]
CONVERSATION: list[Any] = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": "one", "name": "Zo\u00eb"},
    {"role": "assistant", "content": None, "tool_calls": [], "refusal": None},
    {"role": "tool", "content": "3", "tool_call_id": "call_1"},
    {"role": "user", "content": PARTS},
]


async def create(client: AsyncOpenAI, messages: Any = None, **fields: Any) -> str:
    fields.setdefault("model", "gpt-4o-mini")
    given = messages or [{"role": "user", "content": "hi"}]
    completion = await client.chat.completions.create(messages=given, store=True, **fields)
    return str(completion.id)


@pytest.fixture
async def seven(client: AsyncOpenAI) -> list[str]:
    """Seven completions, oldest first."""
    return [await create(client, metadata={"n": str(n), "half": str(n % 2)}) for n in range(7)]


async def test_an_empty_list_has_the_recorded_bytes(http: httpx2.AsyncClient) -> None:
    answer = await http.get(PATH)
    expected = '{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'
    assert (answer.status_code, answer.text) == (200, expected)


async def test_a_list_is_newest_first_unless_asked_otherwise(
    client: AsyncOpenAI, seven: list[str]
) -> None:
    completions = client.chat.completions
    newest = [completion.id async for completion in completions.list()]
    asked = [completion.id async for completion in completions.list(order="desc")]
    oldest = [completion.id async for completion in completions.list(order="asc")]
    assert newest == asked == seven[::-1]
    assert oldest == seven


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 6, 7, 8])
async def test_the_clients_own_paging_finds_every_row_once(
    client: AsyncOpenAI, seven: list[str], limit: int, order: Any
) -> None:
    page = await client.chat.completions.list(limit=limit, order=order)
    assert page.has_more == (limit < 7)
    found = [completion.id async for completion in page]
    assert found == (seven if order == "asc" else seven[::-1])


async def test_a_page_names_its_ends(client: AsyncOpenAI, seven: list[str]) -> None:
    page: Any = await client.chat.completions.list(limit=3, after=seven[5])
    assert [completion.id for completion in page.data] == [seven[4], seven[3], seven[2]]
    assert (page.first_id, page.last_id, page.has_more) == (seven[4], seven[2], True)


async def test_paging_neither_skips_nor_repeats_while_others_come_and_go(
    client: AsyncOpenAI, seven: list[str]
) -> None:
    page = await client.chat.completions.list(limit=2)
    found = [completion.id for completion in page.data]
    while page.has_next_page():
        await create(client)
        await client.chat.completions.delete(page.data[-1].id)  # the place the next page goes on
        page = await page.get_next_page()
        found += [completion.id for completion in page.data]
    assert found == seven[::-1]


async def test_a_limit_of_zero_is_an_empty_page(client: AsyncOpenAI, seven: list[str]) -> None:
    page = await client.chat.completions.list(limit=0)
    assert (page.data, page.has_more) == ([], False)
    messages = await client.chat.completions.messages.list(seven[0], limit=0)
    assert (messages.data, messages.has_more) == ([], False)


async def test_without_a_limit_a_page_has_twenty(client: AsyncOpenAI) -> None:
    await asyncio.gather(*(create(client) for _ in range(21)))
    page = await client.chat.completions.list()
    assert (len(page.data), page.has_more) == (20, True)
    assert len((await client.chat.completions.list(limit=100)).data) == 21


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"metadata": {"n": "3"}}, [3]),
        ({"metadata": {"half": "1"}}, [5, 3, 1]),
        ({"metadata": {"half": "1", "n": "3"}}, [3]),
        ({"metadata": {"half": "0", "n": "3"}}, []),
        ({"metadata": {"half": ""}}, []),
        ({"metadata": {"Half": "1"}}, []),
        ({"metadata": {"half": "1"}, "order": "asc", "limit": 2}, [1, 3]),
        ({"model": MODEL, "metadata": {"half": "1"}}, [5, 3, 1]),
        ({"model": "gpt-4o-mini"}, []),
        ({"extra_query": {"created_after": 1_000_000_000}}, [6, 5, 4, 3, 2, 1, 0]),
        ({"extra_query": {"created_after": 4_000_000_000}}, []),
        ({"extra_query": {"created_before": 1_000_000_000}}, []),
        ({"extra_query": {"created_before": 4_000_000_000}}, [6, 5, 4, 3, 2, 1, 0]),
    ],
    ids=str,
)
async def test_filters_are_exact_and_all_must_fit(
    client: AsyncOpenAI, seven: list[str], query: dict[str, Any], wanted: list[int]
) -> None:
    page = await client.chat.completions.list(**query)
    assert [seven.index(completion.id) for completion in page.data] == wanted


async def test_times_are_the_seconds_of_arrival_ends_included(client: AsyncOpenAI) -> None:
    """The provider's `created` is years ago."""
    id = await create(client)
    name = ids.decode(id)
    assert name is not None
    second = ids.second_of(name.seq)
    for query, found in (
        ({"created_after": second, "created_before": second}, [id]),
        ({"created_after": second + 1}, []),
        ({"created_before": second - 1}, []),
    ):
        page = await client.chat.completions.list(extra_query=query)
        assert [completion.id for completion in page.data] == found


async def test_a_filtered_list_pages_like_any(client: AsyncOpenAI, seven: list[str]) -> None:
    page = await client.chat.completions.list(metadata={"half": "0"}, limit=2)
    assert page.has_more
    assert [completion.id async for completion in page] == [seven[n] for n in (6, 4, 2, 0)]


@pytest.mark.parametrize(
    "pair", [("a.b", "1"), ('q"uo]te[', "%&=+"), ("\u6771", "\U0001f680 x"), ("", "")]
)
@pytest.mark.parametrize("raw", [True, False], ids=["raw brackets", "encoded brackets"])
async def test_any_pair_can_be_filtered_by(
    client: AsyncOpenAI, http: httpx2.AsyncClient, pair: tuple[str, str], raw: bool
) -> None:
    key, value = pair
    created = await create(client, metadata={key: value, "more": "x"})
    await create(client, metadata={key: value + "x"})
    if raw:
        encoded = httpx2.QueryParams({key: value})
        name, _, text = str(encoded).partition("=")
        page = (await http.get(f"{PATH}?metadata[{name}]={text}")).json()
        assert [row["id"] for row in page["data"]] == [created]
    else:
        listed = await client.chat.completions.list(metadata={key: value})
        assert [completion.id for completion in listed.data] == [created]


@pytest.fixture
async def conversation(client: AsyncOpenAI) -> str:
    return await create(client, CONVERSATION)


async def test_messages_are_the_requests_own_in_order(
    client: AsyncOpenAI, http: httpx2.AsyncClient, conversation: str
) -> None:
    answer = await http.get(f"{PATH}/{conversation}/messages")
    items = answer.json()["data"]
    assert [list(item)[:5] for item in items] == [
        ["id", "role", "content", "content_parts", "name"]
    ] * 5
    assert [item["id"] for item in items] == [f"{conversation}-{n}" for n in range(5)]
    for item, sent in zip(items[:4], CONVERSATION, strict=False):
        shown = {"content_parts": None, "name": None, "id": item["id"]}
        assert item == {**shown, **sent}
    listed = await client.chat.completions.messages.list(conversation)
    assert [message.role for message in listed.data] == [sent["role"] for sent in CONVERSATION]


async def test_array_content_is_shown_as_text_and_as_parts(
    http: httpx2.AsyncClient, conversation: str
) -> None:
    nothing = {"text": None, "image_url": None, "input_audio": None, "file": None}
    (item,) = (await http.get(f"{PATH}/{conversation}/messages?limit=1&order=desc")).json()["data"]
    assert item["content"] == "Whose leaf is it?:   Be short."  # an image adds an empty text
    assert item["content_parts"] == [
        {"type": "text", **nothing, "text": "Whose leaf is it?: "},
        {
            "type": "image_url",
            **nothing,
            "image_url": {"url": "https://example.com/a.png", "detail": None},
        },
        {"type": "text", **nothing, "text": "Be short."},
    ]
    assert list(item["content_parts"][0]) == ["type", "text", "image_url", "input_audio", "file"]


async def test_without_a_limit_a_page_has_twenty_messages(client: AsyncOpenAI) -> None:
    id = await create(client, [{"role": "user", "content": f"{n}"} for n in range(101)])
    page = await client.chat.completions.messages.list(id)
    assert [message.content for message in page.data] == [f"{n}" for n in range(20)]
    assert page.has_more
    assert [message.content async for message in page] == [f"{n}" for n in range(101)]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6])
async def test_the_clients_own_paging_finds_every_message_once(
    client: AsyncOpenAI, conversation: str, limit: int, order: Any
) -> None:
    page = await client.chat.completions.messages.list(conversation, limit=limit, order=order)
    assert page.has_more == (limit < 5)
    found = [message.id async for message in page]
    expected = [f"{conversation}-{n}" for n in range(5)]
    assert found == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("after={id}-1", [2, 3, 4]),
        ("after={id}-1&order=desc", [0]),
        ("after={id}-4", []),
        ("after={id}-99", []),
        ("after={id}-99&order=desc", [4, 3, 2, 1, 0]),
        ("after={id}-0&order=desc", []),
    ],
)
async def test_messages_go_on_after_a_place(
    http: httpx2.AsyncClient, conversation: str, query: str, wanted: list[int]
) -> None:
    path = f"{PATH}/{conversation}/messages?{query.format(id=conversation)}"
    page = (await http.get(path)).json()
    expected = [f"{conversation}-{n}" for n in wanted]
    assert [item["id"] for item in page["data"]] == expected
    ends = (expected[0], expected[-1]) if expected else (None, None)
    assert (page["first_id"], page["last_id"], page["has_more"]) == (*ends, False)


@pytest.fixture
async def stranger(chatkeep: Chatkeep) -> AsyncIterator[AsyncOpenAI]:
    """A client with a key of another project."""
    secret = await chatkeep.add_key("sk-ck-of-another-project", "other")
    async with chatkeep.client(secret, http_client=checking()) as client:
        yield client


async def test_another_projects_completions_are_not_seen(
    client: AsyncOpenAI, stranger: AsyncOpenAI
) -> None:
    ours, theirs = await create(client, metadata={"a": "b"}), await create(stranger)
    pages = stranger.chat.completions
    queries: list[dict[str, Any]] = [{}, {"metadata": {"a": "b"}}, {"model": MODEL}]
    for query in queries:
        assert ours not in [completion.id async for completion in pages.list(**query)]
    assert [completion.id async for completion in pages.list(after=ours, order="asc")] == [theirs]
    assert [completion.id async for completion in client.chat.completions.list()] == [ours]


async def test_another_projects_completion_is_like_an_unknown_one(
    client: AsyncOpenAI, stranger: AsyncOpenAI
) -> None:
    ours = await create(client, metadata={"a": "b"})
    completions = stranger.chat.completions
    for asked in (
        completions.retrieve(ours),
        completions.update(ours, metadata={"a": "stolen"}),
        completions.delete(ours),
        completions.messages.list(ours),
    ):
        with pytest.raises(openai.NotFoundError, match=f"Completion {ours} not found"):
            await asked
    assert (await client.chat.completions.retrieve(ours)).metadata == {"a": "b"}
