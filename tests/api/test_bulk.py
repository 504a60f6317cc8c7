"""POST /keep/v1/completions/bulk: what a filter finds is deleted, tagged or counted."""

import json
from typing import Any

import pytest
from support import observed
from support.chatkeep_server import Chatkeep
from support.rawhttp import asked, post
from support.refusals import Refusal, assert_refusal, refused, wrong_type
from support.samples import keep, place, row

from chatkeep.core.accounts.projects import changed
from chatkeep.core.model.completion import Project, Query

BULK = "/keep/v1/completions/bulk"
NEITHER = 'a filter, or "all": true for all completions, and not both'


async def default(chatkeep: Chatkeep) -> Project:
    project = await chatkeep.store.project("default")
    assert project is not None
    return project


@pytest.fixture
async def planted(chatkeep: Chatkeep) -> Project:
    """Forty completions, the odd ones of another model; the first ten of a run."""
    project = await default(chatkeep)
    for n in range(40):
        metadata = {"run": "7", "n": str(n)} if n < 10 else {"n": str(n)}
        one = row(place(n), metadata, model="odd" if n % 2 else "even")
        await keep(chatkeep.store, project, one)
    return project


async def left(chatkeep: Chatkeep, **query: Any) -> list[str]:
    """The numbers of the completions there are."""
    found = Query(limit=100, order="asc", **query)
    page = await chatkeep.store.page(await default(chatkeep), found)
    return [json.loads(item.row.metadata)["n"] for item in page.items]


async def told(chatkeep: Chatkeep, **body: Any) -> Any:
    request = post(BULK, json.dumps(body).encode(), chatkeep.key)
    reply = await asked(chatkeep.url, request)
    assert reply.head.status == 200, reply.body
    answer = json.loads(reply.body)
    assert (await observed.own(chatkeep.url)).problems("POST", BULK, 200, answer) == []
    return answer


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            {"delete": True},
            Refusal("UnusableValue", f"filter is null; give {NEITHER}.", "filter"),
        ),
        (
            {"filter": {}, "delete": True},
            Refusal("UnusableValue", f"filter is an object; give {NEITHER}.", "filter"),
        ),
        (
            {"filter": {"metadata": {}}, "delete": True},
            Refusal("UnusableValue", f"filter is an object; give {NEITHER}.", "filter"),
        ),
        (
            {"filter": {"model": "odd"}, "all": True, "delete": True},
            Refusal("UnusableValue", f"filter is an object; give {NEITHER}.", "filter"),
        ),
        ({"filter": 1, "delete": True}, wrong_type("filter", "an object", "an integer")),
        ({"all": 1, "delete": True}, wrong_type("all", "a boolean", "an integer")),
        ({"all": True, "delete": "no"}, wrong_type("delete", "a boolean", "a string")),
        (
            {"all": True, "delete": True, "dry_run": None},
            wrong_type("dry_run", "a boolean", "null"),
        ),
        ({"all": True, "delete": True, "after": 1}, wrong_type("after", "a string", "an integer")),
        (
            {"all": True, "delete": True, "after": "x"},
            Refusal(
                "InvalidValue", "Invalid value: 'x'. Expected the id of a completion.", "after"
            ),
        ),
        (
            {"filter": {"modell": "odd"}, "delete": True},
            Refusal(
                "UnknownParameter",
                "Unknown parameter: 'filter.modell'. Did you mean 'model'?",
                "filter.modell",
            ),
        ),
        (
            {"filter": {"limit": 3}, "delete": True},
            Refusal("UnknownParameter", "Unknown parameter: 'filter.limit'.", "filter.limit"),
        ),
        (
            {"filter": {"model": 1}, "delete": True},
            wrong_type("filter.model", "a string", "an integer"),
        ),
        (
            {"filter": {"key": "1"}, "delete": True},
            wrong_type("filter.key", "an integer", "a string"),
        ),
        (
            {"filter": {"created_before": 1.5}, "delete": True},
            wrong_type("filter.created_before", "an integer", "a decimal number"),
        ),
        (
            {"filter": {"metadata": {"a": 1}}, "delete": True},
            wrong_type("filter.metadata.a", "a string", "an integer"),
        ),
        (
            {"all": True},
            Refusal("MissingParameter", "Missing required parameter: 'delete'.", "delete"),
        ),
        (
            {"all": True, "delete": True, "metadata": {"a": "b"}},
            Refusal("UnusableValue", "delete is true; give either delete or metadata.", "delete"),
        ),
        (
            {"all": True, "metadata": {"a": 1}},
            wrong_type("metadata.a", "a string", "an integer"),
        ),
        (
            {"all": True, "metadata": {f"k{n}": "v" for n in range(17)}},
            Refusal(
                "TooManyProperties",
                "Invalid 'metadata': too many properties. Expected an object with at most 16"
                " properties, but got an object with 17 properties instead.",
                "metadata",
            ),
        ),
    ],
)
async def test_what_is_not_said_clearly_is_refused_and_changes_nothing(
    chatkeep: Chatkeep, planted: Project, body: Any, wanted: Refusal
) -> None:
    before = await chatkeep.store.page(planted, Query(limit=100))
    await refused(chatkeep.url, post(BULK, json.dumps(body).encode(), chatkeep.key), wanted)
    assert await chatkeep.store.page(planted, Query(limit=100)) == before


async def test_a_key_that_may_only_read_deletes_and_counts_nothing(
    chatkeep: Chatkeep, planted: Project
) -> None:
    key = await chatkeep.add_key("sk-ck-reads", "default", "read", "create")
    message = "This key may not do that: it needs the scope 'write'."
    for more in ({}, {"dry_run": True}):
        body = json.dumps({"all": True, "delete": True, **more}).encode()
        reply = await asked(chatkeep.url, post(BULK, body, key))
        assert_refusal(reply, Refusal("ScopeMissing", message))
    assert len(await left(chatkeep)) == 40


async def test_another_projects_completions_are_not_reached(
    chatkeep: Chatkeep, planted: Project
) -> None:
    theirs = await chatkeep.add_key("sk-ck-theirs", "theirs", "write")
    async with chatkeep.http(theirs) as http:
        answer = (await http.post(BULK, json={"all": True, "delete": True})).json()
    assert (answer["matched"], answer["deleted"]) == (0, 0)
    assert len(await left(chatkeep)) == 40


@pytest.mark.parametrize(
    ("filter", "matched"),
    [
        ({"model": "odd"}, 20),
        ({"metadata": {"run": "7"}}, 10),
        ({"metadata": {"run": "7"}, "model": "odd"}, 5),
        ({"metadata": {"run": "8"}}, 0),
        ({"status": "complete", "finish_reason": "stop", "upstream": "default"}, 40),
        ({"status": "partial"}, 0),
        ({"created_after": 1_760_000_001}, 0),
        ({"created_before": 1_760_000_000}, 40),
        ({"key": 1}, 0),
        ({"q": "hello"}, 40),
        ({"q": "goodbye"}, 0),
    ],
)
async def test_a_dry_run_counts_what_then_is_deleted_and_nothing_else_goes(
    chatkeep: Chatkeep, planted: Project, filter: Any, matched: int
) -> None:
    counted = await told(chatkeep, filter=filter, delete=True, dry_run=True)
    assert counted == {"matched": matched, "complete": True}
    assert len(await left(chatkeep)) == 40
    answer = await told(chatkeep, filter=filter, delete=True)
    assert (answer["matched"], answer["deleted"], answer["complete"]) == (matched, matched, True)
    assert len(await left(chatkeep)) == 40 - matched


async def test_all_are_deleted_when_that_is_said(chatkeep: Chatkeep, planted: Project) -> None:
    answer = await told(chatkeep, all=True, delete=True)
    assert (answer["matched"], answer["deleted"]) == (40, 40)
    assert await left(chatkeep) == []
    again = await told(chatkeep, all=True, delete=True)
    assert (again["matched"], again["deleted"], again["last_id"]) == (0, 0, None)


async def test_it_begins_behind_the_id_that_is_given(chatkeep: Chatkeep, planted: Project) -> None:
    page = await chatkeep.store.page(planted, Query(limit=100))
    third = page.items[2].row.id
    answer = await told(chatkeep, filter={"model": "odd"}, after=third, delete=True)
    assert answer["deleted"] == 18
    assert [n for n in await left(chatkeep) if int(n) % 2] == ["37", "39"]


async def test_metadata_is_merged_into_what_each_has(chatkeep: Chatkeep, planted: Project) -> None:
    patch = {"run": None, "checked": "yes"}
    answer = await told(chatkeep, filter={"model": "even"}, metadata=patch)
    assert (answer["matched"], answer["changed"], answer["refused"]) == (20, 20, 0)
    assert len(await left(chatkeep, metadata={"checked": "yes"})) == 20
    assert await left(chatkeep, metadata={"run": "7"}) == ["1", "3", "5", "7", "9"]
    again = await told(chatkeep, filter={"model": "even"}, metadata=patch)
    assert (again["matched"], again["changed"]) == (20, 0)


async def test_what_has_no_room_for_more_pairs_is_counted_and_left(
    chatkeep: Chatkeep, planted: Project
) -> None:
    full = {f"k{number}": "v" for number in range(15)}
    await keep(chatkeep.store, planted, row(place(50), {"n": "50", **full}))
    answer = await told(chatkeep, all=True, metadata={"new": "1"})
    assert (answer["matched"], answer["changed"], answer["refused"]) == (41, 40, 1)
    assert len(await left(chatkeep, metadata={"new": "1"})) == 40


async def test_without_full_text_words_find_nothing_to_delete(
    chatkeep: Chatkeep, planted: Project
) -> None:
    await chatkeep.store.change_project(planted.id, changed({"full_text": False}))
    body = json.dumps({"filter": {"q": "hello"}, "delete": True}).encode()
    wanted = "The parameter 'q' cannot be used: full text search is off in this project."
    await refused(chatkeep.url, post(BULK, body, chatkeep.key), Refusal("SearchOff", wanted, "q"))
    assert len(await left(chatkeep)) == 40
