"""The OpenAPI documents: OpenAI's as observed, which finds what is wrong, and our own."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from support import observed
from support.chatkeep_server import Chatkeep
from support.provider import Provider, Stream
from support.rawhttp import PATH, Reply, asked, get, head_of, post
from support.refusals import UNKNOWN, create

from chatkeep.web.routes import OPERATIONS, Operation

METHODS = ("get", "post", "delete", "put", "patch")
STORED: dict[str, Any] = {
    **dict.fromkeys(
        ("tool_choice", "seed", "input_user", "tools", "response_format", "service_tier")
    ),
    **dict.fromkeys(("top_p", "temperature", "presence_penalty", "frequency_penalty"), 1.0),
    "object": "chat.completion",
    "id": "chatcmpl-1",
    "model": "m",
    "created": 1,
    "request_id": "req_1",
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    "system_fingerprint": "fp",
    "metadata": {},
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi"},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
}
ERROR = {"message": "no", "type": "invalid_request_error", "param": None, "code": None}
COMPLETION = "/chat/completions/{completion_id}"


def changed(**fields: Any) -> dict[str, Any]:
    return {**STORED, **fields}


def choice(**fields: Any) -> dict[str, Any]:
    return changed(choices=[{**STORED["choices"][0], **fields}])


@pytest.mark.parametrize(
    ("method", "template", "status", "body"),
    [
        ("GET", COMPLETION, 200, STORED),
        ("GET", COMPLETION, 200, choice(finish_reason=None)),  # a partial one
        ("GET", COMPLETION, 200, changed(usage=None, system_fingerprint=None)),
        ("GET", COMPLETION, 200, changed(more={"x": 1})),
        ("GET", COMPLETION, 404, {"error": ERROR}),
        ("POST", COMPLETION, 412, {"error": ERROR}),
    ],
)
def test_what_openai_or_we_on_purpose_would_answer_passes(
    method: str, template: str, status: int, body: Any
) -> None:
    observed.check(method, template, status, body)


@pytest.mark.parametrize(
    ("template", "status", "body"),
    [
        *((COMPLETION, 200, {k: v for k, v in STORED.items() if k != key}) for key in STORED),
        (COMPLETION, 200, changed(created="1")),
        (COMPLETION, 200, changed(metadata=None)),
        (COMPLETION, 200, changed(metadata={"a": 1})),
        (COMPLETION, 200, changed(object="completion")),
        (COMPLETION, 200, choice(finish_reason="done")),
        (COMPLETION, 200, choice(message=None)),
        (COMPLETION, 418, {"error": ERROR}),
        (COMPLETION, 404, {"error": {**ERROR, "param": 5}}),
        (COMPLETION, 404, {"error": {"message": "no", "type": "x", "param": None}}),
        (COMPLETION, 503, {"detail": "no"}),
        ("/chat/completions", 200, {"object": "list", "data": [], "has_more": False}),
    ],
)
def test_what_openai_would_not_answer_does_not_pass(template: str, status: int, body: Any) -> None:
    with pytest.raises(AssertionError):
        observed.check("GET", template, status, body)


@pytest.fixture
async def ours(chatkeep: Chatkeep) -> observed.Document:
    return await observed.own(chatkeep.url)


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        yield from ((method.upper(), path, item[method]) for method in METHODS if method in item)


def nodes(value: Any) -> Iterator[Any]:
    yield value
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict | list):
            yield from nodes(child)


def references(value: Any) -> list[str]:
    return [node["$ref"] for node in nodes(value) if isinstance(node, dict) and "$ref" in node]


async def test_the_document_is_an_openapi_document(ours: observed.Document) -> None:
    document = ours.document
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert {"title", "version"} <= set(document["info"])
    assert set(document) <= {"openapi", "info", "servers", "paths", "components"}
    for item in document["paths"].values():
        assert set(item) <= set(METHODS)
    for _, _, operation in operations(document):
        assert set(operation) <= {
            "operationId",
            "summary",
            "parameters",
            "requestBody",
            "responses",
            "security",
        }
        assert operation["summary"].endswith(".")
        for status, answer in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d|default", status)
            assert answer["description"]
            assert all(set(media) <= {"schema"} for media in answer.get("content", {}).values())


async def test_every_operation_has_a_name_of_its_own(ours: observed.Document) -> None:
    names = [operation["operationId"] for _, _, operation in operations(ours.document)]
    assert len(names) == len(set(names))


async def test_parameters_are_those_of_the_path_and_no_query_key_twice(
    ours: observed.Document,
) -> None:
    for _, path, operation in operations(ours.document):
        parameters = [(entry["in"], entry["name"]) for entry in operation["parameters"]]
        assert len(parameters) == len(set(parameters))
        in_path = {name for place, name in parameters if place == "path"}
        assert in_path == set(re.findall(r"\{(.+?)\}", path))
        for entry in operation["parameters"]:
            assert entry["in"] in ("path", "query")
            assert entry.get("required", False) == (entry["in"] == "path")


async def test_every_schema_is_one_and_every_reference_leads_to_one(
    ours: observed.Document,
) -> None:
    schemas = ours.document["components"]["schemas"]
    for schema in schemas.values():
        OAS31Validator.check_schema(schema)
    for node in nodes(ours.document["paths"]):
        if isinstance(node, dict) and "schema" in node:
            OAS31Validator.check_schema(node["schema"])
    wanted = {f"#/components/schemas/{name}" for name in schemas}
    assert set(references(ours.document)) == wanted  # and none that nobody uses


async def test_every_key_scheme_is_described(ours: observed.Document) -> None:
    known = set(ours.document["components"]["securitySchemes"])
    for _, _, operation in operations(ours.document):
        for requirement in operation["security"]:
            assert set(requirement) <= known


def documented_path(operation: Operation) -> str:
    return re.sub(r"\{(\w+)(:\w+)?\}", r"{\1}", operation.path)


async def test_every_route_is_documented_and_nothing_else(ours: observed.Document) -> None:
    documented = {(method, path) for method, path, _ in operations(ours.document)}
    assert documented == {(entry.method, documented_path(entry)) for entry in OPERATIONS}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda entry: f"{entry.method} {entry.path}")
async def test_every_documented_operation_answers_as_documented(
    chatkeep: Chatkeep, ours: observed.Document, operation: Operation
) -> None:
    """With a key and without, an empty body being a bad request."""
    path = documented_path(operation).replace("{completion_id}", UNKNOWN)
    path = path.replace("{model}", "gpt-4o-mini").replace("{n}", "0")
    for key in (chatkeep.key, None):
        request = head_of(operation.method, path, key, {"content-length": "0"})
        reply = await asked(chatkeep.url, request)
        assert reply.head.status not in (405, 500), reply.body
        assert_as_documented(ours, operation.method, documented_path(operation), reply)
        needed = operation.scope is not None and key is None
        assert (reply.head.status == 401) == needed


def assert_as_documented(ours: observed.Document, method: str, template: str, reply: Reply) -> None:
    media = ours.media(method, template, reply.head.status)
    assert media is not None, reply.body
    kind = reply.head["content-type"].partition(";")[0]
    assert kind in media or "*/*" in media
    if kind == "application/json":
        body = json.loads(reply.body)
        assert ours.problems(method, template, reply.head.status, body) == []


async def test_what_is_stored_is_answered_as_documented(
    chatkeep: Chatkeep, provider: Provider, ours: observed.Document
) -> None:
    created = await asked(chatkeep.url, post(PATH, create(store=True, n=2), chatkeep.key))
    streamed = await asked(
        chatkeep.url, post(PATH, create(store=True, stream=True, user="u"), chatkeep.key)
    )
    provider.answer(Stream([b'data: {"id":"cut","choices":[{"index":0,"delta":{}}]}\n\n']))
    partial = await asked(chatkeep.url, post(PATH, create(store=True, stream=True), chatkeep.key))
    ids = [reply.head["x-chatkeep-id"] for reply in (created, streamed, partial)]
    for reply, id in zip((created, streamed, partial), ids, strict=True):
        assert_as_documented(ours, "POST", PATH, reply)
        await check_each(chatkeep, ours, id)
    page = await asked(chatkeep.url, get(PATH, chatkeep.key))
    assert_as_documented(ours, "GET", PATH, page)
    assert [row["id"] for row in json.loads(page.body)["data"]] == ids[::-1]
    deleted = await asked(chatkeep.url, head_of("DELETE", f"{PATH}/{ids[0]}", chatkeep.key, {}))
    assert_as_documented(ours, "DELETE", PATH + "/{completion_id}", deleted)


async def check_each(chatkeep: Chatkeep, ours: observed.Document, id: str) -> None:
    """Retrieve, update and messages, by both documents."""
    update = post(f"{PATH}/{id}", b'{"metadata":{"a":"b"}}', chatkeep.key)
    for method, ending, request in (
        ("GET", "", get(f"{PATH}/{id}", chatkeep.key)),
        ("POST", "", update),
        ("GET", "/messages", get(f"{PATH}/{id}/messages", chatkeep.key)),
    ):
        reply = await asked(chatkeep.url, request)
        assert_as_documented(ours, method, PATH + "/{completion_id}" + ending, reply)
        observed.check(method, COMPLETION + ending, 200, json.loads(reply.body))


EXAMPLES = {
    "model": "m",
    "metadata": "v",
    "created_after": "1",
    "created_before": "1",
    "after": UNKNOWN,
    "limit": "1",
    "order": "asc",
    "q": "word",
    "status": "complete",
    "finish_reason": "stop",
    "upstream": "u",
    "key": "1",
}


@pytest.mark.parametrize("list_", [PATH, "/keep/v1/completions"])
async def test_every_documented_query_parameter_is_taken(
    chatkeep: Chatkeep, ours: observed.Document, list_: str
) -> None:
    for parameter in ours.document["paths"][list_]["get"]["parameters"]:
        name, style = parameter["name"], parameter.get("style")
        pair = f"{name}[k]" if style == "deepObject" else name
        reply = await asked(chatkeep.url, get(f"{list_}?{pair}={EXAMPLES[name]}", chatkeep.key))
        assert reply.head.status == 200, reply.body
        bad = get(f"{list_}?{name}s={EXAMPLES[name]}", chatkeep.key)
        assert (await asked(chatkeep.url, bad)).head.status == 400


@pytest.mark.parametrize(
    ("name", "bad"),
    [("limit", "-1"), ("limit", "101"), ("limit", "x"), ("order", "up"), ("created_after", "x")],
)
async def test_what_the_document_excludes_is_refused(
    chatkeep: Chatkeep, ours: observed.Document, name: str, bad: str
) -> None:
    parameters = ours.document["paths"][PATH]["get"]["parameters"]
    schema = next(entry["schema"] for entry in parameters if entry["name"] == name)
    value = int(bad) if re.fullmatch(r"-?\d+", bad) else bad
    assert not OAS31Validator(schema).is_valid(value)
    reply = await asked(chatkeep.url, get(f"{PATH}?{name}={bad}", chatkeep.key))
    assert reply.head.status == 400


@pytest.mark.parametrize(
    ("schema", "body", "fits"),
    [
        ("CreateCompletion", {"model": "m", "messages": [{}], "store": True}, True),
        ("CreateCompletion", {"model": "m", "messages": [{}], "x": 1, "metadata": None}, True),
        ("CreateCompletion", {"model": "m", "messages": []}, False),
        ("CreateCompletion", {"model": "", "messages": [{}]}, False),
        ("CreateCompletion", {"model": "m", "messages": [{}], "n": 0}, False),
        ("CreateCompletion", {"model": "m", "messages": [{}], "metadata": {"a": 1}}, False),
        ("CreateCompletion", {"model": "m", "messages": [{}], "metadata": {"a": "v" * 513}}, False),
        ("UpdateCompletion", {"metadata": {"a": "b"}}, True),
        ("UpdateCompletion", {"metadata": None}, True),
        ("UpdateCompletion", {}, False),
        ("UpdateCompletion", {"metadata": {}, "model": "m"}, False),
        ("UpdateCompletion", {"metadata": {"k" * 65: "v"}}, False),
        ("UpdateCompletion", {"metadata": {f"{n}": "v" for n in range(17)}}, False),
    ],
)
async def test_the_document_and_the_server_agree_on_requests(
    chatkeep: Chatkeep, ours: observed.Document, schema: str, body: Any, fits: bool
) -> None:
    assert (ours.of_schema(schema, body) == []) == fits
    created = await asked(chatkeep.url, post(PATH, create(store=True), chatkeep.key))
    id = created.head["x-chatkeep-id"]
    path = PATH if schema == "CreateCompletion" else f"{PATH}/{id}"
    reply = await asked(chatkeep.url, post(path, json.dumps(body).encode(), chatkeep.key))
    assert reply.head.status == (200 if fits else 400)
