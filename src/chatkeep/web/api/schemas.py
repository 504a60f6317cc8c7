"""JSON Schemas of what goes in and out (CONTRACT.md §1, §2, §3)."""

from typing import Any

from chatkeep.core.accounts.projects import SETTINGS
from chatkeep.core.model.completion import SCOPES, STATUSES, Facts
from chatkeep.core.model.usage import FIGURES, OUTCOMES
from chatkeep.core.records import bulk

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


_METADATA: Schema = {
    "type": "object",
    "description": "At most 16 pairs; keys up to 64 characters, values up to 512.",
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}
_INTEGER_OR_NULL: Schema = {"type": ["integer", "null"]}
_SCOPES: Schema = {"type": "array", "items": {"enum": list(SCOPES)}}
_SETTINGS: Schema = {
    setting.name: {**setting.kind.schema, "description": setting.says} for setting in SETTINGS
}
_KEY: Schema = {
    "object": {"const": "key"},
    "id": INTEGER,
    "name": STRING,
    "project": STRING,
    "hint": STRING,
    "scopes": _SCOPES,
    "created_at": INTEGER,
    "expires_at": _INTEGER_OR_NULL,
    "last_used_at": _INTEGER_OR_NULL,
    "revoked_at": _INTEGER_OR_NULL,
}
_METADATA_OR_NULL: Schema = {**_METADATA, "type": ["object", "null"]}

SCHEMAS: dict[str, Schema] = {
    "Error": _object(
        {
            "error": _object(
                {
                    "message": STRING,
                    "type": STRING,
                    "param": STRING_OR_NULL,
                    "code": STRING_OR_NULL,
                },
                closed=True,
            )
        },
        closed=True,
    ),
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
    "MetadataPatch": {
        "type": "object",
        "description": "The pairs to set, and null for those to remove. All in all, at most 16.",
        "additionalProperties": {"type": ["string", "null"], "maxLength": 512},
    },
    "Bulk": {
        **_object(
            {},
            {
                "filter": _object(
                    {},
                    {
                        entry.name: {**entry.schema, "description": entry.says}
                        for entry in bulk.FILTERS
                    },
                    closed=True,
                ),
                "all": {"type": "boolean", "default": False},
                "after": STRING_OR_NULL,
                "delete": {"type": "boolean", "default": False},
                "metadata": ref("MetadataPatch"),
                "dry_run": {"type": "boolean", "default": False},
            },
            closed=True,
        ),
        "description": "A filter, or all: true; delete: true, or metadata to merge into what is"
        " there. From the newest to the oldest, beginning behind the id after.",
    },
    "BulkOutcome": {
        **_object(
            {"matched": INTEGER, "complete": {"type": "boolean"}},
            {
                "deleted": INTEGER,
                "changed": INTEGER,
                "refused": INTEGER,
                "last_id": STRING_OR_NULL,
                "error": STRING_OR_NULL,
            },
            closed=True,
        ),
        "description": "Not complete: the rest is behind last_id; error says what was in the way,"
        " if not the time. refused had no room for more pairs, or are damaged.",
    },
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
    "Facets": _object(
        {
            "looked_at": INTEGER,
            "complete": {"type": "boolean"},
            "facets": _object(
                {name: ref("Facet") for name in (*Facts._fields[:-1], "metadata_keys")},
                {"values": ref("Facet")},
            ),
        }
    ),
    "Facet": _object(
        {
            "values": {"type": "array", "items": _object({"value": ANY, "count": INTEGER})},
            "more": {"type": "boolean"},
        }
    ),
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
    "UpstreamList": _object(
        {
            "data": {
                "type": "array",
                "items": _object(
                    {
                        "upstream": STRING,
                        "ok": {"type": "boolean"},
                        "latency_ms": INTEGER,
                        "models": INTEGER,
                        "error": STRING_OR_NULL,
                    }
                ),
            }
        }
    ),
    "Key": _object(_KEY),
    "NewKey": _object({**_KEY, "key": STRING}),
    "KeyList": _data("Key"),
    "CreateKey": _object(
        {},
        {
            "name": STRING_OR_NULL,
            "project": STRING_OR_NULL,
            "scopes": {**_SCOPES, "minItems": 1},
            "expires_at": _INTEGER_OR_NULL,
        },
        closed=True,
    ),
    "ChangeKey": _object({}, {"name": STRING_OR_NULL, "expires_at": _INTEGER_OR_NULL}, closed=True),
    "Project": _object(
        {"object": {"const": "project"}, "name": STRING, "created_at": INTEGER, **_SETTINGS}
    ),
    "ProjectList": _data("Project"),
    "CreateProject": _object({"name": STRING}, _SETTINGS, closed=True),
    "ChangeProject": _object({}, _SETTINGS, closed=True),
    "Anything": ANY,
    "Health": _object({"status": STRING}),
    "OpenApi": {"type": "object"},
}
