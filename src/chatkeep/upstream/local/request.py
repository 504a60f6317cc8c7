"""A chat completion request as the built-in model is asked it, or why it is declined.

The model knows neither tools nor several choices: a call that the request forces is asked for as
an answer by the function's JSON schema, and each choice is a question of its own.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from chatkeep.upstream.local.child import MAX_TOKENS

MODEL_ID = "smollm2-135m"
MAX_CHOICES = 128

# The rest is dropped: llama.cpp has fields of its own and answers 500 to some values of them.
_FORWARDED = (
    "messages",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
)
_BOUNDS: tuple[tuple[str, int, int | None], ...] = (
    ("n", 1, MAX_CHOICES),
    ("max_tokens", 1, None),
    ("max_completion_tokens", 1, None),
)
_NO_PARAMETERS = {"type": "object", "properties": {}}


class Declined(NamedTuple):
    """An error as an OpenAI-compatible upstream answers it."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    type: str = "invalid_request_error"

    def envelope(self) -> bytes:
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return json.dumps({"error": error}).encode()


class Function(NamedTuple):
    """A function that may be called, its parameters as JSON schema."""

    name: str
    parameters: Any


class Plan(NamedTuple):
    """What to ask, how often, and how to answer.

    `functions` are those of which one must be called; none: an answer in words.
    """

    fields: Mapping[str, Any]
    n: int
    stream: bool
    include_usage: bool
    functions: tuple[Function, ...]

    def question(self, index: int, call: Function | None = None) -> bytes:
        """The request for one choice."""
        fields = dict(self.fields)
        seed = fields.get("seed")
        if isinstance(seed, int):
            fields["seed"] = seed + index  # or all choices would be the same
        if call is not None:
            fields["response_format"] = _by_schema(call.parameters)
        return _encoded(fields)

    def choosing(self) -> bytes:
        """The request for the name of one of the functions."""
        names = {"enum": [function.name for function in self.functions]}
        schema = {"response_format": _by_schema(names), "max_tokens": MAX_TOKENS}
        return _encoded({**self.fields, **schema})


def planned(body: bytes) -> Plan | Declined:
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        return Declined(400, "The body of the request is not a JSON object.")
    declined = _unknown_model(request) or _out_of_bounds(request) or _unreadable(request)
    if declined is not None:
        return declined
    functions = _forced(request)
    if isinstance(functions, Declined):
        return functions
    stream = bool(request.get("stream"))
    return Plan(
        fields=_fields(request),
        n=request.get("n") or 1,
        stream=stream,
        include_usage=not stream or _wants_usage(request),
        functions=functions,
    )


def _unknown_model(request: dict[str, Any]) -> Declined | None:
    model = request.get("model")
    if model == MODEL_ID:
        return None
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Declined(404, message, code="model_not_found")


def _out_of_bounds(request: dict[str, Any]) -> Declined | None:
    for name, low, high in _BOUNDS:
        value = request.get(name)
        if not isinstance(value, int):
            continue
        if value < low:
            what, wanted, code = "below minimum", f">= {low}", "integer_below_min_value"
        elif high is not None and value > high:
            what, wanted, code = "above maximum", f"<= {high}", "integer_above_max_value"
        else:
            continue
        message = (
            f"Invalid '{name}': integer {what} value. Expected a value {wanted},"
            f" but got {value} instead."
        )
        return Declined(400, message, name, code)
    return None


def _unreadable(request: dict[str, Any]) -> Declined | None:
    for number, message in enumerate(_dicts(request.get("messages"))):
        for part in _dicts(message.get("content")):
            if part.get("type") != "text":
                text = (
                    f"The model {MODEL_ID} reads text only, but messages[{number}] has a part of"
                    f" the type {json.dumps(part.get('type'))}."
                )
                return Declined(400, text, "messages", "unsupported_content")
    return None


def _forced(request: dict[str, Any]) -> tuple[Function, ...] | Declined:
    given = tuple(
        Function(function["name"], function.get("parameters") or _NO_PARAMETERS)
        for tool in _dicts(request.get("tools"))
        if isinstance(function := tool.get("function"), dict) and "name" in function
    )
    match request.get("tool_choice"):
        case "required":
            wanted = given
        case {"type": "function", "function": {"name": name}}:
            wanted = tuple(function for function in given if function.name == name)
        case _:
            return ()
    message = "Invalid value for 'tool_choice': it asks for a function that is not in 'tools'."
    return wanted or Declined(400, message, "tool_choice")


def _fields(request: dict[str, Any]) -> dict[str, Any]:
    given = {name: request[name] for name in _FORWARDED if request.get(name) is not None}
    if request.get("logprobs"):
        given["top_logprobs"] = request.get("top_logprobs") or 1  # 0 would mean none, absent 20
    limit = request.get("max_completion_tokens") or request.get("max_tokens") or MAX_TOKENS
    return {
        **given,
        "max_tokens": min(limit, MAX_TOKENS) if isinstance(limit, int) else limit,
        "stream_options": {"include_usage": True},
        # Without these llama.cpp goes on with a plain call, and with a prompt, whose client left.
        "stream": True,
        "return_progress": True,
    }


def _wants_usage(request: dict[str, Any]) -> bool:
    options = request.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _by_schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _encoded(fields: Mapping[str, Any]) -> bytes:
    # llama.cpp refuses lone surrogates, which JavaScript clients send.
    return json.dumps(fields, ensure_ascii=False).encode(errors="replace")
