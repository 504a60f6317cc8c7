"""The metadata map: what is refused, in OpenAI's words, and what passes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator

from chatkeep.core.wire import metadata
from chatkeep.errors import InvalidCharacter, Refusal

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def refusal(value: Any, param: str = "metadata") -> Refusal:
    with pytest.raises(Refusal) as refused:
        metadata.checked(value, param)
    return refused.value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("text", "a string"),
        (True, "a boolean"),
        (12, "an integer"),
        (1.5, "a decimal number"),
        ([], "an array"),
        ([{"k": "v"}], "an array"),
    ],
)
def test_what_is_no_map_is_refused(value: Any, words: str) -> None:
    error = refusal(value)
    assert error.message == (
        f"Invalid type for 'metadata': expected a metadata object, but got {words} instead."
    )
    assert (error.param, error.code) == ("metadata", "invalid_type")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (False, "a boolean"),
        (0, "an integer"),
        (10**30, "an integer"),
        (0.5, "a decimal number"),
        ([], "an array"),
        ({"inner": "v"}, "an object"),
    ],
)
def test_a_value_that_is_no_string_is_refused(value: Any, words: str) -> None:
    error = refusal({"good": "v", "k": value})
    assert error.message == (
        f"Invalid type for 'metadata.k': expected a string, but got {words} instead."
    )
    assert (error.param, error.code) == ("metadata.k", "invalid_type")


def test_the_limits_are_of_the_first_pair_too_many_and_the_first_character_too_many() -> None:
    assert refusal({str(i): "" for i in range(17)}).code == "object_above_max_properties"
    assert refusal({"k" * 65: ""}).code == "property_name_above_max_length"
    assert refusal({"k": "v" * 513}).code == "string_above_max_length"


def test_everything_at_its_limit_passes() -> None:
    value = {f"{i:02}" + "k" * 62: "v" * 512 for i in range(16)}
    assert metadata.checked(value) == value


def test_an_emoji_is_one_character() -> None:
    value = {"😀" * 64: "😀" * 512}
    assert metadata.checked(value) == value
    assert "length 64, but got a string with length 65" in refusal({"😀" * 65: ""}).message
    assert "length 512, but got a string with length 513" in refusal({"k": "😀" * 513}).message


def test_of_a_key_too_long_the_message_shows_its_ends() -> None:
    error = refusal({"abc" + "x" * 60 + "xyz": "v"})
    assert error.message.startswith("Invalid property name in 'metadata': 'abc...xyz' is too long.")
    assert error.param == "metadata.abc" + "x" * 60 + "xyz"


@pytest.mark.parametrize(
    ("value", "param", "words"),
    [
        ({"a\0b": "v"}, "metadata", "a key with the character NUL"),
        ({"k": "a\0b"}, "metadata.k", "a value with the character NUL"),
        ({"\ud83d": "v"}, "metadata", "a key with a lone surrogate"),
        ({"k": "\ude00"}, "metadata.k", "a value with a lone surrogate"),
        ({"k": "é\udfff"}, "metadata.k", "a value with a lone surrogate"),
        ({"k": "\ud800é"}, "metadata.k", "a value with a lone surrogate"),
    ],
)
def test_what_no_database_takes_is_refused(value: Any, param: str, words: str) -> None:
    error = refusal(value)
    assert isinstance(error, InvalidCharacter)
    assert error.status == 400
    assert error.param == param
    assert error.message == f"Invalid '{param}': {words} cannot be stored."


def test_the_parameter_is_named_as_the_caller_calls_it() -> None:
    assert refusal(7, "x-chatkeep-metadata").param == "x-chatkeep-metadata"
    assert refusal({"k": 7}, "x-chatkeep-metadata").param == "x-chatkeep-metadata.k"


@pytest.mark.parametrize("value", [None, {}])
def test_null_and_the_empty_map_are_no_metadata(value: Any) -> None:
    assert metadata.checked(value) == {}


@given(
    st.dictionaries(
        st.text(characters, max_size=64), st.text(characters, max_size=512), max_size=16
    )
)
def test_every_map_within_the_limits_passes_unchanged(value: dict[str, str]) -> None:
    before = list(value.items())
    assert list(metadata.checked(value).items()) == before


@pytest.mark.parametrize("character", ["\ud7ff", "\ue000", "\uffff", "\x01", "\x7f", "\u2028", "'"])
def test_neighbours_of_what_is_refused_pass(character: str) -> None:
    assert metadata.checked({character: character}) == {character: character}


odd = st.sampled_from(["é", "x" * 64, "x" * 65, "x" * 512, "x" * 513])
maybe = st.lists(st.text(characters, max_size=3) | odd, max_size=3).map("".join)


@given(st.dictionaries(maybe, maybe | st.none(), max_size=18))
def test_what_the_schema_takes_is_what_passes_the_checks(value: Any) -> None:
    schema = msgspec.json.schema(metadata.Limited)
    try:
        metadata.checked(value)
    except Refusal:
        assert not OAS31Validator(schema).is_valid(value)
    else:
        assert OAS31Validator(schema).is_valid(value)
