"""The errors: OpenAI's own words where they are known, and one tree that names them all."""

import json
import re
import string
from collections.abc import Callable, Iterable

import pytest
from support.data import DATA

from chatkeep import errors
from chatkeep.core.accounts.keys import bearer, masked
from chatkeep.core.wire import metadata
from chatkeep.core.wire.chat import request
from chatkeep.core.wire.query import did_you_mean
from chatkeep.core.wire.request import StoreHeaders
from chatkeep.errors import ChatkeepError, Fault, Refusal

RECORDED = json.loads((DATA / "errors.json").read_text())


def create(**fields: object) -> None:
    request.read_request(json.dumps(fields).encode(), StoreHeaders())


def raising(error: Refusal) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


MESSAGES = [{"role": "user", "content": "hi"}]
UNKNOWN = "comp_nonexistent_12345"
STOR = did_you_mean("stor", ("messages", "model", "n", "stop", "store", "stream"))
LEVELS = "Supported values are: 'low', 'medium', and 'high'."

# How each recorded case comes about here: from the code that refuses, else from its class.
OURS: dict[str, Callable[[], object]] = {
    "unknown completion: GET, DELETE, GET messages": raising(
        errors.CompletionNotFound("completion_id", id=UNKNOWN)
    ),
    "unknown model object": raising(errors.ModelNotFound("model", model="fake_id")),
    "metadata: too many pairs": lambda: metadata.checked({str(i): "" for i in range(17)}),
    "metadata: value too long": lambda: metadata.checked({"k": "v" * 600}),
    "metadata: key too long": lambda: metadata.checked({"k" * 70: ""}),
    "metadata: value not a string": lambda: metadata.checked({"k": 1}),
    "metadata: not an object": lambda: metadata.checked("text"),
    "required parameter missing": lambda: create(model="m"),
    "model missing": lambda: create(messages=MESSAGES),
    "unknown parameter": raising(errors.UnknownParameter("zzz_unknown", hint="")),
    "unknown parameter, near a known one": raising(errors.UnknownParameter("stor", hint=STOR)),
    "store of wrong type": lambda: create(model="m", messages=MESSAGES, store="yes"),
    "integer below minimum": lambda: create(model="m", messages=MESSAGES, n=0),
    "integer above maximum": raising(errors.IntegerAboveMax("n", bound=8, got=64)),
    "enum value": raising(errors.InvalidValue("verbosity", got="bogus", expected=LEVELS)),
    "empty array": lambda: create(model="m", messages=[]),
    "body is not JSON (also: empty body)": lambda: request.read_request(b"", StoreHeaders()),
    "method not supported": raising(errors.MethodNotSupported(methods="POST")),
    "unknown URL": raising(errors.UnknownUrl(method="GET", path="/v1/foo")),
    "server error": raising(errors.ServerError()),
}
# The same in other words: only the first sentence is OpenAI's (DESIGN.md §2).
REWORDED: dict[str, tuple[Callable[[], object], str]] = {
    "no API key": (lambda: bearer(""), "You didn't provide an API key. "),
    "wrong API key": (
        raising(errors.WrongKey(masked=masked("not-a-re" + "x" * 26 + "ized"))),
        "Incorrect API key provided: not-a-re**************************ized. ",
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


def refused(act: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as raised:
        act()
    return raised.value


def recorded(case: str) -> dict[str, object]:
    (found,) = (known for known in RECORDED if known["case"] == case)
    return {"status": found["status"], **found["error"]}


def parts(error: Refusal) -> dict[str, object]:
    return {
        "status": error.status,
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }


def subclasses(of: type[ChatkeepError]) -> set[type[ChatkeepError]]:
    found = {kind for kind in of.__subclasses__() if kind.__module__ == errors.__name__}
    return found.union(*map(subclasses, found))


def refusals() -> list[type[Refusal]]:
    return [kind for kind in subclasses(Refusal) if issubclass(kind, Refusal)]


def by_name(kinds: Iterable[type[ChatkeepError]]) -> list[type[ChatkeepError]]:
    return sorted(kinds, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("case", OURS)
def test_a_recorded_refusal_is_given_in_openais_words(case: str) -> None:
    assert parts(refused(OURS[case])) == recorded(case)


@pytest.mark.parametrize("case", REWORDED)
def test_a_refused_key_is_told_where_to_get_one_of_ours(case: str) -> None:
    act, first_sentence = REWORDED[case]
    wanted, given = recorded(case), parts(refused(act))
    told, openai = str(given.pop("message")), str(wanted.pop("message"))
    assert given == wanted
    assert openai.startswith(first_sentence)
    assert told.startswith(first_sentence)
    assert told.endswith(CREATE_ONE)


def test_every_recorded_case_is_accounted_for() -> None:
    assert {known["case"] for known in RECORDED} == {*OURS, *REWORDED, *NOT_OURS}


def in_the_tree() -> dict[str, int]:
    """Class to status, as the picture in the module's docstring says."""
    assert errors.__doc__ is not None
    _, _, below = errors.__doc__.partition("envelope\n")
    refusals, _, _ = below.partition("└── Fault")
    found: dict[str, int] = {}
    status = 0
    for number, name in re.findall(r"\b(\d{3})\b|\b([A-Z]\w+)\b", refusals):
        if number:
            status = int(number)
        else:
            assert name not in found
            found[name] = status
    return found


def test_every_refusal_stands_in_the_tree_under_its_status() -> None:
    drawn = in_the_tree()
    real = {kind.__name__: kind.status for kind in refusals()}
    assert {name: status for name, status in drawn.items() if status_is_meant(name)} == real


def status_is_meant(name: str) -> bool:
    # What else is drawn there stands on a line of its own, without a status.
    kind = getattr(errors, name)
    return isinstance(kind, type) and issubclass(kind, Refusal)


def test_every_other_error_stands_in_the_tree() -> None:
    drawn = re.findall(r"\b[A-Z]\w+\b", errors.__doc__ or "")
    missing = {kind.__name__ for kind in subclasses(ChatkeepError)} - set(drawn)
    assert missing == set()


@pytest.mark.parametrize("kind", by_name(subclasses(Fault)))
def test_every_fault_says_in_a_sentence_what_it_is(kind: type[Fault]) -> None:
    assert re.fullmatch(r"[A-Z].*\.", (kind.__doc__ or "").strip(), re.DOTALL)


@pytest.mark.parametrize("kind", by_name(refusals()))
def test_every_refusal_can_be_raised_with_the_facts_its_text_names(kind: type[Refusal]) -> None:
    names = {name for _, name, _, _ in string.Formatter().parse(kind.text) if name is not None}
    facts = {name: f"<{name}>" for name in names - {"param"}}
    error = kind("where", headers=(("x-more", "1"),), **facts)
    assert 400 <= error.status < 600
    assert error.type == type_of(error.status)
    assert str(error) == error.message
    assert all(fact in error.message for fact in facts.values())
    assert "{" not in error.message
    assert error.headers[0] == ("x-more", "1")


def type_of(status: int) -> str:
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else "invalid_request_error"


def test_what_a_client_sent_is_not_taken_for_a_place_in_the_text() -> None:
    error = errors.InvalidValue("order", got="{param}{0}{x!r}", expected="Not {this}.")
    assert error.message == "Invalid value: '{param}{0}{x!r}'. Not {this}."


def test_a_refusal_and_a_fault_are_different_things() -> None:
    assert subclasses(Refusal).isdisjoint(subclasses(Fault))
    assert not issubclass(Fault, Refusal)
