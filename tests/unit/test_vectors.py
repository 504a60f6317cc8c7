"""What our own exchanges, streams and schemas say of OpenAI's API is what the originals say.

So a test that holds something against ours holds it against them.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support import contract, observed, streams
from support.exchanges import EXCHANGES, LONG, MORE, OAK, URL, choice, delete, page, stored

pytestmark = pytest.mark.recordings

# What is anybody's own: the keys in it say nothing.
OPAQUE = {"metadata", "tools", "arguments"}


def shape(value: Any) -> Any:
    """Keys in their order and types of values; of a list, the shapes in it."""
    match value:
        case dict():
            return [(key, key in OPAQUE or shape(one)) for key, one in value.items()]
        case list():
            found: list[Any] = []
            # A condensed list ends in a string that says how many more there were.
            for one in map(shape, value):
                if one not in found and (one != "str" or not found):
                    found.append(one)
            return found
        case _:
            return type(value).__name__


def answers(exchanges: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [entry for entries in exchanges.values() for entry in entries]


def kind(entry: dict[str, Any]) -> tuple[Any, ...]:
    """What was asked and how it ended, with the shape of the answer."""
    path = entry["uri"].removeprefix(URL)
    path, _, query = path.partition("?")
    parameters = sorted(pair.partition("=")[0].partition("[")[0] for pair in query.split("&"))
    ending = "/id/messages" if path.endswith("/messages") else path and "/id"
    status, answer = entry["status"], shape(entry["response_body"])
    return entry["method"], ending, parameters if status == 200 else [], status, answer


@pytest.mark.parametrize("name", EXCHANGES)
def test_our_exchanges_are_such_as_were_recorded(name: str) -> None:
    recorded = list(map(kind, answers(contract.recordings())))
    assert [entry for entry in EXCHANGES[name] if kind(entry) not in recorded] == []


def test_our_exchanges_show_every_kind_that_was_recorded() -> None:
    ours = list(map(kind, answers(EXCHANGES)))
    recorded = [kind(entry) for entry in answers(contract.recordings())]
    assert [one for one in recorded if one not in ours] == []


def chunks(stream: bytes) -> list[Any]:
    events = stream.removesuffix(b"\n\n").split(b"\n\n")
    assert events.pop() == b"data: [DONE]"
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


def steps(stream: bytes) -> list[Any]:
    """The shapes of the chunks of each choice, in order, those of one shape as one."""
    found: dict[Any, list[Any]] = {}
    for chunk in chunks(stream):
        index = chunk["choices"][0]["index"] if chunk["choices"] else "usage"
        said = [one["finish_reason"] for one in chunk["choices"]]
        so_far = found.setdefault(index, [])
        if so_far[-1:] != [(shape(chunk), said)]:
            so_far.append((shape(chunk), said))
    return sorted(found.items(), key=str)


@pytest.mark.parametrize("name", streams.STREAMS)
def test_our_streams_take_the_steps_of_the_recorded_ones(name: str) -> None:
    assert steps(streams.stream_of(name)) == steps(contract.stream(name))


def test_the_choices_of_a_stream_open_with_a_piece_each_and_then_take_turns() -> None:
    name = "three choices in turns"
    for stream in (streams.stream_of(name), contract.stream(name)):
        turns = [one["index"] for chunk in chunks(stream) for one in chunk["choices"]]
        assert turns[:9] == [0, 0, 1, 1, 2, 2, 0, 1, 2]


def test_our_schemas_are_of_the_same_operations() -> None:
    ours, theirs = observed.observed().document, observed.recorded().document
    assert asked_and_answered(ours) == asked_and_answered(theirs)


def asked_and_answered(document: Any) -> Any:
    return {
        (path, method): (
            sorted((one["name"], one["in"]) for one in operation.get("parameters", ())),
            sorted(operation["responses"]),
            "requestBody" in operation,
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_a_create_may_ask_for_the_same() -> None:
    ours, theirs = observed.observed().document, observed.recorded().document
    create = ours["paths"]["/chat/completions"]["post"]["requestBody"]
    properties = create["content"]["application/json"]["schema"]["properties"]
    schema = theirs["components"]["schemas"]["CreateChatCompletionRequest"]
    assert sorted(properties) == sorted(set(members(theirs, schema)))


def members(document: Any, schema: Any) -> Iterator[str]:
    """The names of an object's members, wherever they are described."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    yield from schema.get("properties", ())
    for part in schema.get("allOf", ()):
        yield from members(document, part)


ONE, ALL = "/chat/completions/{completion_id}", "/chat/completions"
TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
TOKEN |= {"top_logprobs": [{"token": "b", "logprob": -2, "bytes": None}]}
CITED = {"start_index": 0, "end_index": 1, "url": "https://example.com", "title": "t"}
SAID: dict[str, Any] = {
    "role": "assistant",
    "content": "a",
    "refusal": None,
    "annotations": [{"type": "url_citation", "url_citation": CITED}],
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "custom", "custom": {"name": "g", "input": "i"}},
    ],
    "function_call": {"name": "f", "arguments": "{}"},
    "audio": {"id": "a", "expires_at": 1, "data": "AA==", "transcript": "a"},
}
FULL = choice("a") | {"message": SAID, "logprobs": {"content": [TOKEN], "refusal": None}}
MODEL = {"id": "m", "object": "model", "created": 1, "owned_by": "o", "shutdown_date": None}
SAID_BY_A_TOOL = {
    "role": "tool",
    "tool_call_id": "a",
    "refusal": "no",
    "name": "n",
    "tool_calls": None,
}
# Of each operation an answer that says all we know.
ANSWERS: list[tuple[str, str, Any]] = [
    ("POST", ALL, OAK.answer | {"choices": [FULL], "metadata": {"a": "b"}}),
    ("GET", ONE, stored(LONG, {"a": "b"}) | {"choices": [FULL], "input_user": "u"}),
    ("POST", ONE, stored(OAK)),
    ("GET", ALL, page(stored(OAK, {"a": "b"}))),
    ("GET", f"{ONE}/messages", page(*MORE, {**MORE[0], **SAID_BY_A_TOOL})),
    ("DELETE", ONE, delete(OAK)["response_body"]),
    ("GET", "/models", {"object": "list", "data": [MODEL]}),
    ("GET", "/models/{model}", MODEL),
]
ENVELOPE = "ErrorResponse"
ERROR = {"error": {"message": "no", "type": "t", "param": "p", "code": None}}


def changed(value: Any) -> Iterator[Any]:
    """The value with one thing in it left out or another in its place."""
    yield from (None, True, 1, 1.5, -(2**63), "x", [], [7], {}, {"x": 7})
    match value:
        case dict():
            for key in value:
                yield {name: one for name, one in value.items() if name != key}
                yield from ({**value, key: one} for one in changed(value[key]))
        case list():
            for index, part in enumerate(value):
                yield [*value[:index], *value[index + 1 :]]
                yield from ([*value[:index], one, *value[index + 1 :]] for one in changed(part))


@pytest.mark.parametrize(("method", "template", "body"), ANSWERS)
def test_our_schemas_refuse_what_theirs_refuse(method: str, template: str, body: Any) -> None:
    ours, theirs = observed.observed(), observed.recorded()

    def passes(document: observed.Document, one: Any) -> bool:
        return document.problems(method, template, 200, one) == []

    assert passes(ours, body)
    assert passes(theirs, body)
    different = [one for one in changed(body) if passes(ours, one) and not passes(theirs, one)]
    assert different == []


def test_our_schema_of_errors_refuses_what_theirs_refuses() -> None:
    ours, theirs = observed.observed(), observed.recorded()
    for one in (ERROR, *changed(ERROR)):
        assert bool(ours.of_schema(ENVELOPE, one)) == bool(theirs.of_schema(ENVELOPE, one))


@pytest.mark.parametrize("name", contract.RECORDINGS)
def test_our_schemas_let_pass_what_was_recorded(name: str) -> None:
    for entry in contract.recordings()[name]:
        path, body = entry["uri"].partition("com")[2].partition("?")[0], entry["response_body"]
        template = observed.observed().operation(entry["method"], path)
        assert template is not None
        if "data" in body:
            body = {**body, "data": [row for row in body["data"] if isinstance(row, dict)]}
        observed.check(entry["method"], template, entry["status"], body)
