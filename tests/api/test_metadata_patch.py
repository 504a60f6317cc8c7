"""PATCH /keep/v1/completions/{id}/metadata: single pairs change, the others stay."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.chatkeep_server import Chatkeep
from support.rawhttp import PATH, asked, get, head_of, post
from support.refusals import NOT_JSON, UNKNOWN, Refusal, create, refused, wrong_type

RECORDS = "/keep/v1/completions"
PROPERTY = settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

keys = st.sampled_from(["a", "b", "c", "", "é", '"'])
maps = st.dictionaries(keys, st.text(st.characters(codec="utf-8"), max_size=3), max_size=4).filter(
    lambda pairs: "\0" not in "".join(pairs.values())
)
patches = st.dictionaries(keys, st.none() | st.sampled_from(["", "1", "x y"]), max_size=4)


@pytest.fixture
async def id(chatkeep: Chatkeep) -> str:
    """A stored completion with two pairs."""
    body = create(store=True, metadata={"a": "1", "b": "2"})
    return (await asked(chatkeep.url, post(PATH, body, chatkeep.key))).head["x-chatkeep-id"]


def patch(id: str, body: bytes, key: str, **headers: str) -> bytes:
    given = {"content-length": str(len(body)), **headers}
    return head_of("PATCH", f"{RECORDS}/{id}/metadata", key, given) + body


async def metadata_of(chatkeep: Chatkeep, id: str) -> Any:
    reply = await asked(chatkeep.url, get(f"{PATH}/{id}", chatkeep.key))
    return json.loads(reply.body)["metadata"]


FULL = json.dumps({f"k{n}": "v" for n in range(15)}).encode()
MANY = "too many properties. Expected an object with at most 16 properties, but got an object with"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"", Refusal("NotJson", NOT_JSON)),
        (b"{", Refusal("NotJson", NOT_JSON)),
        (b"null", wrong_type("metadata", "a metadata object", "null")),
        (b"[]", wrong_type("metadata", "a metadata object", "an array")),
        (b'{"a":1}', wrong_type("metadata.a", "a string", "an integer")),
        (b'{"a":{}}', wrong_type("metadata.a", "a string", "an object")),
        (
            json.dumps({"a": "v" * 513}).encode(),
            Refusal(
                "StringTooLong",
                "Invalid 'metadata.a': string too long. Expected a string with maximum length 512,"
                " but got a string with length 513 instead.",
                "metadata.a",
            ),
        ),
        (
            json.dumps({"k" * 65: "v"}).encode(),
            Refusal(
                "PropertyNameTooLong",
                "Invalid property name in 'metadata': 'kkk...kkk' is too long. Expected a string"
                " with maximum length 64, but got a string with length 65 instead.",
                f"metadata.{'k' * 65}",
            ),
        ),
        (
            b'{"a":"\\u0000"}',
            Refusal(
                "InvalidCharacter",
                "Invalid 'metadata.a': a value with the character NUL cannot be stored.",
                "metadata.a",
            ),
        ),
        (
            FULL,
            Refusal(
                "TooManyProperties",
                f"Invalid 'metadata': {MANY} 17 properties instead.",
                "metadata",
            ),
        ),
    ],
)
async def test_what_cannot_be_merged_is_refused_in_the_updates_words(
    chatkeep: Chatkeep, id: str, body: bytes, wanted: Refusal
) -> None:
    await refused(chatkeep.url, patch(id, body, chatkeep.key), wanted)
    assert await metadata_of(chatkeep, id) == {"a": "1", "b": "2"}


async def test_an_unknown_completion_is_named(chatkeep: Chatkeep) -> None:
    wanted = Refusal("CompletionNotFound", f"Completion {UNKNOWN} not found", "completion_id")
    await refused(chatkeep.url, patch(UNKNOWN, b"{}", chatkeep.key), wanted)


@pytest.mark.parametrize("if_match", ['"other"', "", '"a", "b"'])
async def test_a_patch_of_what_was_changed_meanwhile_is_refused(
    chatkeep: Chatkeep, id: str, if_match: str
) -> None:
    message = (
        "The completion's metadata is not what If-Match names: it was changed meanwhile. Retrieve"
        " it again and repeat the update with its new ETag."
    )
    request = patch(id, b'{"a":"3"}', chatkeep.key, **{"if-match": if_match})
    await refused(chatkeep.url, request, Refusal("MetadataChanged", message))
    assert await metadata_of(chatkeep, id) == {"a": "1", "b": "2"}


async def test_it_sets_and_removes_and_leaves_the_rest(http: httpx2.AsyncClient, id: str) -> None:
    answer = await http.patch(f"{RECORDS}/{id}/metadata", json={"a": None, "c": "3", "d": None})
    assert (answer.status_code, answer.json()) == (200, {"b": "2", "c": "3"})
    assert (await http.get(f"{PATH}/{id}")).json()["metadata"] == {"b": "2", "c": "3"}
    for query, found in (("a]=1", 0), ("b]=2", 1), ("c]=3", 1)):
        assert len((await http.get(f"{PATH}?metadata[{query}")).json()["data"]) == found


async def test_a_full_map_can_be_changed_where_as_much_goes_as_comes(
    http: httpx2.AsyncClient, id: str
) -> None:
    full = {**{f"k{n}": "v" for n in range(14)}, "a": "1", "b": "2"}
    assert (await http.patch(f"{RECORDS}/{id}/metadata", json=full)).json() == {
        "a": "1",
        "b": "2",
        **full,
    }
    swapped = await http.patch(f"{RECORDS}/{id}/metadata", json={"a": None, "new": "1"})
    assert (swapped.status_code, len(swapped.json())) == (200, 16)
    emptied = dict.fromkeys([*full, "new", "x" * 1000])
    assert (await http.patch(f"{RECORDS}/{id}/metadata", json=emptied)).json() == {}


async def test_its_etag_is_the_one_that_retrieve_and_update_speak_of(
    http: httpx2.AsyncClient, id: str
) -> None:
    before = (await http.get(f"{PATH}/{id}")).headers["etag"]
    first = await http.patch(
        f"{RECORDS}/{id}/metadata", json={"c": "3"}, headers={"if-match": before}
    )
    assert first.headers["etag"] == (await http.get(f"{PATH}/{id}")).headers["etag"] != before
    late = await http.patch(
        f"{RECORDS}/{id}/metadata", json={"c": "4"}, headers={"if-match": before}
    )
    assert late.status_code == 412
    body = {"metadata": {"x": "y"}}
    headers = {"if-match": first.headers["etag"]}
    assert (await http.post(f"{PATH}/{id}", json=body, headers=headers)).status_code == 200


async def test_of_many_patches_at_once_none_is_lost(http: httpx2.AsyncClient, id: str) -> None:
    """Fourteen writers, each setting its own key again and again and removing it in between."""

    async def write(number: int) -> None:
        for value in ("x", None, "y", None, str(number)):
            answer = await http.patch(f"{RECORDS}/{id}/metadata", json={f"k{number}": value})
            assert answer.status_code == 200
            assert answer.json().get(f"k{number}") == value

    await asyncio.gather(*map(write, range(14)))
    found = (await http.get(f"{PATH}/{id}")).json()["metadata"]
    assert found == {"a": "1", "b": "2", **{f"k{n}": str(n) for n in range(14)}}


@given(before=maps, changes=patches)
@PROPERTY
async def test_the_result_is_the_merge_patch_of_the_standard(
    http: httpx2.AsyncClient, id: str, before: dict[str, str], changes: dict[str, str | None]
) -> None:
    await http.post(f"{PATH}/{id}", json={"metadata": before})
    answer = await http.patch(f"{RECORDS}/{id}/metadata", json=changes)
    wanted = {k: v for k, v in {**before, **changes}.items() if v is not None}
    assert (answer.status_code, answer.json()) == (200, wanted)
