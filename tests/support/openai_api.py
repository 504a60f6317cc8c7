"""What OpenAI's API answers and is asked as far as our tests need it, as an OpenAPI document.

It says what is observed rather than what is published: the stored object with its 19 keys, ends of
pages that are null, errors of every operation. That it agrees with the document that fits the
recordings is checked where that one is (test_openapi.py).
"""

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

ANYTHING: Schema = {}
STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": [*values]}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def map_of(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def record(also: dict[str, Schema] | None = None, **required: Schema) -> Schema:
    """An object with these members, those of `also` being optional; others may be there."""
    return {"type": "object", "required": [*required], "properties": required | (also or {})}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def page_of(schema: Schema) -> Schema:
    ends = dict.fromkeys(("first_id", "last_id"), or_null(STRING))
    return record(object=one_of("list"), data=list_of(schema), **ends, has_more=BOOLEAN)


TOOL_CALL = {
    "oneOf": [
        record(
            id=STRING,
            type=one_of("function"),
            function=record(name=STRING, arguments=STRING),
        ),
        record(id=STRING, type=one_of("custom"), custom=record(name=STRING, input=STRING)),
    ]
}
CITATION = record(start_index=INTEGER, end_index=INTEGER, url=STRING, title=STRING)
AUDIO = record(id=STRING, expires_at=INTEGER, data=STRING, transcript=STRING)
MESSAGE = record(
    {
        "refusal": or_null(STRING),
        "tool_calls": or_null(list_of(TOOL_CALL)),
        "annotations": list_of(record(type=one_of("url_citation"), url_citation=CITATION)),
        "function_call": or_null(record(name=STRING, arguments=STRING)),
        "audio": or_null(AUDIO),
    },
    role=one_of("assistant"),
    content=or_null(STRING),
)
PIECE = record(token=STRING, logprob=NUMBER, bytes=or_null(list_of(INTEGER)))
TOKENS = or_null(
    list_of(
        record(
            token=STRING,
            logprob=NUMBER,
            bytes=or_null(list_of(INTEGER)),
            top_logprobs=list_of(PIECE),
        )
    )
)
CHOICE = record(
    {"logprobs": or_null(record(content=TOKENS, refusal=TOKENS))},
    finish_reason=one_of("stop", "length", "tool_calls", "content_filter", "function_call"),
    index=INTEGER,
    message=ref("Message"),
)
PROMPT_COUNTS = ("audio", "cached", "text", "image", "cache_write")
COMPLETION_COUNTS = ("accepted_prediction", "audio", "reasoning", "text", "rejected_prediction")


def counts(kinds: Iterable[str]) -> Schema:
    return record({f"{kind}_tokens": INTEGER for kind in kinds})


USAGE = record(
    {
        "prompt_tokens_details": counts(PROMPT_COUNTS),
        "completion_tokens_details": counts(COMPLETION_COUNTS),
    },
    prompt_tokens=INTEGER,
    completion_tokens=INTEGER,
    total_tokens=INTEGER,
)
TIER = or_null(one_of("auto", "default", "flex", "scale", "priority", "fast"))
COMPLETION = record(
    {
        "metadata": or_null(map_of(STRING)),
        "service_tier": TIER,
        "system_fingerprint": STRING,
        "usage": ref("Usage"),
    },
    id=STRING,
    object=one_of("chat.completion"),
    created=INTEGER,
    model=STRING,
    choices=list_of(CHOICE),
)
STORED = record(
    object=one_of("chat.completion"),
    id=STRING,
    model=STRING,
    created=INTEGER,
    request_id=STRING,
    tool_choice=ANYTHING,
    usage=ref("Usage"),
    seed=or_null(INTEGER),
    top_p=or_null(NUMBER),
    temperature=or_null(NUMBER),
    presence_penalty=or_null(NUMBER),
    frequency_penalty=or_null(NUMBER),
    system_fingerprint=STRING,
    input_user=or_null(STRING),
    service_tier=TIER,
    tools=or_null(list_of({"type": "object"})),
    metadata={**map_of(STRING), "maxProperties": 16},
    choices=list_of(CHOICE),
    response_format=ANYTHING,
)
ITEM = record(
    {
        "content_parts": or_null(list_of(record(type=ANYTHING))),
        "name": or_null(STRING),
        "tool_calls": or_null(list_of(TOOL_CALL)),
        "tool_call_id": or_null(STRING),
        "refusal": or_null(STRING),
    },
    id=STRING,
    role=one_of("developer", "system", "user", "assistant", "tool", "function"),
    content=or_null(STRING),
)
MODEL = record(
    {"shutdown_date": or_null(STRING)},
    id=STRING,
    object=one_of("model"),
    created=INTEGER,
    owned_by=STRING,
)
ERROR = record(message=STRING, type=STRING, param=or_null(STRING), code=or_null(STRING))
SCHEMAS: dict[str, Schema] = {
    "Message": MESSAGE,
    "Usage": USAGE,
    "Completion": COMPLETION,
    "StoredCompletion": STORED,
    "StoredCompletions": page_of(ref("StoredCompletion")),
    "StoredMessages": page_of(ITEM),
    "DeletedCompletion": record(
        object=one_of("chat.completion.deleted"), id=STRING, deleted=BOOLEAN
    ),
    "Model": MODEL,
    "Models": record(object=one_of("list"), data=list_of(ref("Model"))),
    "ErrorResponse": record(error=ERROR),
}

# What a create may ask for besides the model and its messages.
PENALTY = or_null({"type": "number", "minimum": -2, "maximum": 2})
CREATE = record(
    {
        "audio": or_null(record(voice=STRING, format=STRING)),
        "frequency_penalty": PENALTY,
        "function_call": {"anyOf": [one_of("none", "auto"), record(name=STRING)]},
        "functions": list_of(record(name=STRING)),
        "logit_bias": or_null(map_of(INTEGER)),
        "logprobs": or_null(BOOLEAN),
        "max_completion_tokens": or_null(INTEGER),
        "max_tokens": or_null(INTEGER),
        "metadata": or_null(map_of(STRING)),
        "modalities": or_null(list_of(one_of("text", "audio"))),
        "moderation": or_null({"type": "object"}),
        "n": or_null({"type": "integer", "minimum": 1, "maximum": 128}),
        "parallel_tool_calls": BOOLEAN,
        "prediction": or_null(record(type=one_of("content"), content=STRING)),
        "presence_penalty": PENALTY,
        "prompt_cache_key": STRING,
        "prompt_cache_options": {"type": "object"},
        "prompt_cache_retention": or_null(STRING),
        "reasoning_effort": or_null(STRING),
        "response_format": record(type=one_of("text", "json_object")),
        "safety_identifier": STRING,
        "seed": or_null(INTEGER),
        "service_tier": TIER,
        "stop": or_null({"anyOf": [STRING, list_of(STRING)]}),
        "store": or_null(BOOLEAN),
        "stream": or_null(BOOLEAN),
        "stream_options": or_null(
            record({"include_usage": BOOLEAN, "include_obfuscation": BOOLEAN})
        ),
        "temperature": or_null({"type": "number", "minimum": 0, "maximum": 2}),
        "tool_choice": {"anyOf": [one_of("none", "auto", "required"), {"type": "object"}]},
        "tools": list_of(record(type=one_of("function"), function=record(name=STRING))),
        "top_logprobs": or_null({"type": "integer", "minimum": 0, "maximum": 20}),
        "top_p": or_null({"type": "number", "minimum": 0, "maximum": 1}),
        "user": STRING,
        "verbosity": or_null(one_of("low", "medium", "high")),
        "web_search_options": {"type": "object"},
    },
    model=STRING,
    messages={"type": "array", "minItems": 1, "items": record(role=STRING)},
)
UPDATE = record(metadata=or_null(map_of(STRING)))
ID = ("completion_id", "path", STRING)
PAGED = (
    ("after", "query", STRING),
    ("limit", "query", INTEGER),
    ("order", "query", one_of("asc", "desc")),
)
FILTERS = (("model", "query", STRING), ("metadata", "query", or_null(map_of(STRING))))


def operation(
    answer: str,
    *parameters: tuple[str, str, Schema],
    body: Schema | None = None,
    refusals: Iterable[int] = (),
) -> Schema:
    refused = dict.fromkeys(map(str, (400, 401, *refusals, 500)), _json(ref("ErrorResponse")))
    asked = {} if body is None else {"requestBody": {**_json(body), "required": True}}
    return {
        "parameters": [_parameter(*one) for one in parameters],
        "responses": {"200": _json(ref(answer)), **refused},
        **asked,
    }


def _parameter(name: str, place: str, schema: Schema) -> Schema:
    style = {"style": "deepObject", "explode": True} if name == "metadata" else {}
    return {"name": name, "in": place, "required": place == "path", "schema": schema, **style}


def _json(schema: Schema) -> Schema:
    return {"description": "JSON", "content": {"application/json": {"schema": schema}}}


def document() -> Schema:
    one, all_ = "/chat/completions/{completion_id}", "/chat/completions"
    return {
        "openapi": "3.1.0",
        "info": {"title": "OpenAI's API as it is observed", "version": "1"},
        "paths": {
            all_: {
                "get": operation("StoredCompletions", *FILTERS, *PAGED),
                "post": operation("Completion", body=CREATE, refusals=(404, 413, 415, 429)),
            },
            one: {
                "get": operation("StoredCompletion", ID, refusals=(404,)),
                "post": operation("StoredCompletion", ID, body=UPDATE, refusals=(404, 413, 415)),
                "delete": operation("DeletedCompletion", ID, refusals=(404,)),
            },
            f"{one}/messages": {
                "get": operation("StoredMessages", ID, *PAGED, refusals=(404,)),
            },
            "/models": {"get": operation("Models")},
            "/models/{model}": {
                "get": operation("Model", ("model", "path", STRING), refusals=(404,)),
            },
        },
        "components": {"schemas": SCHEMAS},
    }
