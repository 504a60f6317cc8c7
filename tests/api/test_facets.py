"""GET /keep/v1/facets: which values there are."""

import json
from typing import Any

import pytest
from support import observed
from support.chatkeep_server import Chatkeep
from support.provider import Provider, Stream
from support.rawhttp import PATH, asked, get, post
from support.refusals import Refusal, assert_refusal, create, refused

FACETS = "/keep/v1/facets"


async def facets(chatkeep: Chatkeep, query: str = "", key: str | None = None) -> Any:
    reply = await asked(chatkeep.url, get(f"{FACETS}?{query}", key or chatkeep.key))
    assert reply.head.status == 200, reply.body
    body = json.loads(reply.body)
    assert (await observed.own(chatkeep.url)).problems("GET", FACETS, 200, body) == []
    assert body["complete"]
    return body


async def stored(chatkeep: Chatkeep, key: str | None = None, **fields: Any) -> None:
    body = create(store=True, **fields)
    await asked(chatkeep.url, post(PATH, body, key or chatkeep.key))


def counts(found: Any, name: str) -> dict[Any, int]:
    return {one["value"]: one["count"] for one in found["facets"][name]["values"]}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("limit=1", Refusal("UnknownParameter", "Unknown parameter: 'limit'.", "limit")),
        (
            "value_of=a",
            Refusal(
                "UnknownParameter",
                "Unknown parameter: 'value_of'. Did you mean 'values_of'?",
                "value_of",
            ),
        ),
        (
            "values_of=a%00",
            Refusal(
                "InvalidCharacter",
                "Invalid 'values_of': a key with the character NUL cannot be stored.",
                "values_of",
            ),
        ),
        (
            "status=good",
            Refusal(
                "InvalidValue",
                "Invalid value: 'good'. Supported values are: 'complete', 'partial' and"
                " 'failed_midstream'.",
                "status",
            ),
        ),
    ],
)
async def test_a_query_it_does_not_know_is_refused(
    chatkeep: Chatkeep, query: str, wanted: Refusal
) -> None:
    await refused(chatkeep.url, get(f"{FACETS}?{query}", chatkeep.key), wanted)


async def test_a_key_that_may_not_read_sees_no_values(chatkeep: Chatkeep) -> None:
    key = await chatkeep.add_key("sk-ck-writes", "default", "write")
    message = "This key may not do that: it needs the scope 'read'."
    reply = await asked(chatkeep.url, get(FACETS, key))
    assert_refusal(reply, Refusal("ScopeMissing", message))


async def test_values_are_counted(chatkeep: Chatkeep, provider: Provider) -> None:
    second = await chatkeep.add_key("sk-ck-second", "default", "create")
    await stored(chatkeep, model="a", metadata={"customer": "acme", "run": "1"})
    await stored(chatkeep, second, model="b", metadata={"customer": "acme"})
    await stored(chatkeep, model="b", metadata={"customer": "zoo"})
    provider.answer(Stream([b'data: {"id":"cut","choices":[{"index":0,"delta":{}}]}\n\n']))
    await stored(chatkeep, model="cut", stream=True)
    found = await facets(chatkeep)
    assert found["looked_at"] == 4
    assert counts(found, "status") == {"complete": 3, "failed_midstream": 1}
    assert counts(found, "finish_reason") == {"stop": 3, None: 1}
    assert counts(found, "upstream") == {"provider": 4}
    assert counts(found, "key") == {1: 3, 2: 1}
    assert counts(found, "metadata_keys") == {"customer": 3, "run": 1}
    assert counts(found, "model")["cut"] == 1
    assert "values" not in found["facets"]
    customers = await facets(chatkeep, "values_of=customer")
    assert counts(customers, "values") == {"acme": 2, "zoo": 1}
    assert counts(await facets(chatkeep, "values_of=nothing"), "values") == {}
    of_second = await facets(chatkeep, "values_of=run&metadata[customer]=acme&key=2")
    assert (of_second["looked_at"], counts(of_second, "values")) == (1, {})


async def test_values_are_those_of_the_own_project(chatkeep: Chatkeep) -> None:
    key = await chatkeep.add_key("sk-ck-theirs", "other")
    await stored(chatkeep, key, metadata={"secret": "plan"})
    found = await facets(chatkeep, "values_of=secret")
    assert found["looked_at"] == 0
    assert not any(facet["values"] for facet in found["facets"].values())
    assert (await facets(chatkeep, "values_of=secret", key))["looked_at"] == 1
