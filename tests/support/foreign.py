"""Every way a request can name a thing, with examples of another project's and of nobody's.

A route with a name that stands nowhere here fails test_isolation.py: give it an example of what the
project `theirs` has, beside one of the same length that nobody has.
"""

import json
import re
from typing import Any, NamedTuple

from msgspec import structs
from support.chatkeep_server import Chatkeep
from support.rawhttp import PATH, asked, post
from support.refusals import create
from support.samples import import_one, other_tag, row, said

from chatkeep.core.accounts.projects import changed
from chatkeep.core.model import ids
from chatkeep.core.model.completion import SCOPES, Query
from chatkeep.web.api.schemas import SCHEMAS
from chatkeep.web.routes import Operation

OURS, THEIRS = "sk-ck-of-our-own-project", "sk-ck-of-their-project"
IMPORTED, NEVER_IMPORTED = "chatcmpl-imported-elsewhere", "chatcmpl-imported-nowhere-x"
OUR_MODEL, THEIR_MODEL = "b-1", "a-1"
THEIR_METADATA = {"owner": "theirs"}

# What names nothing that anybody owns: numbers, switches, new values.
PLAIN = {
    *("status", "finish_reason", "group", "outcome", "part"),
    *("limit", "order", "created_after", "created_before"),
    *("messages", "store", "metadata in the body", "stream", "stream_options", "n"),
    *("name", "scopes", "expires_at"),
    *("store_by_default", "full_text", "retain_days", "retain_body_days"),
    *("max_concurrent", "requests_per_minute", "key_max_concurrent", "key_requests_per_minute"),
    *("all", "delete", "dry_run"),
    "upstreams",  # only root sets it, who may use them all
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlh"}}
THEIR_UPSTREAM = "their-upstream"
# A body for each kind of request, as it would be without the foreign name.
BODIES: dict[str, dict[str, Any]] = {
    "CreateCompletion": json.loads(create(model=OUR_MODEL)),
    "UpdateCompletion": {"metadata": {"a": "b"}},
    "Bulk": {"filter": {"model": "no-model"}, "delete": True},
    "MetadataPatch": {"metadata in the body": "b"},
    "CreateKey": {"scopes": ["read"]},
    "ChangeKey": {"name": "ours now", "expires_at": 1},
    "CreateProject": {"name": "new"},
    "ChangeProject": {"retain_days": 1},
    "Anything": {"model": OUR_MODEL},
}


class Pair(NamedTuple):
    theirs: str
    nobodys: str


class Way(NamedTuple):
    """One place in the requests of an operation where something is named."""

    operation: Operation
    place: str  # path, query, body or filter, which is in the body
    name: str

    @property
    def key(self) -> str:
        """Under which its examples stand."""
        if self.place == "body" and self.name == "metadata":
            return "metadata in the body"
        if self.name == "after":
            return f"after of {self.operation.endpoint}"
        return self.name


def ways(operation: Operation) -> list[Way]:
    """All there are, as the route table tells."""
    paths = re.findall(r"\{(\w+)(?::path)?\}", operation.path)
    queries = [entry.name for entry in operation.query]
    bodies: dict[str, Any] = {}
    if operation.request is not None:
        schema = SCHEMAS[operation.request]
        bodies = dict(schema.get("properties", BODIES[operation.request]))
    filters = bodies.pop("filter", {}).get("properties", {})
    places = {"path": paths, "query": queries, "body": bodies, "filter": filters}
    return [Way(operation, place, name) for place in places for name in places[place]]


class World:
    """A server with our project and theirs; ours may use the upstream `b` only."""

    def __init__(self, chatkeep: Chatkeep) -> None:
        self.chatkeep = chatkeep
        self.own: dict[str, str] = {}
        self.pairs: dict[str, list[Pair]] = {}

    async def prepare(self) -> None:
        store = self.chatkeep.store
        await self.chatkeep.add_key(OURS, "ours", *(s for s in SCOPES if s != "root"))
        ours = await store.project("ours")
        assert ours is not None
        await store.change_project(ours.id, changed({"upstreams": ["b"]}))
        their_key = await store.add_key("theirs", b"x" * 32, "hint", frozenset(SCOPES), 0)
        await self.chatkeep.add_key(THEIRS, "theirs", *SCOPES)
        made = [await self._create(OURS), *[await self._create(THEIRS) for _ in range(2)]]
        row_of_import = row(metadata=THEIR_METADATA, model=THEIR_MODEL)
        imported = await import_one(
            store, their_key.project, IMPORTED, 1_700_000_000, row_of_import, said()
        )
        assert imported is not None
        our_key = next(key for key in await store.keys() if key.project.name == "ours")
        self.own = {
            "completion_id": made[0],
            "part": "0",
            "model": OUR_MODEL,
            "key_id": str(our_key.id),
            "project": "ours",
            "after": made[0],
        }
        unknown = ids.encode(ids.compose(1_760_000_000, 0, 7), bytes(13))
        completions = [Pair(made[1], unknown), Pair(made[2], twin(made[2]))]
        completions.append(Pair(IMPORTED, NEVER_IMPORTED))
        numbers = {key.id for key in await store.keys()}
        free = next(number for number in range(1, 10) if number not in numbers)
        assert their_key.id < 10
        places = [Pair(made[1], twin(made[1])), Pair(IMPORTED, NEVER_IMPORTED)]
        self.pairs = {
            "completion_id": completions,
            "key_id": [Pair(str(their_key.id), str(free))],
            "project": [Pair("theirs", "nobody")],
            "model": [Pair(THEIR_MODEL, "a-9")],
            "metadata": [Pair("theirs", "nobody")],
            "values_of": [Pair("owner", "taker")],
            "q": [Pair("theirs", "nobody")],
            "upstream": [Pair(THEIR_UPSTREAM, "other-upstream")],
            "key": [Pair(str(their_key.id), str(free))],
            # Any id of our form is a place, told by the id itself: nobody's has the same one.
            **dict.fromkeys(
                (
                    "after of list_completions",
                    "after of list_records",
                    "after of conversation",
                    "after of bulk_completions",
                ),
                places,
            ),
            "after of list_messages": [
                Pair(f"{pair.theirs}-0", f"{pair.nobodys}-0") for pair in completions
            ],
        }

    def request(self, way: Way, value: str, method: str | None = None) -> bytes:
        """A request of ours in which this value stands in that place, and else only our own."""
        operation = way.operation
        filled = self.own | ({way.name: value} if way.place == "path" else {})
        path = operation.path.replace(":path", "").format(**filled)
        if way.place == "query":
            path += f"?{'metadata[owner]' if way.name == 'metadata' else way.name}={value}"
        fields = dict(BODIES[operation.request]) if operation.request else {}
        if way.place == "body":
            fields[way.name] = value
        if way.place == "filter":
            fields["filter"] = {way.name: _filtered(way.name, value)}
        body = json.dumps(fields).encode() if operation.request else b""
        request = post(path, body, OURS, {"content-type": "application/json"})
        return request.replace(b"POST", (method or operation.method).encode(), 1)

    async def state(self) -> object:
        """What there is, apart from when keys were used."""
        store = self.chatkeep.store
        keys = [structs.replace(key, last_used_unix=None) for key in await store.keys()]
        projects = await store.projects()
        pages = [await store.page(project, Query(limit=100)) for project in projects]
        return keys, projects, pages

    async def _create(self, key: str) -> str:
        theirs = key == THEIRS
        model = THEIR_MODEL if theirs else OUR_MODEL
        text = {"type": "text", "text": "theirs" if theirs else "ours"}
        request = create(
            model=model,
            store=True,
            metadata=THEIR_METADATA if theirs else {},
            messages=[{"role": "user", "content": [text, IMAGE]}],
        )
        return (await asked(self.chatkeep.url, post(PATH, request, key))).head["x-chatkeep-id"]


def _filtered(name: str, value: str) -> Any:
    match name:
        case "metadata":
            return {"owner": value}
        case "key":
            return int(value)
        case _:
            return value


def twin(id: str) -> str:
    """The id of the same place under a tag that was never given out."""
    name = ids.decode(id)
    assert name is not None
    return other_tag(name).id
