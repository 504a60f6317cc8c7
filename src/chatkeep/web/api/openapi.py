"""`/openapi.json`, made from the route table."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from chatkeep import __version__
from chatkeep.core.wire.query import Filter
from chatkeep.web.api.schemas import SCHEMAS, STRING, ref
from chatkeep.web.paths import PARAMETER
from chatkeep.web.routes import Operation

_OF_KEYS = (401, 403, 508)
_OF_ANY = (400, 408, 431, 500, 503)


def document(operations: Sequence[Operation], root_path: str) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "chatkeep",
            "version": __version__,
            "description": "Stored chat completions behind OpenAI's API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": root_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "summary": operation.summary,
        "parameters": [*_of_path(operation.path), *map(_of_query, operation.query)],
        "responses": {"200": _answer(operation), **_refusals(operation), **_others(operation)},
        "security": [] if operation.scope is None else [{"key": []}],
    }
    if operation.request is not None:
        content = {operation.request_media: {"schema": ref(operation.request)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _operation_id(operation: Operation) -> str:
    if operation.endpoint != "forward":
        return operation.endpoint
    return "forward" + operation.path.removeprefix("/v1").replace("/", "_")


def _answer(operation: Operation) -> dict[str, Any]:
    schema = STRING if operation.answer is None else ref(operation.answer)
    content = {operation.media: {"schema": schema}}
    if operation.endpoint == "create_completion":
        content["text/event-stream"] = {"schema": STRING}
    return {"description": "OK", "content": content}


def _refusals(operation: Operation) -> dict[str, Any]:
    of_keys = () if operation.scope is None else _OF_KEYS
    content = {"application/json": {"schema": ref("ErrorEnvelope")}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, "content": content}
        for status in sorted({*operation.refusals, *of_keys, *_OF_ANY})
    }


def _others(operation: Operation) -> dict[str, Any]:
    if not operation.forwards:
        return {}
    return {"default": {"description": "The upstream's answer, as it is.", "content": {"*/*": {}}}}


def _of_path(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": STRING}
        for name in PARAMETER.findall(path)
    ]


def _of_query(entry: Filter) -> dict[str, Any]:
    described = {"name": entry.name, "in": "query", "schema": entry.schema}
    style = {"style": "deepObject", "explode": True} if entry.schema["type"] == "object" else {}
    return {**described, **style, "description": entry.says}
