"""The stored object and its lists, beside what OpenAI answers."""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import contract
from support.exchanges import EXCHANGES, PAGES_OF_MESSAGES, beside, entries_of, every
from support.jsontexts import ObjectText, arrays, objects, standard, values
from support.samples import SECOND, place, row

from chatkeep.core.model.completion import Row, Stored
from chatkeep.core.wire.chat import stored

KEYS = [
    *("object", "id", "model", "created", "request_id", "tool_choice", "usage", "seed", "top_p"),
    *("temperature", "presence_penalty", "frequency_penalty", "system_fingerprint", "input_user"),
    *("service_tier", "tools", "metadata", "choices", "response_format"),
]
MESSAGE_KEYS = ["content", "role", "tool_calls", "function_call"]
ITEM_KEYS = ["id", "role", "content", "content_parts", "name"]
PART_KEYS = ["type", "text", "image_url", "input_audio", "file"]


class Exchange(NamedTuple):
    """A create call, and the stored object that was answered for it later."""

    request: dict[str, Any]
    answer: dict[str, Any]
    kept: dict[str, Any]


def kept_objects(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stored objects of retrieves, updates and lists."""
    bodies = [entry["response_body"] for entry in entries]
    rows = [one for body in bodies for one in (body, *body.get("data", []))]
    # A condensed list ends in a string that says how many more there were.
    return [one for one in rows if isinstance(one, dict) and "request_id" in one]


def exchanges(name: str) -> list[Exchange]:
    created = {
        entry["response_body"]["id"]: entry
        for entry in beside(name)
        if entry["method"] == "POST"
        and entry["uri"].endswith("/chat/completions")
        and entry["status"] == 200
    }
    found = [
        Exchange(create["request_body"], create["response_body"], kept)
        for kept in kept_objects(entries_of(name))
        if (create := created.get(kept["id"])) is not None
    ]
    assert found
    return found


# Those that show stored objects of which the create is known: retrieves, updates and lists.
SHOWING_STORED = every(
    (name for name, entries in EXCHANGES.items() if kept_objects(entries)),
    (
        "StoredChatCompletionsWork",
        "UpdateChatCompletionWorks",
        "GetChatCompletionsWithPagination",
        "GetChatCompletionsWithMinimalLimits",
        "GetChatCompletionsWithMinimalLimitsAsync",
        "GetChatCompletionsWithMetadataFiltering",
    ),
)


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


def shown(request: bytes, answer: bytes, one: Row | None = None) -> bytes:
    its = one or row(place(1))
    return stored.completion(Stored(its.id, its, request, answer))


def of(exchange: Exchange) -> dict[str, Any]:
    """Our stored object of the call, with the metadata OpenAI shows."""
    ours = row(place(1), exchange.kept["metadata"])
    text = shown(written(exchange.request), written(exchange.answer), ours)
    value: dict[str, Any] = standard(text)
    return value


@pytest.mark.parametrize("name", SHOWING_STORED)
def test_the_stored_objects_have_the_19_keys(name: str) -> None:
    assert [list(kept) for kept in kept_objects(entries_of(name)) if list(kept) != KEYS] == []


@pytest.mark.recordings
def test_every_recorded_object_has_the_19_keys() -> None:
    recorded = [entry for entries in contract.recordings().values() for entry in entries]
    assert len(kept_objects(recorded)) >= 7
    assert {tuple(kept) for kept in kept_objects(recorded)} == {tuple(KEYS)}


@pytest.mark.parametrize("name", SHOWING_STORED)
def test_openais_keys_come_first_and_in_its_order(name: str) -> None:
    for exchange in exchanges(name):
        ours = of(exchange)
        assert list(ours)[:19] == KEYS
        choice, wanted = ours["choices"][0], exchange.kept["choices"][0]
        assert list(choice)[:4] == list(wanted)
        assert list(choice["message"])[:4] == list(wanted["message"]) == MESSAGE_KEYS


@pytest.mark.parametrize("name", SHOWING_STORED)
def test_every_value_is_openais_but_for_what_is_documented(name: str) -> None:
    for exchange in exchanges(name):
        assert_same_values(exchange, of(exchange), dict(exchange.kept))


def assert_same_values(exchange: Exchange, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    # The ids are ours; and no seed is made up where none was given (DESIGN.md §2).
    assert ours["id"] == row(place(1)).id
    assert ours["request_id"] == "req_" + (place(1)).to_bytes(16).hex()
    assert ours["seed"] == exchange.request.get("seed")
    for key in ("id", "request_id", "seed"):
        del ours[key], theirs[key]
    # The details of usage, the refusal and the annotations, which OpenAI drops, stay.
    assert ours["usage"] == exchange.answer["usage"]
    assert ours.pop("usage").items() >= theirs.pop("usage").items()
    messages = [choice.pop("message") for choice in ours["choices"]]
    for message, choice in zip(messages, theirs["choices"], strict=True):
        assert message.items() >= choice["message"].items()
    assert messages == [
        dict.fromkeys(MESSAGE_KEYS) | choice["message"] for choice in exchange.answer["choices"]
    ]
    theirs["choices"] = [
        {key: choice[key] for key in choice if key != "message"} for choice in theirs["choices"]
    ]
    assert ours == theirs


@pytest.mark.parametrize("name", SHOWING_STORED)
def test_of_sampling_openais_defaults_stand_where_the_request_says_nothing(name: str) -> None:
    (defaults,) = {
        tuple(
            (key, kept[key])
            for key in ("top_p", "temperature", "presence_penalty", "frequency_penalty")
        )
        for kept in kept_objects(entries_of(name))
    }
    for request in (b"{}", b'{"top_p":null,"temperature":null}'):
        assert standard(shown(request, b"{}")).items() >= dict(defaults).items()
    assert b'"top_p":1.0,"temperature":1.0,"presence_penalty":0.0' in shown(b"{}", b"{}")


def test_what_the_request_says_is_shown_byte_for_byte() -> None:
    request = (
        b'{"top_p":0.10,"temperature":0,"presence_penalty":-1e-1,"frequency_penalty":2.0,'
        b'"seed":-92233720368547758080123,"user":"\\ud83d","tool_choice":{"b" :1,"a":2},'
        b'"tools": [ {"z":1,"a":1E400} ], "response_format":{"type": "json_object"},"n":5}'
    )
    text = shown(request, b"{}")
    for member in (
        b'"top_p":0.10,"temperature":0,"presence_penalty":-1e-1,"frequency_penalty":2.0,',
        b'"seed":-92233720368547758080123,',
        b'"input_user":"\\ud83d",',
        b'"tool_choice":{"b" :1,"a":2},',
        b'"tools":[ {"z":1,"a":1E400} ],',
        b'"response_format":{"type": "json_object"}}',
    ):
        assert member in text


def test_what_the_upstream_says_is_shown_byte_for_byte_what_we_do_not_know_last() -> None:
    answer = (
        b'{"x_groq":{"b":1e3,"a":[ ]},"id":"up","object":"chat.completion","created":1e3,'
        b'"model":"m\\u00e9",'
        b'"choices":[{"finish_reason":"stop","content_filter_results":{ },"index":0,"message":'
        b'{"reasoning":"\\ud83d","role":"assistant","content":"\xc3\xa9","annotations":[ ]}}],'
        b'"usage":{"cost":0.10,"prompt_tokens":18446744073709551616},"citations":[]}'
    )
    text = shown(b"{}", answer)
    assert b'"model":"m\\u00e9","created":1e3,' in text
    assert b'"usage":{"cost":0.10,"prompt_tokens":18446744073709551616},' in text
    assert (
        b'"choices":[{"index":0,"message":{"content":"\xc3\xa9","role":"assistant","tool_calls":null,'
        b'"function_call":null,"reasoning":"\\ud83d","annotations":[ ]},"finish_reason":"stop",'
        b'"logprobs":null,"content_filter_results":{ }}],'
    ) in text
    assert text.endswith(b'"response_format":null,"x_groq":{"b":1e3,"a":[ ]},"citations":[]}')


def test_tool_calls_and_logprobs_are_shown_as_answered() -> None:
    calls = (
        b'[{"type":"function","function":{"name":"f","arguments":"{\\"a\\": 1}"},"id":"call_1"}]'
    )
    logprobs = b'{"content":[{"token":"a","logprob":-1e-5}]}'
    answer = b'{"choices":[{"logprobs":%b,"message":{"content":null,"tool_calls":%b}}]}'
    text = shown(b"{}", answer % (logprobs, calls))
    assert b'{"content":null,"role":null,"tool_calls":%b,"function_call":null}' % calls in text
    assert b'"logprobs":%b' % logprobs in text


def test_the_row_says_id_metadata_and_what_the_answer_does_not() -> None:
    ours = row(place(5), {"k": "é"}, model="scrubbed")
    value = standard(shown(b"{}", b'{"id":"x","metadata":{"not":"ours"}}', ours))
    assert (value["id"], value["metadata"]) == (ours.id, {"k": "é"})
    assert (value["model"], value["created"], value["choices"]) == ("scrubbed", SECOND, [])
    imported = row(place(5), alias="chatcmpl-imported")
    assert standard(shown(b"{}", b"{}", imported))["id"] == "chatcmpl-imported"


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"{", b'"text"', b'{"a":"\xff"}'])
def test_an_answer_that_is_no_object_is_still_shown_as_one(answer: bytes) -> None:
    value = standard(shown(b'{"seed":7}', answer))
    assert list(value) == KEYS
    assert (value["seed"], value["choices"]) == (7, [])


@pytest.mark.parametrize(
    "choices", [b"null", b"7", b"{}", b'[null,7,"x",[],{}]', b'[{"message":[]}]']
)
def test_odd_choices_are_shown_as_they_are(choices: bytes) -> None:
    value = standard(shown(b"{}", b'{"choices":%b}' % choices))
    if choices.startswith(b'[{"m'):
        assert value["choices"][0]["message"] == []
    else:
        assert value["choices"] == json.loads(choices)


@given(objects(values=values), objects(values=values))
def test_any_record_is_shown_with_every_field_of_its_answer(
    request: ObjectText, answer: ObjectText
) -> None:
    text = shown(request.text, answer.text)
    value = standard(text)
    assert list(value)[:19] == KEYS
    last = {part.key: part.value for part in answer.parts}
    unknown = {key: last[key] for key in last if key not in KEYS}
    assert list(value)[19:] == list(unknown)
    assert all(text.count(unknown[key]) for key in unknown)
    assert {key: value[key] for key in unknown} == {key: standard(unknown[key]) for key in unknown}


def named(*keys: str, of: st.SearchStrategy[str] = values) -> st.SearchStrategy[str]:
    """Objects with some of these keys, in any order and any number of times."""
    quoted = st.sampled_from([f'"{key}"' for key in keys])
    return objects(keys=quoted, values=of).map(lambda shape: shape.text.decode())


messages = named("role", "content", "refusal", "tool_calls", "function_call", "x")
choices = named("index", "message", "finish_reason", "logprobs", "x", of=messages | values)
lists = arrays(values=choices | values).map(lambda shape: shape.text.decode())
others = named("id", "object", "usage", "model", "service_tier", "choices", "x")
asked = named("top_p", "seed", "tools", "user", "temperature", "response_format", "x")


def with_lone_surrogate(text: str) -> bytes:
    inside = text.strip()[1:-1].strip()
    return f'{{{inside}{"," if inside else ""}"~":"\\ud83d"}}'.encode()


@given(asked, values, values, lists | values, others)
def test_what_is_read_the_tolerant_way_is_shown_the_same(
    request: str, model: str, created: str, listed: str, more: str
) -> None:
    usual = f'{{"model":{model},"created":{created},"choices":{listed}}}'
    rest = more.strip()[1:-1].strip()
    for answer in (usual, more, f"{usual[:-1]},{rest}}}" if rest else usual):
        shown_usual = shown(request.encode(), answer.encode())
        shown_tolerant = shown(with_lone_surrogate(request), with_lone_surrogate(answer))
        assert shown_tolerant == shown_usual[:-1] + b',"~":"\\ud83d"}'


@pytest.mark.parametrize(
    ("items", "first", "last", "more", "wanted"),
    [
        ([], None, None, False, b'[],"first_id":null,"last_id":null,"has_more":false}'),
        (
            [b"{}", b"1"],
            "a",
            'b"',
            True,
            b'[{},1],"first_id":"a","last_id":"b\\"","has_more":true}',
        ),
    ],
)
def test_a_list_has_openais_envelope(
    items: list[bytes], first: str | None, last: str | None, more: bool, wanted: bytes
) -> None:
    assert stored.list_body(items, first, last, more) == b'{"object":"list","data":' + wanted


@pytest.mark.parametrize(
    "name",
    every([PAGES_OF_MESSAGES], ["GetChatCompletionMessagesWithAfterIdPagination"]),
)
def test_an_empty_list_is_openais(name: str) -> None:
    (entry,) = (one for one in entries_of(name) if one["response_body"].get("data") == [])
    body = stored.list_body([], None, None, False)
    assert list(standard(body).items()) == list(entry["response_body"].items())
    assert len(body) == 75
    assert int(entry.get("content_length", 75)) == 75
