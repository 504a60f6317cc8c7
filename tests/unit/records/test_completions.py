"""The stored completions of a project: refusals first, then list, retrieve, update, delete."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from support.memory.store import MemoryStore
from support.samples import SECOND, as_json, import_one, keep, place, row, said, spoken

from chatkeep.core.model.completion import Project, Row
from chatkeep.core.model.ids import MAX_SEQ, Seq
from chatkeep.core.model.record import Record, cut
from chatkeep.core.records.completions import Completions
from chatkeep.errors import (
    AttachmentNotFound,
    BodyExpired,
    CompletionNotFound,
    InvalidType,
    InvalidValue,
    MetadataChanged,
    MissingParameter,
    NotJson,
    Refusal,
    SearchEncrypted,
    SearchOff,
    TooManyProperties,
    UnknownParameter,
)

Use = Callable[[Completions, Project, str], Awaitable[object]]
ONE = row(place(1), {"run": "1"})
NEW = b'{"metadata":{"run":"2"}}'
USES: dict[str, Use] = {
    "retrieve": lambda c, project, id: c.retrieve(project, id),
    "update": lambda c, project, id: c.update(project, id, NEW, None),
    "merge": lambda c, project, id: c.merge(project, id, b'{"run":null}', None),
    "delete": lambda c, project, id: c.delete(project, id),
    "messages": lambda c, project, id: c.messages(project, id, []),
    "conversation": lambda c, project, id: c.conversation(project, id, []),
    "attachment": lambda c, project, id: c.attachment(project, id, "0"),
    "raw request": lambda c, project, id: c.raw_request(project, id),
    "raw answer": lambda c, project, id: c.raw_answer(project, id),
}


@pytest.fixture
def completions(store: MemoryStore) -> Completions:
    return Completions(store)


async def listed(completions: Completions, project: Project, **pairs: str) -> list[str]:
    """The ids of a page."""
    body = msgspec.json.decode(await completions.page(project, list(pairs.items())))
    return [item["id"] for item in body["data"]]


async def talk(store: MemoryStore, project: Project) -> list[Row]:
    """Three turns, each going on from the one before."""
    rows: list[Row] = []
    messages: list[bytes] = []
    for turn in range(3):
        answer = b'{"role":"assistant","content":"answer %d"}' % turn
        messages.append(b'{"role":"user","content":"question %d"}' % turn)
        asked = cut(b'{"messages":[%b]}' % b",".join(messages), list(messages))
        rows.append(row(place(turn)))
        body = b'{"choices":[{"index":0,"message":%b}]}' % answer
        await store.insert(project, rows[-1], Record(asked, body, rows[-1].id, None))
        messages.append(answer)
    return rows


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
@pytest.mark.parametrize("id", ["x", "chatcmpl-x", "elsewhere", row(place(9)).id])
async def test_what_the_project_does_not_hold_is_not_found(
    completions: Completions, store: MemoryStore, project: Project, use: Use, id: str
) -> None:
    await keep(store, project, ONE)
    with pytest.raises(CompletionNotFound, match=id):
        await use(completions, project, id)


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
async def test_another_projects_completion_is_not_found_and_stays(
    completions: Completions, store: MemoryStore, project: Project, other: Project, use: Use
) -> None:
    await keep(store, other, ONE)
    await import_one(store, other, "elsewhere", SECOND, row(), said())
    before = await completions.page(other, [])
    for id in (ONE.id, "elsewhere"):
        with pytest.raises(CompletionNotFound):
            await use(completions, project, id)
    assert await completions.page(other, []) == before


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", NotJson),
        (b"[]", NotJson),
        (b"{}", MissingParameter),
        (b'{"metadata":{},"model":"m"}', UnknownParameter),
        (b'{"metadata":[]}', InvalidType),
        (b'{"metadata":{"a":1}}', InvalidType),
        (b'{"metadata":{"a":"\\u0000"}}', Refusal),
        (msgspec.json.encode({"metadata": {str(n): "" for n in range(17)}}), TooManyProperties),
    ],
)
async def test_an_update_that_cannot_be_used_changes_nothing(
    completions: Completions,
    store: MemoryStore,
    project: Project,
    body: bytes,
    refusal: type[Refusal],
) -> None:
    await keep(store, project, ONE)
    before = await completions.retrieve(project, ONE.id)
    with pytest.raises(refusal):
        await completions.update(project, ONE.id, body, None)
    assert await completions.retrieve(project, ONE.id) == before


async def test_an_update_replaces_the_metadata_and_gives_the_whole_object(
    completions: Completions, store: MemoryStore, project: Project
) -> None:
    await keep(store, project, ONE)
    before = await completions.retrieve(project, ONE.id)
    changed = await completions.update(project, ONE.id, NEW, None)
    assert changed.body == before.body.replace(b'"run":"1"', b'"run":"2"')
    assert changed.etag != before.etag
    assert await completions.retrieve(project, ONE.id) == changed
    for empty in (b'{"metadata":{}}', b'{"metadata":null}'):
        cleared = await completions.update(project, ONE.id, empty, None)
        assert b'"metadata":{}' in cleared.body


async def test_an_update_may_ask_for_what_it_knows(
    completions: Completions, store: MemoryStore, project: Project
) -> None:
    await keep(store, project, ONE)
    seen = (await completions.retrieve(project, ONE.id)).etag
    for change, body in ((completions.update, NEW), (completions.merge, b'{"run":"3"}')):
        with pytest.raises(MetadataChanged):
            await change(project, ONE.id, body, '"another"')
    assert await listed(completions, project, **{"metadata[run]": "1"}) == [ONE.id]
    await completions.update(project, ONE.id, NEW, seen)
    with pytest.raises(MetadataChanged):
        await completions.update(project, ONE.id, NEW, seen)


async def test_a_merge_changes_single_pairs(
    completions: Completions, store: MemoryStore, project: Project
) -> None:
    await keep(store, project, row(place(1), {"a": "1", "b": "2", "c": "3"}))
    shown = await completions.merge(project, row(place(1)).id, b'{"a":null,"b":"5","d":"4"}', None)
    assert shown.body == as_json({"b": "5", "c": "3", "d": "4"})


async def test_what_was_deleted_is_gone(
    completions: Completions, store: MemoryStore, project: Project
) -> None:
    await keep(store, project, ONE)
    deleted = msgspec.json.decode(await completions.delete(project, ONE.id))
    assert deleted == {"object": "chat.completion.deleted", "id": ONE.id, "deleted": True}
    with pytest.raises(CompletionNotFound):
        await completions.delete(project, ONE.id)


async def test_an_import_is_known_by_the_id_it_came_with(
    completions: Completions, store: MemoryStore, project: Project
) -> None:
    await import_one(store, project, "elsewhere", SECOND, row(), said())
    assert await listed(completions, project) == ["elsewhere"]
    assert b"elsewhere" in (await completions.retrieve(project, "elsewhere")).body
    assert await listed(completions, project, after="elsewhere") == []
    await completions.delete(project, "elsewhere")
    assert await listed(completions, project, after="elsewhere") == []


async def test_a_list_pages_and_filters(
    completions: Completions, store: MemoryStore, project: Project
) -> None:
    rows = [row(place(n), {"half": str(n % 2)}, model=f"m{n // 3}") for n in range(6)]
    await keep(store, project, *rows)
    ids = [one.id for one in rows]
    assert await listed(completions, project) == ids[::-1]
    assert await listed(completions, project, limit="2") == [ids[5], ids[4]]
    assert await listed(completions, project, after=ids[4], limit="2") == [ids[3], ids[2]]
    assert await listed(completions, project, order="asc", after=ids[4]) == [ids[5]]
    pairs = {"metadata[half]": "1", "model": "m1"}
    assert await listed(completions, project, **pairs) == [ids[5], ids[3]]


@pytest.mark.parametrize(
    ("pairs", "refusal"),
    [
        ([("after", "nobody")], InvalidValue),
        ([("status", "complete")], UnknownParameter),
        ([("order", "up")], InvalidValue),
    ],
)
async def test_a_list_that_cannot_be_meant_is_refused(
    completions: Completions,
    project: Project,
    pairs: list[tuple[str, str]],
    refusal: type[Refusal],
) -> None:
    with pytest.raises(refusal):
        await completions.page(project, pairs)


async def test_words_are_searched_where_they_can_be(
    completions: Completions, store: MemoryStore, project: Project
) -> None:
    await store.insert(project, ONE, spoken("the quick fox"))
    await store.insert(project, row(place(2)), spoken("the lazy dog"))
    assert await listed(completions, project, q='"quick fox"') == [ONE.id]
    with pytest.raises(SearchOff):
        await completions.page(msgspec.structs.replace(project, full_text=False), [("q", "fox")])
    store.encrypted = True
    with pytest.raises(SearchEncrypted):
        await completions.page(project, [("q", "fox")])


@pytest.mark.parametrize(
    ("pairs", "numbers", "more"),
    [
        ({}, [0, 1, 2, 3, 4], False),
        ({"order": "desc"}, [4, 3, 2, 1, 0], False),
        ({"limit": "2"}, [0, 1], True),
        ({"limit": "0"}, [], False),
        ({"after": 1}, [2, 3, 4], False),
        ({"after": 1, "order": "desc"}, [0], False),
        ({"after": 4}, [], False),
        ({"after": 99}, [], False),
    ],
)
async def test_messages_page_in_both_orders(
    completions: Completions,
    store: MemoryStore,
    project: Project,
    pairs: dict[str, Any],
    numbers: list[int],
    more: bool,
) -> None:
    last = (await talk(store, project))[-1]
    if "after" in pairs:
        pairs = pairs | {"after": f"{last.id}-{pairs['after']}"}
    body = msgspec.json.decode(await completions.messages(project, last.id, pairs.items()))
    assert [item["id"] for item in body["data"]] == [f"{last.id}-{n}" for n in numbers]
    assert body["has_more"] is more


@pytest.mark.parametrize("after", ["", "x", "0", "{}", "{}-", "{}-x", "{}--1", "{}-1234567890"])
async def test_messages_go_on_after_a_message_of_theirs_only(
    completions: Completions, store: MemoryStore, project: Project, after: str
) -> None:
    await keep(store, project, ONE)
    with pytest.raises(InvalidValue):
        await completions.messages(project, ONE.id, [("after", after.format(ONE.id))])


async def test_a_conversation_shows_each_turn_with_the_one_before_it(
    completions: Completions, store: MemoryStore, project: Project
) -> None:
    rows = await talk(store, project)
    await keep(store, project, row(place(9)))
    ids = [one.id for one in rows]
    for one in rows:
        body = msgspec.json.decode(await completions.conversation(project, one.id, []))
        assert [item["id"] for item in body["data"]] == ids
        assert [item["parent"] for item in body["data"]] == [None, *ids[:2]]
    pairs = {"order": "desc", "limit": "1", "after": ids[2]}
    body = msgspec.json.decode(await completions.conversation(project, ids[0], pairs.items()))
    assert ([item["id"] for item in body["data"]], body["has_more"]) == ([ids[1]], True)


async def test_the_bytes_both_ways_come_back_until_they_expire(
    completions: Completions, store: MemoryStore, project: Project
) -> None:
    record = said("one", "two")
    await store.insert(project, ONE, record)
    assert await completions.raw_request(project, ONE.id) == record.request.whole()
    assert await completions.raw_answer(project, ONE.id) == record.answer
    await store.expire_bodies(project, Seq(MAX_SEQ), 1)
    for use in ("raw request", "raw answer", "messages", "attachment"):
        with pytest.raises(BodyExpired):
            await USES[use](completions, project, ONE.id)
    assert await listed(completions, project) == [ONE.id]


@pytest.mark.parametrize("number", ["1", "-1", "x", "", "9" * 30])
async def test_only_attachments_there_are_can_be_had(
    completions: Completions, store: MemoryStore, project: Project, number: str
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    await store.insert(project, ONE, spoken({"role": "user", "content": [image]}))
    assert (await completions.attachment(project, ONE.id, "0")).content == b"hi"
    with pytest.raises(AttachmentNotFound):
        await completions.attachment(project, ONE.id, number)
