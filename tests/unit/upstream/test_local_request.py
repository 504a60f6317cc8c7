"""What the built-in model is asked, and what it declines."""

import json
from typing import Any

import pytest

from chatkeep.upstream.local.child import MAX_TOKENS
from chatkeep.upstream.local.request import MODEL_ID, Declined, Function, Plan, planned

MESSAGES = [{"role": "user", "content": "Hi"}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "now"}},
]
NOW = {"type": "function", "function": {"name": "now"}}


def request(**fields: Any) -> bytes:
    return json.dumps({"model": MODEL_ID, "messages": MESSAGES} | fields).encode()


def declined(body: bytes) -> Declined:
    answer = planned(body)
    assert isinstance(answer, Declined)
    return answer


def plan(**fields: Any) -> Plan:
    answer = planned(request(**fields))
    assert isinstance(answer, Plan), answer
    return answer


def asked(index: int = 0, **fields: Any) -> dict[str, Any]:
    question: dict[str, Any] = json.loads(plan(**fields).question(index))
    return question


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"[" * 100_000])
def test_what_is_no_json_object_is_declined(body: bytes) -> None:
    assert declined(body).status == 400


def test_another_model_does_not_exist() -> None:
    assert json.loads(declined(request(model="gpt-4o")).envelope()) == {
        "error": {
            "message": "The model `gpt-4o` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
    }
    assert declined(request(model="gpt-4o")).status == 404


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", None])
def test_only_text_is_read(kind: str | None) -> None:
    content = [{"type": "text", "text": "What is this?"}, {"type": kind}]
    answer = declined(request(messages=[*MESSAGES, {"role": "user", "content": content}]))
    assert (answer.status, answer.param, answer.code) == (400, "messages", "unsupported_content")
    assert "messages[1]" in answer.message


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"n": 0}, "integer_below_min_value"),
        ({"n": 129}, "integer_above_max_value"),
        ({"max_tokens": 0}, "integer_below_min_value"),
        ({"max_completion_tokens": -1}, "integer_below_min_value"),
    ],
)
def test_numbers_out_of_bounds_are_declined(fields: dict[str, int], code: str) -> None:
    answer = declined(request(**fields))
    assert (answer.status, answer.param, answer.code) == (400, next(iter(fields)), code)


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tool_choice": "required", "tools": []},
        {"tool_choice": {"type": "function", "function": {"name": "later"}}, "tools": TOOLS},
    ],
)
def test_a_forced_call_needs_its_function(fields: dict[str, Any]) -> None:
    assert declined(request(**fields)).param == "tool_choice"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, MAX_TOKENS),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"max_completion_tokens": 1_000_000}, MAX_TOKENS),
        ({"max_tokens": "many"}, "many"),  # llama.cpp says what is wrong with it
    ],
)
def test_the_length_is_as_asked_up_to_a_cap(fields: dict[str, Any], expected: object) -> None:
    assert asked(**fields)["max_tokens"] == expected


def test_the_child_always_streams_and_counts() -> None:
    question = asked(stream=False)
    assert question["stream"] is True
    assert question["return_progress"] is True
    assert question["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("fields", "include_usage"),
    [
        ({}, True),
        ({"stream": True}, False),
        ({"stream": True, "stream_options": None}, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True),
    ],
)
def test_usage_is_in_plain_answers_and_in_streams_that_ask(
    fields: dict[str, Any], include_usage: bool
) -> None:
    assert plan(**fields).include_usage is include_usage


def test_fields_that_mean_nothing_to_the_model_are_dropped() -> None:
    extra: dict[str, Any] = {"reasoning_format": "zz", "service_tier": "auto", "id_slot": 3, "n": 2}
    given: dict[str, Any] = {"temperature": 0, "stop": ["x"], "top_p": None}
    assert asked(**extra, **given) == asked(temperature=0, stop=["x"])


@pytest.mark.parametrize(("given", "expected"), [(None, 1), (0, 1), (4, 4)])
def test_logprobs_come_with_no_more_alternatives_than_asked(
    given: int | None, expected: int
) -> None:
    assert asked(logprobs=True, top_logprobs=given)["top_logprobs"] == expected


def test_each_choice_has_a_seed_of_its_own() -> None:
    assert [asked(index, seed=7, n=3)["seed"] for index in range(3)] == [7, 8, 9]
    assert "seed" not in asked(2, n=3)


def test_lone_surrogates_are_replaced() -> None:
    body = request(messages=[{"role": "user", "content": "a\ud83db"}])
    answer = planned(body)
    assert isinstance(answer, Plan)
    assert json.loads(answer.question(0))["messages"][0]["content"] == "a?b"


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_tools_are_dropped_unless_a_call_is_forced(choice: str | None) -> None:
    fields = plan(tools=TOOLS, tool_choice=choice)
    assert fields.functions == ()
    assert "tools" not in json.loads(fields.question(0))


def test_required_leaves_the_choice_among_all_functions() -> None:
    choosing = plan(tools=TOOLS, tool_choice="required", max_tokens=1)
    assert [function.name for function in choosing.functions] == ["weather", "now"]
    question = json.loads(choosing.choosing())
    assert question["response_format"]["json_schema"]["schema"] == {"enum": ["weather", "now"]}
    assert question["max_tokens"] == MAX_TOKENS


def test_a_named_function_is_the_only_one() -> None:
    (function,) = plan(tools=TOOLS, tool_choice=NOW).functions
    assert function == Function("now", {"type": "object", "properties": {}})


def test_a_call_is_asked_for_by_the_schema_of_its_parameters() -> None:
    function = Function("weather", WEATHER)
    calling = plan(tools=TOOLS, tool_choice="required", response_format={"type": "text"})
    asked_for = json.loads(calling.question(0, function))["response_format"]
    assert asked_for["type"] == "json_schema"
    assert asked_for["json_schema"]["schema"] == WEATHER
