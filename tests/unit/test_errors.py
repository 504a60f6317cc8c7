"""The errors: one tree that names them all, and texts that can be written."""

import re
import string
from collections.abc import Iterable

import pytest

from chatkeep import errors
from chatkeep.errors import ChatkeepError, Fault, Refusal


def subclasses(of: type[ChatkeepError]) -> set[type[ChatkeepError]]:
    found = {kind for kind in of.__subclasses__() if kind.__module__ == errors.__name__}
    return found.union(*map(subclasses, found))


def refusals() -> list[type[Refusal]]:
    return [kind for kind in subclasses(Refusal) if issubclass(kind, Refusal)]


def by_name(kinds: Iterable[type[ChatkeepError]]) -> list[type[ChatkeepError]]:
    return sorted(kinds, key=lambda kind: kind.__name__)


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
