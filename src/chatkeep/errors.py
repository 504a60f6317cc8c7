"""Every error chatkeep can answer or raise.

    ChatkeepError
    ├── Refusal                      answered to a client in OpenAI's envelope
    │   ├── 400  NotJson, MissingModel, MissingParameter, UnknownParameter, DuplicateParameter,
    │   │        InvalidType, InvalidValue, InvalidCharacter, NestedTooDeep, EmptyArray,
    │   │        ArrayTooLong, IntegerBelowMin, IntegerAboveMax, TooManyProperties,
    │   │        PropertyNameTooLong, StringTooLong, InvalidHeader, MalformedRequest, UnusableValue,
    │   │        WrongHost, SearchOff, SearchEncrypted
    │   ├── 401  MissingKey, WrongKey            403  ScopeMissing, CrossOrigin
    │   ├── 404  CompletionNotFound, AttachmentNotFound, ModelNotFound, KeyNotFound,
    │   │        ProjectNotFound, UnknownUrl
    │   ├── 405  MethodNotSupported              408  RequestTimeout
    │   ├── 409  IdempotencyKeyReused, ProjectExists
    │   ├── 410  BodyExpired                     412  MetadataChanged
    │   ├── 413  BodyTooLarge                    415  UnsupportedCoding
    │   ├── 429  RateLimitReached                431  HeadTooLarge
    │   ├── 500  ServerError
    │   ├── 503  ServerBusy, StoreBusy, StoreFailed, TooManyConnections
    │   ├── 502  UpstreamUnreachable, UpstreamFailed
    │   ├── 504  UpstreamTimeout                 508  LoopDetected
    ├── ClientLeft                   ends a request that nobody waits for any more
    └── Fault                        stops a command with one line
        ├── BadSetting, StoreLocked, StoreUnreadable, StoreEncrypted, RecordCorrupt,
        │   ModelUnavailable

Texts under /v1 are OpenAI's own where it has one (`tests/unit/test_openais_words.py`); the rest
are ours.
"""

from typing import ClassVar, Literal

ErrorType = Literal["invalid_request_error", "server_error", "requests", "tokens"]


class ChatkeepError(Exception):
    """Anything chatkeep raises on purpose."""


class Refusal(ChatkeepError):
    """A request that ends in an error answer.

    `text` is filled in with `param` and the facts given; `headers` go out with the answer.
    """

    status: ClassVar[int] = 400
    type: ClassVar[ErrorType] = "invalid_request_error"
    code: ClassVar[str | None] = None
    text: ClassVar[str]
    retry_after_s: ClassVar[int | None] = None

    def __init__(
        self,
        param: str | None = None,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        **facts: object,
    ) -> None:
        self.param = param
        retry = self.retry_after_s
        self.headers = headers if retry is None else (*headers, ("retry-after", str(retry)))
        self.message = self.text.format(param=param, **facts)
        super().__init__(self.message)


class NotJson(Refusal):
    text = (
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't"
        " using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was"
        " sent was not valid JSON. If you have trouble figuring out how to fix this, please contact"
        " us through our help center at help.openai.com.)"
    )


class NestedTooDeep(Refusal):
    code = "invalid_json"
    text = "The JSON body is nested too deeply to be read."


class MissingModel(Refusal):
    text = "you must provide a model parameter"


class MissingParameter(Refusal):
    code = "missing_required_parameter"
    text = "Missing required parameter: '{param}'."


class UnknownParameter(Refusal):
    code = "unknown_parameter"
    text = "Unknown parameter: '{param}'.{hint}"


class DuplicateParameter(Refusal):
    code = "duplicate_parameter"
    text = (
        "Duplicate parameter: '{param}'. You provided multiple values for this parameter, whereas"
        " only one is allowed. If you are trying to provide a list of values, use the array syntax"
        " instead e.g. '{param}[]=<value>'."
    )


class InvalidType(Refusal):
    code = "invalid_type"
    text = "Invalid type for '{param}': expected {expected}, but got {got} instead."


class InvalidValue(Refusal):
    code = "invalid_value"
    text = "Invalid value: '{got}'. {expected}"


class InvalidCharacter(Refusal):
    code = "invalid_value"
    text = "Invalid '{param}': {what} cannot be stored."


class EmptyArray(Refusal):
    code = "empty_array"
    text = (
        "Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty"
        " array instead."
    )


class ArrayTooLong(Refusal):
    code = "array_above_max_length"
    text = (
        "Invalid '{param}': array too long. Expected an array with maximum length {bound}, but got"
        " an array with length {got} instead."
    )


class IntegerBelowMin(Refusal):
    code = "integer_below_min_value"
    text = (
        "Invalid '{param}': integer below minimum value. Expected a value >= {bound}, but got {got}"
        " instead."
    )


class IntegerAboveMax(Refusal):
    code = "integer_above_max_value"
    text = (
        "Invalid '{param}': integer above maximum value. Expected a value <= {bound}, but got {got}"
        " instead."
    )


class TooManyProperties(Refusal):
    code = "object_above_max_properties"
    text = (
        "Invalid '{param}': too many properties. Expected an object with at most {bound}"
        " properties, but got an object with {got} properties instead."
    )


class PropertyNameTooLong(Refusal):
    code = "property_name_above_max_length"
    text = (
        "Invalid property name in '{of}': '{short}' is too long. Expected a string with maximum"
        " length {bound}, but got a string with length {got} instead."
    )


class StringTooLong(Refusal):
    code = "string_above_max_length"
    text = (
        "Invalid '{param}': string too long. Expected a string with maximum length {bound}, but got"
        " a string with length {got} instead."
    )


class InvalidHeader(Refusal):
    code = "invalid_header"
    text = "The header {name} is not usable: {why}."


class MalformedRequest(Refusal):
    code = "malformed_request"
    text = "The request could not be read: {why}."


class UnusableValue(Refusal):
    code = "invalid_value"
    text = "{param} is {got}; give {give}."


class WrongHost(Refusal):
    code = "invalid_host"
    text = (
        "Without keys this server answers to names of this machine only, not to {host}: call it as"
        " localhost, or start it without --no-auth."
    )


class SearchOff(Refusal):
    code = "full_text_off"
    text = "The parameter '{param}' cannot be used: full text search is off in this project."


class SearchEncrypted(Refusal):
    code = "store_encrypted"
    text = (
        "The parameter '{param}' cannot be used: this store is encrypted, and has no index of the"
        " words in it."
    )


class MissingKey(Refusal):
    status = 401
    text = (
        "You didn't provide an API key. You need to provide your API key in an Authorization header"
        " using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). Create one with: chatkeep keys"
        " add"
    )


class WrongKey(Refusal):
    status = 401
    code = "invalid_api_key"
    text = "Incorrect API key provided: {masked}. Create one with: chatkeep keys add"


class ScopeMissing(Refusal):
    status = 403
    code = "insufficient_permissions"
    text = "This key may not do that: it needs the scope '{scope}'."


class CrossOrigin(Refusal):
    status = 403
    code = "cross_origin_request"
    text = (
        "Without keys this server answers no web page of another origin, as {origin} is: list the"
        " origin in cors_origins, or start it without --no-auth."
    )


class CompletionNotFound(Refusal):
    status = 404
    code = "not_found"
    text = "Completion {id} not found"


class ModelNotFound(Refusal):
    status = 404
    code = "model_not_found"
    text = "The model '{model}' does not exist"


class AttachmentNotFound(Refusal):
    status = 404
    code = "not_found"
    text = "Part {number} of completion {id} not found"


class KeyNotFound(Refusal):
    status = 404
    code = "not_found"
    text = "Key {id} not found"


class ProjectNotFound(Refusal):
    status = 404
    code = "not_found"
    text = "Project {name} not found"


class UnknownUrl(Refusal):
    status = 404
    text = "Invalid URL ({method} {path})"


class MethodNotSupported(Refusal):
    status = 405
    code = "method_not_supported"
    text = "Only {methods} requests are accepted."


class RequestTimeout(Refusal):
    status = 408
    code = "request_timeout"
    text = "The request did not arrive within {seconds} seconds."


class IdempotencyKeyReused(Refusal):
    status = 409
    code = "idempotency_key_reused"
    text = (
        "The Idempotency-Key was used for another request within the last 24 hours. Give a new"
        " request a new key."
    )


class ProjectExists(Refusal):
    status = 409
    code = "project_exists"
    text = "There is a project {name} already: change it, or give another name."


class BodyExpired(Refusal):
    status = 410
    code = "body_expired"
    text = (
        "The request and the answer of completion {id} are kept no longer, only its metadata and"
        " figures: see retain_body_days of its project."
    )


class MetadataChanged(Refusal):
    status = 412
    code = "precondition_failed"
    text = (
        "The completion's metadata is not what If-Match names: it was changed meanwhile. Retrieve"
        " it again and repeat the update with its new ETag."
    )


class BodyTooLarge(Refusal):
    status = 413
    code = "request_too_large"
    text = "The request body is larger than the {limit} bytes this server accepts."


class UnsupportedCoding(Refusal):
    status = 415
    code = "unsupported_content_encoding"
    text = "The content coding '{coding}' is not supported: send the body as it is, or gzip."


class RateLimitReached(Refusal):
    status = 429
    type = "requests"
    code = "rate_limit_exceeded"
    text = (
        "Rate limit reached for {of} on {what}: Limit {limit}, Used {used}, Requested 1. Please try"
        " again in {wait}."
    )


class HeadTooLarge(Refusal):
    status = 431
    code = "request_head_too_large"
    text = (
        "The request's URL and headers are more than the {limit} bytes or {headers_limit} headers"
        " this server accepts."
    )


class ServerError(Refusal):
    status = 500
    type = "server_error"
    text = "The server had an error while processing your request. Sorry about that!"


class UpstreamUnreachable(Refusal):
    status = 502
    type = "server_error"
    code = "upstream_unreachable"
    text = "The upstream '{upstream}' could not be reached: {detail}."


class UpstreamFailed(Refusal):
    status = 502
    type = "server_error"
    code = "upstream_failed"
    text = "The upstream '{upstream}' broke off its answer: {detail}."


class UpstreamTimeout(Refusal):
    status = 504
    type = "server_error"
    code = "upstream_timeout"
    text = "The upstream '{upstream}' did not answer in time: {detail}."


class LoopDetected(Refusal):
    status = 508
    type = "server_error"
    code = "loop_detected"
    text = "The upstream '{upstream}' is this server itself. Give --upstream another address."


class ServerBusy(Refusal):
    status = 503
    type = "server_error"
    code = "server_busy"
    text = "The server is busy: {limit} requests are in progress. Try again."
    retry_after_s = 1


class StoreBusy(Refusal):
    status = 503
    type = "server_error"
    code = "store_busy"
    retry_after_s = 1
    text = "The store is busy: {detail}. Try again."


class StoreFailed(Refusal):
    status = 503
    type = "server_error"
    code = "store_failed"
    text = "The store failed: {detail}. Nothing of this request was changed."


class TooManyConnections(Refusal):
    status = 503
    type = "server_error"
    code = "too_many_connections"
    text = "The server has as many connections as it accepts. Try again."


class ClientLeft(ChatkeepError):
    """The client went away before its request was read or could be answered."""


class Fault(ChatkeepError):
    """What stops a command: one line that says what to do next."""


class BadSetting(Fault):
    """A setting that cannot be used, with its name, its value and what to give instead."""


class StoreLocked(Fault):
    """Another process serves this store already."""


class StoreUnreadable(Fault):
    """The store cannot be opened: no such folder, no rights, not a database, a newer version."""


class StoreEncrypted(Fault):
    """The store is encrypted, and its key was not given, or another one."""


class RecordCorrupt(Fault):
    """A stored body does not rebuild to what its hash says was stored."""


class ModelUnavailable(Fault):
    """The built-in model is not installed or does not start."""
