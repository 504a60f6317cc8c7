"""JSON Schemas of what goes in and out (CONTRACT.md §1, §2, §3)."""

from typing import Any

import msgspec

from chatkeep.core.accounts.administration import ChangeKey, CreateKey, ShownKey
from chatkeep.core.accounts.projects import SETTINGS
from chatkeep.core.model.completion import STATUSES
from chatkeep.core.model.usage import FIGURES, OUTCOMES
from chatkeep.core.proxy.models import Health
from chatkeep.core.records.bulk import Bulk, BulkOutcome
from chatkeep.core.records.facets import Facets
from chatkeep.core.wire import metadata
from chatkeep.web.wire import ErrorEnvelope

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
INTEGER_OR_NULL: Schema = {"type": ["integer", "null"]}
NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
STRING_OR_NULL: Schema = {"type": ["string", "null"]}
OBJECT_OR_NULL: Schema = {"type": ["object", "null"]}
ARRAY_OR_NULL: Schema = {"type": ["array", "null"]}
ANY: Schema = {}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Schema, optional: Schema | None = None, *, closed: bool = False) -> Schema:
    schema: Schema = {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }
    return {**schema, "additionalProperties": False} if closed else schema


def _list(item: str) -> Schema:
    return _object(
        {
            "object": {"const": "list"},
            "data": {"type": "array", "items": ref(item)},
            "first_id": STRING_OR_NULL,
            "last_id": STRING_OR_NULL,
            "has_more": {"type": "boolean"},
        }
    )


def _data(item: str) -> Schema:
    return _object({"object": {"const": "list"}, "data": {"type": "array", "items": ref(item)}})


def _of(type_: Any) -> Schema:
    """The schema of a type that holds no Struct, or of a Struct that holds no other."""
    schema, named = msgspec.json.schema_components([type_])
    return _tidied(next(iter(named.values()), schema[0]))


def _components(*structs: type[msgspec.Struct]) -> dict[str, Schema]:
    """The schemas of these Structs and of those in them, by their names."""
    template = "#/components/schemas/{name}"
    _, named = msgspec.json.schema_components(structs, ref_template=template)
    return {name: _tidied(schema) for name, schema in named.items()}


def _tidied(schema: Schema) -> Schema:
    """Its name says a Struct's title, and a docstring's lines are one sentence."""
    described = {"description": " ".join(schema["description"].split())}
    return {key: value for key, value in (schema | described).items() if key != "title"}


_METADATA = _of(metadata.Limited)
_METADATA_OR_NULL: Schema = {**_METADATA, "type": ["object", "null"]}
_SETTINGS: Schema = {
    setting.name: {**setting.kind.schema, "description": setting.says} for setting in SETTINGS
}

SCHEMAS: dict[str, Schema] = {
    **_components(ErrorEnvelope, Bulk, BulkOutcome, Facets, Health, CreateKey, ChangeKey),
    "CreateCompletion": {
        **_object(
            {
                "model": {"type": "string", "minLength": 1},
                "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            },
            {
                "store": {"type": ["boolean", "null"], "default": False},
                "metadata": _METADATA_OR_NULL,
                "stream": {"type": ["boolean", "null"], "default": False},
                "stream_options": OBJECT_OR_NULL,
                "n": {"type": ["integer", "null"], "minimum": 1},
            },
        ),
        "description": "OpenAI's create request. What is not listed here goes to the upstream as it"
        " is.",
    },
    "UpdateCompletion": _object({"metadata": _METADATA_OR_NULL}, closed=True),
    "Completion": _object(
        {"choices": {"type": "array", "items": {"type": "object"}}},
        {"id": STRING, "object": STRING, "created": INTEGER, "model": STRING},
    ),
    "StoredCompletion": {
        **_object(
            {
                "object": {"const": "chat.completion"},
                "id": STRING,
                "model": STRING,
                "created": ANY,
                "request_id": STRING,
                "tool_choice": ANY,
                "usage": OBJECT_OR_NULL,
                "seed": ANY,
                "top_p": NUMBER_OR_NULL,
                "temperature": NUMBER_OR_NULL,
                "presence_penalty": NUMBER_OR_NULL,
                "frequency_penalty": NUMBER_OR_NULL,
                "system_fingerprint": STRING_OR_NULL,
                "input_user": STRING_OR_NULL,
                "service_tier": STRING_OR_NULL,
                "tools": ARRAY_OR_NULL,
                "metadata": _METADATA,
                "choices": {"type": "array", "items": ref("Choice")},
                "response_format": ANY,
            }
        ),
        "description": "The stored object, with every other field the upstream answered.",
    },
    "Choice": _object(
        {
            "index": INTEGER,
            "message": _object(
                {
                    "content": ANY,
                    "role": STRING,
                    "tool_calls": ARRAY_OR_NULL,
                    "function_call": OBJECT_OR_NULL,
                }
            ),
            "finish_reason": STRING_OR_NULL,
            "logprobs": OBJECT_OR_NULL,
        }
    ),
    "CompletionList": _list("StoredCompletion"),
    "Metadata": _METADATA,
    "MetadataPatch": _of(metadata.LimitedPatch),
    "RecordList": _list("Record"),
    "Record": {
        "allOf": [
            ref("StoredCompletion"),
            _object(
                {
                    "received_at": INTEGER,
                    "status": {"enum": list(STATUSES)},
                    "upstream": STRING,
                    "key": INTEGER_OR_NULL,
                    "duration_ms": INTEGER,
                    "first_token_ms": INTEGER_OR_NULL,
                    "cost_micro": INTEGER_OR_NULL,
                    "has_body": {"type": "boolean"},
                }
            ),
        ],
        "description": "The stored object; received_at is the unix second it arrived in, key the"
        " number of the API key it was created with, cost_micro millionths of a US dollar. Without"
        " its body (retain_body_days) it has figures and metadata only.",
    },
    "Conversation": _list("Turn"),
    "Turn": {
        "allOf": [ref("Record"), _object({"parent": {"type": ["string", "null"]}})],
        "description": "parent is the id of the completion it goes on from, null when it begins"
        " the conversation or that one has been deleted.",
    },
    "DeletedCompletion": _object(
        {
            "object": {"const": "chat.completion.deleted"},
            "id": STRING,
            "deleted": {"const": True},
        }
    ),
    "Message": _object(
        {
            "id": STRING,
            "role": STRING,
            "content": STRING_OR_NULL,
            "content_parts": ARRAY_OR_NULL,
            "name": STRING_OR_NULL,
        }
    ),
    "MessageList": _list("Message"),
    "Model": _object({"id": STRING}),
    "ModelList": _data("Model"),
    "Stats": _object(
        {
            "data": {
                "type": "array",
                "items": _object(
                    {
                        name: INTEGER_OR_NULL if name == "cost_micro" else INTEGER
                        for name in FIGURES
                    },
                    {
                        "start": INTEGER,
                        "model": STRING,
                        "upstream": STRING,
                        "key": INTEGER_OR_NULL,
                        "outcome": {"enum": list(OUTCOMES)},
                    },
                ),
            },
            "complete": {"type": "boolean"},
        }
    ),
    "UpstreamList": _object({"data": {"type": "array", "items": ref("Health")}}),
    "Key": _of(ShownKey),
    "NewKey": {"allOf": [ref("Key"), _object({"key": STRING})]},
    "KeyList": _data("Key"),
    "Project": _object(
        {"object": {"const": "project"}, "name": STRING, "created_at": INTEGER, **_SETTINGS}
    ),
    "ProjectList": _data("Project"),
    "CreateProject": _object({"name": STRING}, _SETTINGS, closed=True),
    "ChangeProject": _object({}, _SETTINGS, closed=True),
    "Anything": ANY,
    "ServerStatus": _object({"status": STRING}),
    "OpenApi": {"type": "object"},
}
