"""Exchanges as OpenAI answers them, made again with chatkeep: the provider answers what OpenAI
answered, and everything after that must be answered as OpenAI did, but for what is decided
(DESIGN.md §2):

- visible at once: where OpenAI said 404, or listed without it, what it had stored a second before
- `request_id` and the id are ours; `seed` is the request's or null
- fields of the answer that OpenAI drops are kept, after or inside the recorded ones
- an image's URL stays what it was, and is not fetched into a data URL
"""

import copy
import json
import re
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from support import observed
from support.chatkeep_server import Chatkeep
from support.exchanges import ALL, LIVES, entries_of, is_recorded
from support.provider import Plain, Provider
from support.rawhttp import PATH
from support.refusals import REQUEST_ID

Json = dict[str, Any]

OF_STORED = ("top_p", "temperature", "presence_penalty", "frequency_penalty", "tool_choice")
DELETED_BYTES = 97
EMPTY_PAGE_BYTES = 75


def rows(entry: Json) -> list[Json]:
    """The objects of a recorded page, without the string that stands for the rest."""
    body = entry["response_body"]
    return [row for row in body.get("data", []) if isinstance(row, dict)]


class Replay:
    """One recording against one server. `ours` has our id for each recorded one."""

    def __init__(
        self, provider: Provider, http: httpx2.AsyncClient, api: observed.Document | None = None
    ) -> None:
        self.ours: dict[str, str] = {}
        self.living: list[str] = []  # recorded ids, oldest first
        self._provider = provider
        self._http = http
        self._api = api

    async def seed(self, recorded: list[Json]) -> None:
        """Stores what was in OpenAI's store already, as its lists show."""
        created = {e["response_body"].get("id") for e in recorded if e["request_body"]}
        pages = [row for e in recorded for row in rows(e) if row.get("object")]
        old = {row["id"]: row for row in pages if row["id"] not in created}
        for _ in range(21):  # so that has_more is as true as it was
            filler = {"model": "m", "messages": [{"role": "user"}], "store": True}
            assert (await self._http.post(PATH, json=filler)).status_code == 200
        for row in sorted(old.values(), key=lambda row: cast(int, row["created"])):
            asked = {"model": row["model"], "messages": [{}], "metadata": row["metadata"]}
            kept = ("object", "id", "created", "model", "choices", "usage", "system_fingerprint")
            answer = {key: row[key] for key in (*kept, "service_tier")}
            await self._store(asked | {key: row[key] for key in OF_STORED}, answer)

    async def create(self, entry: Json) -> None:
        asked, answer = entry["request_body"], entry["response_body"]
        got = await self._store(asked, answer)
        assert got | {"id": answer["id"]} == answer
        sent = self._provider.requests[-1].json()
        assert sent == {k: v for k, v in asked.items() if k not in ("store", "metadata")}

    async def _store(self, asked: Json, answer: Json) -> Json:
        self._provider.answer(Plain(json.dumps(answer).encode()))
        got = await self._http.post(PATH, json={**asked, "store": True})
        assert got.status_code == 200
        self.ours[answer["id"]] = got.json()["id"]
        self.living.append(answer["id"])
        return cast(Json, got.json())

    async def ask(self, entry: Json) -> None:
        parts = urlsplit(entry["uri"])
        target = self._mapped(f"{parts.path}?{parts.query}") + self._pass_unseen(entry)
        body = entry["request_body"]
        got = await self._http.request(
            entry["method"], target, **({} if body is None else {"json": body})
        )
        await observed.check_response(got, self._api)
        living = [id for id in self.living if id in parts.path]
        if entry["status"] == 404 and living:  # not seen yet by OpenAI's store
            assert got.status_code == 200
        else:
            assert got.status_code == entry["status"]
            self._compare(entry, got)
        if entry["method"] == "DELETE":
            self.living = [id for id in self.living if id not in living]

    def _pass_unseen(self, entry: Json) -> str:
        """Has a list go on after the newest rows when OpenAI's did not have them yet."""
        parts = urlsplit(entry["uri"])
        query = dict(parse_qsl(parts.query))
        shown = [row["id"] for row in rows(entry)]
        if not parts.path.endswith("/completions") or "after" in query or not shown:
            return ""
        newest = [id for id in self.living if not any(name.startswith("meta") for name in query)]
        unseen = newest[newest.index(shown[0]) + 1 :] if shown[0] in newest else []
        return f"&after={self.ours[unseen[0]]}" if unseen else ""

    def _compare(self, entry: Json, got: httpx2.Response) -> None:
        recorded, answer = entry["response_body"], got.json()
        if entry["method"] == "DELETE" and got.status_code == 200:
            assert len(got.content) == DELETED_BYTES
        if recorded.get("data") == []:
            assert len(got.content) == EMPTY_PAGE_BYTES
        assert list(answer)[: len(recorded)] == list(recorded)
        if recorded.get("object") == "list":
            self._compare_page(answer, recorded, [self._expected(row) for row in rows(entry)])
        else:
            expected = self._expected(recorded)
            assert kept_of(answer, expected) == expected

    def _compare_page(self, answer: Json, recorded: Json, expected: list[Json]) -> None:
        condensed = len(expected) < len(recorded["data"])
        pairs = zip(answer["data"], expected, strict=not condensed)
        assert [kept_of(*pair) for pair in pairs] == expected
        ends = ("first_id", "has_more") if condensed else ("first_id", "last_id", "has_more")
        assert all(answer[end] == self._expected(recorded)[end] for end in ends)

    def _expected(self, recorded: Json) -> Json:
        """A recorded object as ours should be, documented differences apart."""
        expected = cast(Json, json.loads(self._mapped(json.dumps(recorded))))
        if "request_id" in expected:
            del expected["request_id"]
            expected["seed"] = None
        for part in expected.get("content_parts") or ():
            if part["type"] == "image_url":
                del part["image_url"]["url"]
        return expected

    def _mapped(self, text: str) -> str:
        for recorded, ours in self.ours.items():
            text = text.replace(recorded, ours)
        return text


def kept_of(answer: Any, recorded: Any) -> Any:
    """The answer without what it has more than the recording."""
    if isinstance(answer, dict) and isinstance(recorded, dict):
        return {key: kept_of(answer.get(key), value) for key, value in recorded.items()}
    if isinstance(answer, list) and isinstance(recorded, list) and len(answer) == len(recorded):
        return [kept_of(*pair) for pair in zip(answer, recorded, strict=True)]
    return answer


@pytest.mark.parametrize("name", ALL)
async def test_what_openai_answered_is_answered_again(
    chatkeep: Chatkeep, provider: Provider, http: httpx2.AsyncClient, name: str
) -> None:
    api = observed.recorded() if is_recorded(name) else observed.observed()
    replay = Replay(provider, http, api)
    recorded = entries_of(name)
    if recorded[0]["status"] == 401:
        http.headers["authorization"] = f"Bearer {like_the_refused(recorded[0])}"
    else:
        await replay.seed(recorded)
    for entry in recorded:
        if entry["status"] == 401:
            await assert_same_refusal(http, entry)
        elif entry["request_body"] and entry["uri"].endswith("/completions"):
            await replay.create(entry)
        else:
            await replay.ask(entry)


def like_the_refused(entry: Json) -> str:
    """A key of which the same is shown as of the one in the message."""
    shown = re.search(r"provided: (\S+)\. ", entry["response_body"]["error"]["message"])
    assert shown is not None
    return shown[1].replace("*", "x")


async def assert_same_refusal(http: httpx2.AsyncClient, entry: Json) -> None:
    """The hint where to get a key is ours."""
    got = await http.post(PATH, json=entry["request_body"])
    recorded, answer = copy.deepcopy(entry["response_body"]), got.json()
    first_sentence = recorded["error"].pop("message").partition(" You can find")[0]
    assert answer["error"].pop("message").startswith(first_sentence + " ")
    assert (got.status_code, answer) == (entry["status"], recorded)


@pytest.mark.parametrize("name", LIVES)
async def test_a_stored_object_has_its_keys_in_openais_order(
    provider: Provider, http: httpx2.AsyncClient, name: str
) -> None:
    replay = Replay(provider, http)
    recorded = entries_of(name)
    await replay.create(recorded[0])
    (id,) = replay.ours.values()
    answer = (await http.get(f"{PATH}/{id}")).json()
    known = next(e["response_body"] for e in recorded if "request_id" in e["response_body"])
    assert list(answer) == list(known)
    assert REQUEST_ID.fullmatch(answer["request_id"])
    for ours, theirs in zip(answer["choices"], known["choices"], strict=True):
        assert list(ours) == list(theirs)
        assert list(ours["message"])[:4] == list(theirs["message"])
