"""Errors as they leave the server: every kind there is, and the shape all of them have."""

import json
import re
from dataclasses import dataclass
from typing import Any

from support import observed
from support.rawhttp import Reply, asked

from chatkeep.core.model import ids

# Each refusal of errors.py: status, type, code. A new one is written here, and then gets a test.
KINDS: dict[str, tuple[int, str, str | None]] = {
    "NotJson": (400, "invalid_request_error", None),
    "NestedTooDeep": (400, "invalid_request_error", "invalid_json"),
    "MissingModel": (400, "invalid_request_error", None),
    "MissingParameter": (400, "invalid_request_error", "missing_required_parameter"),
    "UnknownParameter": (400, "invalid_request_error", "unknown_parameter"),
    "DuplicateParameter": (400, "invalid_request_error", "duplicate_parameter"),
    "InvalidType": (400, "invalid_request_error", "invalid_type"),
    "InvalidValue": (400, "invalid_request_error", "invalid_value"),
    "InvalidCharacter": (400, "invalid_request_error", "invalid_value"),
    "EmptyArray": (400, "invalid_request_error", "empty_array"),
    "ArrayTooLong": (400, "invalid_request_error", "array_above_max_length"),
    "IntegerBelowMin": (400, "invalid_request_error", "integer_below_min_value"),
    "IntegerAboveMax": (400, "invalid_request_error", "integer_above_max_value"),
    "TooManyProperties": (400, "invalid_request_error", "object_above_max_properties"),
    "PropertyNameTooLong": (400, "invalid_request_error", "property_name_above_max_length"),
    "StringTooLong": (400, "invalid_request_error", "string_above_max_length"),
    "InvalidHeader": (400, "invalid_request_error", "invalid_header"),
    "MalformedRequest": (400, "invalid_request_error", "malformed_request"),
    "UnusableValue": (400, "invalid_request_error", "invalid_value"),
    "WrongHost": (400, "invalid_request_error", "invalid_host"),
    "SearchOff": (400, "invalid_request_error", "full_text_off"),
    "SearchEncrypted": (400, "invalid_request_error", "store_encrypted"),
    "MissingKey": (401, "invalid_request_error", None),
    "WrongKey": (401, "invalid_request_error", "invalid_api_key"),
    "ScopeMissing": (403, "invalid_request_error", "insufficient_permissions"),
    "CrossOrigin": (403, "invalid_request_error", "cross_origin_request"),
    "CompletionNotFound": (404, "invalid_request_error", "not_found"),
    "ModelNotFound": (404, "invalid_request_error", "model_not_found"),
    "AttachmentNotFound": (404, "invalid_request_error", "not_found"),
    "KeyNotFound": (404, "invalid_request_error", "not_found"),
    "ProjectNotFound": (404, "invalid_request_error", "not_found"),
    "UnknownUrl": (404, "invalid_request_error", None),
    "MethodNotSupported": (405, "invalid_request_error", "method_not_supported"),
    "RequestTimeout": (408, "invalid_request_error", "request_timeout"),
    "IdempotencyKeyReused": (409, "invalid_request_error", "idempotency_key_reused"),
    "ProjectExists": (409, "invalid_request_error", "project_exists"),
    "BodyExpired": (410, "invalid_request_error", "body_expired"),
    "MetadataChanged": (412, "invalid_request_error", "precondition_failed"),
    "BodyTooLarge": (413, "invalid_request_error", "request_too_large"),
    "UnsupportedCoding": (415, "invalid_request_error", "unsupported_content_encoding"),
    "RateLimitReached": (429, "requests", "rate_limit_exceeded"),
    "HeadTooLarge": (431, "invalid_request_error", "request_head_too_large"),
    "ServerError": (500, "server_error", None),
    "UpstreamUnreachable": (502, "server_error", "upstream_unreachable"),
    "UpstreamFailed": (502, "server_error", "upstream_failed"),
    "UpstreamTimeout": (504, "server_error", "upstream_timeout"),
    "LoopDetected": (508, "server_error", "loop_detected"),
    "ServerBusy": (503, "server_error", "server_busy"),
    "StoreBusy": (503, "server_error", "store_busy"),
    "StoreFailed": (503, "server_error", "store_failed"),
    "TooManyConnections": (503, "server_error", "too_many_connections"),
}
NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using"
    " your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not"
    " valid JSON. If you have trouble figuring out how to fix this, please contact us through our"
    " help center at help.openai.com.)"
)
UNKNOWN = ids.encode(ids.compose(1_760_000_000, 0, 7), bytes(13))  # of our form, and nobody's
REQUEST_ID = re.compile(r"req_[0-9a-f]{32}")


@dataclass(frozen=True)
class Refusal:
    """One of KINDS with its words; `pattern` when part of the message is not ours to choose."""

    kind: str
    message: str
    param: str | None = None
    pattern: bool = False


def brief(given: object) -> str:
    """A parameter's part of a test's name."""
    text = given.kind if isinstance(given, Refusal) else str(given)
    return text if len(text) < 80 else f"{text[:60]} and more, {len(text)} in all"


def wrong_type(param: str, expected: str, got: str) -> Refusal:
    message = f"Invalid type for '{param}': expected {expected}, but got {got} instead."
    return Refusal("InvalidType", message, param)


def create(**fields: Any) -> bytes:
    """A create request with these fields changed or added."""
    messages = [{"role": "user", "content": "hi"}]
    return json.dumps({"model": "m", "messages": messages, **fields}).encode()


async def refused(url: str, request: bytes, wanted: Refusal) -> Reply:
    """Sends the request and checks all there is to check of its answer."""
    reply = await asked(url, request)
    assert_refusal(reply, wanted)
    assert_documented(request, reply, await observed.own(url))
    return reply


def assert_refusal(reply: Reply, wanted: Refusal) -> None:
    status, type, code = KINDS[wanted.kind]
    assert reply.complete
    assert reply.head.status == status, reply.body
    assert reply.head["content-type"] == "application/json"
    assert reply.head["content-length"] == str(len(reply.body))
    assert REQUEST_ID.fullmatch(reply.head["x-request-id"])
    body = json.loads(reply.body)
    assert list(body) == ["error"]
    error = body["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["param"], error["code"]) == (type, wanted.param, code)
    if wanted.pattern:
        assert re.fullmatch(wanted.message, error["message"], re.DOTALL), error["message"]
    else:
        assert error["message"] == wanted.message


def assert_documented(request: bytes, reply: Reply, ours: observed.Document) -> None:
    """Our own OpenAPI document has the answer, and the observed one, our own statuses apart."""
    method, target, _ = request.decode("latin-1").split(" ", 2)
    path, body = target.partition("?")[0], json.loads(reply.body)
    if (template := ours.operation(method, path)) is not None:
        assert ours.problems(method, template, reply.head.status, body) == []
    if (template := observed.observed().operation(method, path)) is not None:
        observed.check(method, template, reply.head.status, body)
