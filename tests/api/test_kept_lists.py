"""GET /keep/v1/completions: the list of /v1 with what only this server knows."""

import json
from typing import Any

import pytest
from support import observed
from support.chatkeep_server import Chatkeep
from support.provider import Plain, Provider, Stream
from support.rawhttp import PATH, asked, get, post
from support.refusals import UNKNOWN, Refusal, assert_refusal, create, refused

from chatkeep.core.model import ids

RECORDS = "/keep/v1/completions"


async def stored(chatkeep: Chatkeep, key: str | None = None, **fields: Any) -> str:
    made = await asked(chatkeep.url, post(PATH, create(store=True, **fields), key or chatkeep.key))
    return made.head["x-chatkeep-id"]


async def listed(chatkeep: Chatkeep, query: str = "", key: str | None = None) -> Any:
    reply = await asked(chatkeep.url, get(RECORDS + query, key or chatkeep.key))
    assert reply.head.status == 200, reply.body
    body = json.loads(reply.body)
    assert (await observed.own(chatkeep.url)).problems("GET", RECORDS, 200, body) == []
    return body


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("x=1", Refusal("UnknownParameter", "Unknown parameter: 'x'.", "x")),
        (
            "limits=1",
            Refusal(
                "UnknownParameter",
                "Unknown parameter: 'limits'. Did you mean 'limit'?",
                "limits",
            ),
        ),
        (
            "after=x",
            Refusal(
                "InvalidValue", "Invalid value: 'x'. Expected the id of a completion.", "after"
            ),
        ),
    ],
)
async def test_a_query_it_does_not_know_is_refused(
    chatkeep: Chatkeep, query: str, wanted: Refusal
) -> None:
    await refused(chatkeep.url, get(f"{RECORDS}?{query}", chatkeep.key), wanted)


async def test_a_key_that_may_not_read_lists_nothing(chatkeep: Chatkeep) -> None:
    key = await chatkeep.add_key("sk-ck-writes", "default", "write")
    message = "This key may not do that: it needs the scope 'read'."
    reply = await asked(chatkeep.url, get(RECORDS, key))
    assert_refusal(reply, Refusal("ScopeMissing", message))


async def test_an_item_is_the_stored_object_with_the_second_it_arrived_in(
    chatkeep: Chatkeep,
) -> None:
    id = await stored(chatkeep, metadata={"a": "b"})
    (item,) = (await listed(chatkeep))["data"]
    whole = json.loads((await asked(chatkeep.url, get(f"{PATH}/{id}", chatkeep.key))).body)
    name = ids.decode(id)
    assert name is not None
    assert item["received_at"] == ids.second_of(name.seq)
    assert {key: item[key] for key in whole} == whole


async def test_what_the_upstream_says_under_our_names_does_not_stand_for_ours(
    chatkeep: Chatkeep, provider: Provider
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}}
    provider.answer(
        Plain(
            json.dumps({"id": "x", "choices": [choice], "received_at": "never", "more": 1}).encode()
        )
    )
    await stored(chatkeep)
    (item,) = (await listed(chatkeep))["data"]
    assert (type(item["received_at"]), item["more"]) == (int, 1)


async def test_it_pages_like_the_other_list(chatkeep: Chatkeep) -> None:
    made = [await stored(chatkeep, metadata={"n": str(n % 2)}) for n in range(4)]
    page = await listed(chatkeep, "?limit=1&metadata[n]=1")
    assert [item["id"] for item in page["data"]] == [made[3]]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[3], made[3], True)
    rest = await listed(chatkeep, f"?after={made[3]}&order=asc")
    assert rest == {**rest, "data": [], "has_more": False}
    assert [item["id"] for item in (await listed(chatkeep, f"?after={made[2]}"))["data"]] == [
        made[1],
        made[0],
    ]


async def test_it_shows_nothing_of_other_projects(chatkeep: Chatkeep) -> None:
    key = await chatkeep.add_key("sk-ck-others", "other")
    await stored(chatkeep, key)
    assert (await listed(chatkeep))["data"] == []
    assert (await listed(chatkeep, f"?after={UNKNOWN}"))["data"] == []
    assert len((await listed(chatkeep, key=key))["data"]) == 1


async def test_what_is_known_of_a_completion_stands_in_its_item(chatkeep: Chatkeep) -> None:
    await stored(chatkeep, stream=True)
    await stored(chatkeep)
    plain, streamed = (await listed(chatkeep))["data"]
    for item in (plain, streamed):
        assert (item["status"], item["upstream"], item["key"]) == ("complete", "provider", 1)
        assert item["duration_ms"] >= 0
    assert (plain["first_token_ms"], type(streamed["first_token_ms"])) == (None, int)


async def test_it_filters_by_what_is_known(chatkeep: Chatkeep, provider: Provider) -> None:
    second = await chatkeep.add_key("sk-ck-second", "default", "create")
    ours = await stored(chatkeep, metadata={"a": "1"})
    theirs = await stored(chatkeep, second)
    provider.answer(Stream([b'data: {"id":"cut","choices":[{"index":0,"delta":{}}]}\n\n']))
    cut = await stored(chatkeep, stream=True)
    for query, wanted in (
        ("key=1", [cut, ours]),
        ("key=2", [theirs]),
        ("key=2&metadata[a]=1", []),
        ("status=complete", [theirs, ours]),
        ("status=complete&key=1", [ours]),
        ("status=failed_midstream", [cut]),
        ("status=partial", []),
        ("finish_reason=stop&order=asc", [ours, theirs]),
        ("finish_reason=", []),
        ("upstream=provider&limit=1", [cut]),
        ("upstream=elsewhere", []),
    ):
        found = [item["id"] for item in (await listed(chatkeep, f"?{query}"))["data"]]
        assert found == wanted, query
