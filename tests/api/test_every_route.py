"""What holds for every operation of the route table, whatever is sent to it."""

import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.chatkeep_server import Chatkeep
from support.observed import own
from support.provider import Provider
from support.rawhttp import PATH, Reply, asked, connected, get, head_of, post
from support.refusals import REQUEST_ID, UNKNOWN, Refusal, assert_refusal, create
from support.samples import import_one, row, said

from chatkeep.core.model.completion import Scope
from chatkeep.web.routes import FORWARDED, OPERATIONS, Operation

GUARDED = [operation for operation in OPERATIONS if operation.scope is not None]
OF_A_COMPLETION = [operation for operation in GUARDED if "{completion_id}" in operation.path]
IMPORTED = "chatcmpl-imported-elsewhere"
NEVER_IMPORTED = "chatcmpl-imported-nowhere-x"
DIFFERING = {"date", "x-request-id", "openai-processing-ms"}
PROPERTY = settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

header_values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=5,
).map(lambda value: json.dumps(value).encode())
updates = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3).map(
    lambda pairs: json.dumps({"metadata": pairs}).encode()
)
patches = st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.none(), max_size=3).map(
    lambda pairs: json.dumps(pairs).encode()
)
bodies = st.binary(max_size=40) | json_texts | updates | patches | st.just(create(store=True))
authorizations = st.none() | st.one_of(
    st.sampled_from(["Bearer", "Bearer ", "Basic c2stY2s6", "sk-ck-x", "bearer sk-ck-x"]),
    header_values.map(lambda text: f"Bearer {text}"),
    header_values,
)


def brief(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def filled(operation: Operation, id: str = UNKNOWN) -> str:
    path = (
        operation.path.replace("{completion_id}", id)
        .replace("{part}", "0")
        .replace("{model:path}", "echo-1")
    )
    return path.replace("{key_id}", "999999").replace("{project}", "nobody")


def request_of(
    operation: Operation, path: str, key: str | None, body: bytes, headers: Mapping[str, str]
) -> bytes:
    length = {"content-length": str(len(body))}
    return head_of(operation.method, path, key, {**length, **headers}) + body


async def answered(chatkeep: Chatkeep, operation: Operation, key: str | None) -> Reply:
    """The answer to a plausible request."""
    body = create() if operation.endpoint in ("create_completion", "forward") else b"{}"
    return await asked(chatkeep.url, request_of(operation, filled(operation), key, body, {}))


def test_every_operation_is_there_once() -> None:
    named = [(operation.method, operation.path) for operation in OPERATIONS]
    assert len(set(named)) == len(named)
    assert {path.removeprefix("/v1") for _, path in named} >= set(FORWARDED)


@pytest.mark.parametrize("operation", GUARDED, ids=brief)
async def test_without_a_key_no_operation_is_carried_out(
    chatkeep: Chatkeep, provider: Provider, operation: Operation
) -> None:
    reply = await answered(chatkeep, operation, None)
    message = json.loads(reply.body)["error"]["message"]
    assert_refusal(reply, Refusal("MissingKey", message))
    assert provider.requests == []


@given(
    operation=st.sampled_from(GUARDED),
    authorization=authorizations,
    body=bodies,
    id=st.sampled_from([UNKNOWN, "x", "%2e%2e", "%00", "a%2Fb"]),
)
@PROPERTY
async def test_whatever_is_sent_without_a_good_key_is_answered_401(
    chatkeep: Chatkeep,
    provider: Provider,
    operation: Operation,
    authorization: str | None,
    body: bytes,
    id: str,
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    if "/messages" in operation.path or "{completion_id}" not in operation.path:
        id = UNKNOWN
    request = request_of(operation, filled(operation, id), None, body, headers)
    reply = await asked(chatkeep.url, request)
    if id != "a%2Fb":  # which is another path
        assert reply.head.status == 401, (reply.head, reply.body)
    assert REQUEST_ID.fullmatch(reply.head["x-request-id"])
    assert json.loads(reply.body)["error"]["type"] == "invalid_request_error"
    assert provider.requests == []


@pytest.mark.parametrize("operation", GUARDED, ids=brief)
async def test_a_key_does_what_its_scope_allows_and_nothing_else(
    chatkeep: Chatkeep, provider: Provider, operation: Operation
) -> None:
    for scope in get_args(Scope):
        key = await chatkeep.add_key(f"sk-ck-only-{scope}", "default", scope)
        reply = await answered(chatkeep, operation, key)
        if scope in (operation.scope, "root"):
            assert reply.head.status not in (401, 403)
        else:
            message = f"This key may not do that: it needs the scope '{operation.scope}'."
            assert_refusal(reply, Refusal("ScopeMissing", message))


@pytest.mark.parametrize("operation", GUARDED, ids=brief)
async def test_what_every_operation_can_refuse_is_described(
    chatkeep: Chatkeep, operation: Operation
) -> None:
    document = await own(chatkeep.url)
    template = operation.path.replace(":path", "")
    key = await chatkeep.add_key("sk-ck-nothing", "default", "admin")
    replies = [await answered(chatkeep, operation, each) for each in (None, key)]
    if operation.endpoint != "forward":  # whose other answers are the upstream's
        replies.append(await answered(chatkeep, operation, chatkeep.key))
    for reply in replies:
        if reply.head.status != 200:
            body = json.loads(reply.body)
            found = document.problems(operation.method, template, reply.head.status, body)
            assert found == []


@pytest.mark.parametrize("operation", OF_A_COMPLETION, ids=brief)
async def test_a_completion_of_another_project_cannot_be_reached(
    chatkeep: Chatkeep, operation: Operation
) -> None:
    theirs = await chatkeep.add_key("sk-ck-theirs", "other")
    made = await asked(chatkeep.url, post(PATH, create(store=True), theirs))
    id = made.head["x-chatkeep-id"]
    whole = await asked(chatkeep.url, get(f"{PATH}/{id}", theirs))
    body = b'{"a":"b"}' if operation.method == "PATCH" else b'{"metadata":{"a":"b"}}'
    request = request_of(operation, filled(operation, id), chatkeep.key, body, {})
    wanted = Refusal("CompletionNotFound", f"Completion {id} not found", "completion_id")
    assert_refusal(await asked(chatkeep.url, request), wanted)
    assert (await asked(chatkeep.url, get(f"{PATH}/{id}", theirs))).body == whole.body


class Others:
    """The ids of another project's completions, each with an unknown one of the same form."""

    def __init__(self, chatkeep: Chatkeep) -> None:
        self.chatkeep = chatkeep
        self.key = "sk-ck-of-the-other-project"
        self.pairs: list[tuple[str, str]] = []

    async def prepare(self) -> None:
        """Once for all examples."""
        if self.pairs:
            return
        await self.chatkeep.add_key(self.key, "other")
        for fields in ({}, {"stream": True}, {"metadata": {"a": "b"}}):
            request = post(PATH, create(store=True, **fields), self.key)
            made = await asked(self.chatkeep.url, request)
            self.pairs.append((made.head["x-chatkeep-id"], UNKNOWN))
        (project,) = {
            key.project for key in await self.chatkeep.store.keys() if key.project.name == "other"
        }
        imported = await import_one(
            self.chatkeep.store, project, IMPORTED, 1_700_000_000, row(), said()
        )
        assert imported is not None
        self.pairs.append((IMPORTED, NEVER_IMPORTED))

    async def state(self) -> list[bytes]:
        """What their owner sees of them."""
        paths = [f"{PATH}/{id}{end}" for id, _ in self.pairs for end in ("", "/messages")]
        return [(await asked(self.chatkeep.url, get(path, self.key))).body for path in paths]


@pytest.fixture
def others(chatkeep: Chatkeep) -> Others:
    return Others(chatkeep)


QUERIES = [
    "",
    "?limit=0",
    "?limit=x",
    "?after={id}-0",
    "?after={id}",
    "?order=up",
    "?x=1",
    "?limit=1&limit=2",
]
conditions = st.sampled_from([{}, {"if-match": "*"}, {"if-match": '"x"'}, {"if-match": ""}])


@given(
    operation=st.sampled_from(OF_A_COMPLETION),
    which=st.integers(0, 3),
    query=st.sampled_from(QUERIES),
    body=bodies,
    headers=conditions,
    method=st.sampled_from(["", "HEAD", "PUT", "OPTIONS"]),
)
@PROPERTY
async def test_another_projects_completion_is_answered_for_like_an_unknown_one(
    chatkeep: Chatkeep,
    others: Others,
    operation: Operation,
    which: int,
    query: str,
    body: bytes,
    headers: dict[str, str],
    method: str,
) -> None:
    await others.prepare()
    before = await others.state()
    shown = []
    for id in others.pairs[which]:
        path = filled(operation, id) + query.format(id=id)
        request = request_of(operation, path, chatkeep.key, body, headers)
        if method == "HEAD" and operation.method == "GET":
            request = request.replace(b"GET", b"HEAD", 1)
        elif method in ("PUT", "OPTIONS"):
            request = request.replace(operation.method.encode(), method.encode(), 1)
        shown.append(await shown_to(chatkeep, request, id))
    assert shown[0] == shown[1]
    assert await others.state() == before


async def shown_to(chatkeep: Chatkeep, request: bytes, id: str) -> Any:
    """All of an answer but the id it names and what differs between any two answers."""
    async with connected(chatkeep.url) as wire:
        wire.send(request)
        if request.startswith(b"HEAD"):
            head, body = await wire.head(), b""
        else:
            reply = await wire.reply()
            head, body = reply.head, reply.body
    headers = [(name, value) for name, value in head.headers if name not in DIFFERING]
    return head.status, headers, body.replace(id.encode(), b"ID")


async def test_a_page_after_another_projects_import_is_refused_like_one_after_nothing(
    chatkeep: Chatkeep, others: Others
) -> None:
    await others.prepare()
    replies = [
        await shown_to(chatkeep, get(f"{PATH}?after={id}", chatkeep.key), id)
        for id in (IMPORTED, NEVER_IMPORTED)
    ]
    assert replies[0] == replies[1]
    assert replies[0][0] == 400
