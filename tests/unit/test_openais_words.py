"""What OpenAI says when it refuses, and that we say it in the same words."""

import json
import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
from support import contract
from support.refusals import NOT_JSON

from chatkeep import errors
from chatkeep.core.accounts.keys import bearer, masked
from chatkeep.core.wire import metadata
from chatkeep.core.wire.chat import request
from chatkeep.core.wire.query import did_you_mean
from chatkeep.core.wire.request import StoreHeaders
from chatkeep.errors import Refusal

INVALID = "invalid_request_error"
VALUES: dict[str, object] = {"an integer": 7, "a string": "seven", "a boolean": True}


class Words(NamedTuple):
    """A refusal; `{0}` and so on in its texts stand for what the request had."""

    status: int
    type: str
    code: str | None
    param: str | None
    message: str

    def about(self, *facts: str) -> dict[str, object]:
        return {
            "status": self.status,
            "type": self.type,
            "code": self.code,
            "param": self.param and self.param.format(*facts),
            "message": self.message.format(*facts),
        }

    def facts_in(self, known: dict[str, str]) -> tuple[str, ...]:
        """The facts of which this says the known message and parameter."""
        pattern, seen = "", set()
        for text in re.split(r"(\{\d\})", f"{self.message}\n{self.param or ''}"):
            name = f"f{text[1:-1]}" if re.fullmatch(r"\{\d\}", text) else None
            if name is None:
                pattern += re.escape(text)
            else:
                pattern += f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
                seen.add(name)
        found = re.fullmatch(pattern, f"{known['message']}\n{known['param'] or ''}")
        assert found is not None, (pattern, known)
        return tuple(found[f"f{number}"] for number in range(len(seen)))


class Case(NamedTuple):
    known: str  # as the originals call it
    words: Words
    refusing: Callable[..., object]  # of what the request had: our code that refuses it
    example: tuple[str, ...] = ()


def invalid(code: str | None, param: str | None, message: str, status: int = 400) -> Words:
    return Words(status, INVALID, code, param, message)


def wrong_type(param: str, expected: str) -> Words:
    message = f"Invalid type for '{param}': expected {expected}, but got {{0}} instead."
    return invalid("invalid_type", param, message)


def create(**fields: object) -> None:
    request.read_request(json.dumps(fields).encode(), StoreHeaders())


def raised(error: Refusal) -> None:
    raise error


MESSAGES = [{"role": "user", "content": "hi"}]
CASES = {
    "an unknown completion": Case(
        "unknown completion: GET, DELETE, GET messages",
        invalid("not_found", "completion_id", "Completion {0} not found", 404),
        lambda id: raised(errors.CompletionNotFound("completion_id", id=id)),
        ("comp-of-nobody",),
    ),
    "an unknown model": Case(
        "unknown model object",
        invalid("model_not_found", "model", "The model '{0}' does not exist", 404),
        lambda model: raised(errors.ModelNotFound("model", model=model)),
        ("nobodys-model",),
    ),
    "a pair of metadata too many": Case(
        "metadata: too many pairs",
        invalid(
            "object_above_max_properties",
            "metadata",
            "Invalid 'metadata': too many properties. Expected an object with at most 16"
            " properties, but got an object with {0} properties instead.",
        ),
        lambda pairs: metadata.checked({str(number): "" for number in range(int(pairs))}),
        ("18",),
    ),
    "a value of metadata that is too long": Case(
        "metadata: value too long",
        invalid(
            "string_above_max_length",
            "metadata.{0}",
            "Invalid 'metadata.{0}': string too long. Expected a string with maximum length 512,"
            " but got a string with length {1} instead.",
        ),
        lambda key, length: metadata.checked({key: "v" * int(length)}),
        ("season", "513"),
    ),
    "a key of metadata that is too long": Case(
        "metadata: key too long",
        invalid(
            "property_name_above_max_length",
            "metadata.{2}",
            "Invalid property name in 'metadata': '{0}' is too long. Expected a string with"
            " maximum length 64, but got a string with length {1} instead.",
        ),
        lambda shown, length, key: metadata.checked({key: ""}),
        ("sea...son", "65", f"sea{'-' * 59}son"),
    ),
    "a value of metadata that is no string": Case(
        "metadata: value not a string",
        invalid(
            "invalid_type",
            "metadata.{0}",
            "Invalid type for 'metadata.{0}': expected a string, but got {1} instead.",
        ),
        lambda key, got: metadata.checked({key: VALUES[got]}),
        ("season", "a boolean"),
    ),
    "metadata that is no map": Case(
        "metadata: not an object",
        wrong_type("metadata", "a metadata object"),
        lambda got: metadata.checked(VALUES[got]),
        ("an integer",),
    ),
    "no messages": Case(
        "required parameter missing",
        invalid("missing_required_parameter", "{0}", "Missing required parameter: '{0}'."),
        lambda _: create(model="m"),
        ("messages",),
    ),
    "no model": Case(
        "model missing",
        invalid(None, None, "you must provide a model parameter"),
        lambda: create(messages=MESSAGES),
    ),
    "an unknown parameter": Case(
        "unknown parameter",
        invalid("unknown_parameter", "{0}", "Unknown parameter: '{0}'."),
        lambda name: raised(errors.UnknownParameter(name, hint="")),
        ("colour",),
    ),
    "an unknown parameter that is like known ones": Case(
        "unknown parameter, near a known one",
        invalid(
            "unknown_parameter", "{0}", "Unknown parameter: '{0}'. Did you mean '{1}' or '{2}'?"
        ),
        lambda name, *near: raised(
            errors.UnknownParameter(name, hint=did_you_mean(name, ("n", *near, "stream")))
        ),
        ("color", "colors", "colour"),
    ),
    "store that is no boolean": Case(
        "store of wrong type",
        wrong_type("store", "a boolean"),
        lambda got: create(model="m", messages=MESSAGES, store=VALUES[got]),
        ("an integer",),
    ),
    "an integer too small": Case(
        "integer below minimum",
        invalid(
            "integer_below_min_value",
            "n",
            "Invalid 'n': integer below minimum value. Expected a value >= 1, but got {0} instead.",
        ),
        lambda got: create(model="m", messages=MESSAGES, n=int(got)),
        ("-3",),
    ),
    "an integer too large": Case(
        "integer above maximum",
        invalid(
            "integer_above_max_value",
            "{0}",
            "Invalid '{0}': integer above maximum value. Expected a value <= {1}, but got {2}"
            " instead.",
        ),
        lambda param, bound, got: raised(errors.IntegerAboveMax(param, bound=bound, got=got)),
        ("limit", "100", "1000"),
    ),
    "none of the values there are": Case(
        "enum value",
        invalid("invalid_value", "{2}", "Invalid value: '{0}'. Supported values are: {1}."),
        lambda got, values, param: raised(
            errors.InvalidValue(param, got=got, expected=f"Supported values are: {values}.")
        ),
        ("up", "'asc' and 'desc'", "order"),
    ),
    "an empty list of messages": Case(
        "empty array",
        invalid(
            "empty_array",
            "messages",
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an"
            " empty array instead.",
        ),
        lambda: create(model="m", messages=[]),
    ),
    "a body that is no JSON": Case(
        "body is not JSON (also: empty body)",
        invalid(None, None, NOT_JSON),
        lambda: request.read_request(b"", StoreHeaders()),
    ),
    "a method that a URL has not": Case(
        "method not supported",
        invalid("method_not_supported", None, "Only {0} requests are accepted.", 405),
        lambda methods: raised(errors.MethodNotSupported(methods=methods)),
        ("GET",),
    ),
    "an unknown URL": Case(
        "unknown URL",
        invalid(None, None, "Invalid URL ({0} {1})", 404),
        lambda method, path: raised(errors.UnknownUrl(method=method, path=path)),
        ("PUT", "/v1/leaves"),
    ),
    "a failure of the server": Case(
        "server error",
        Words(
            500,
            "server_error",
            None,
            None,
            "The server had an error while processing your request. Sorry about that!",
        ),
        lambda: raised(errors.ServerError()),
    ),
}
# The same in other words: only the first sentence is OpenAI's (DESIGN.md §2).
REWORDED = {
    "no key": Case(
        "no API key",
        invalid(None, None, "You didn't provide an API key. ", 401),
        lambda: bearer(""),
    ),
    "a wrong key": Case(
        "wrong API key",
        invalid("invalid_api_key", None, "Incorrect API key provided: {0}. ", 401),
        lambda shown: raised(errors.WrongKey(masked=masked(shown.replace("*", "x")))),
        ("of-nobod***********tree",),
    ),
}
CREATE_ONE = " Create one with: chatkeep keys add"
NOT_OURS = {
    "wrong API key, short": "shows the whole key; we mask it",
    "metadata without store (2024-2025; no longer refused in the 2026-08-30 probe)": "accepted",
    "empty string": "about a field that is the upstream's to check",
    "method not supported, older text": "the newer one is used",
    "rate limit": "on tokens, which is the upstream's; ours is on requests, in the same words",
    "server error inside a stream": "the upstream's",
    "invalid function schema": "the upstream's",
}


def refused(case: Case, *facts: str) -> dict[str, object]:
    with pytest.raises(Refusal) as raised:
        case.refusing(*facts)
    error = raised.value
    return {
        "status": error.status,
        "type": error.type,
        "code": error.code,
        "param": error.param,
        "message": error.message,
    }


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_given_in_openais_words(name: str) -> None:
    case = CASES[name]
    assert refused(case, *case.example) == case.words.about(*case.example)


@pytest.mark.recordings
@pytest.mark.parametrize("name", CASES)
def test_the_words_are_those_that_were_recorded(name: str) -> None:
    case = CASES[name]
    known = contract.errors()[case.known]
    facts = case.words.facts_in(known)
    assert refused(case, *facts) == case.words.about(*facts) == known


@pytest.mark.parametrize("name", REWORDED)
def test_a_refused_key_is_told_where_to_get_one_of_ours(name: str) -> None:
    case = REWORDED[name]
    assert_reworded(refused(case, *case.example), case.words.about(*case.example))


@pytest.mark.recordings
@pytest.mark.parametrize("name", REWORDED)
def test_of_a_refused_key_the_first_sentence_is_as_recorded(name: str) -> None:
    case = REWORDED[name]
    recorded = contract.errors()[case.known]
    first_sentence, end, _ = recorded["message"].partition(". ")
    known = {**recorded, "message": first_sentence + end}
    facts = case.words.facts_in(known)
    assert case.words.about(*facts) == known
    assert_reworded(refused(case, *facts), known)


def assert_reworded(given: dict[str, object], wanted: dict[str, object]) -> None:
    message, first_sentence = str(given.pop("message")), str(wanted.pop("message"))
    assert given == wanted
    assert message.startswith(first_sentence)
    assert message.endswith(CREATE_ONE)


@pytest.mark.recordings
def test_every_recorded_case_is_accounted_for() -> None:
    ours = [case.known for case in (*CASES.values(), *REWORDED.values())]
    assert sorted(contract.errors()) == sorted([*ours, *NOT_OURS])
