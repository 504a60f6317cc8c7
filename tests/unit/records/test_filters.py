"""The query string of lists: refusals with their exact words, then what is read."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.accounts.administration import KEYS, KeyQuery
from chatkeep.core.model.completion import KeyId, Query
from chatkeep.core.records.filters import (
    LIST,
    MESSAGES,
    RECORDS,
    ListRequest,
    MessageQuery,
    list_request,
    message_query,
)
from chatkeep.core.wire.query import Filter, Parameter, did_you_mean
from chatkeep.errors import Refusal

Pairs = list[tuple[str, str]]

DUPLICATE = (
    "Duplicate parameter: '{0}'. You provided multiple values for this parameter, whereas only one"
    " is allowed. If you are trying to provide a list of values, use the array syntax instead e.g."
    " '{0}[]=<value>'."
)


def refusal(pairs: Pairs, messages: bool = False) -> Refusal:
    with pytest.raises(Refusal) as refused:
        message_query(pairs) if messages else list_request(pairs)
    assert refused.value.status == 400
    assert refused.value.type == "invalid_request_error"
    return refused.value


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("colour", ""),
        ("limits", " Did you mean 'limit'?"),
        ("Order", " Did you mean 'order'?"),
        ("lmit", " Did you mean 'limit'?"),
        ("aftr", " Did you mean 'after'?"),
        ("mod", " Did you mean 'model'?"),
        ("created", " Did you mean 'created_after' or 'created_before'?"),
        ("metadata.k", " Did you mean 'metadata'?"),
        ("metadata[k", " Did you mean 'metadata'?"),
        ("", ""),
    ],
)
def test_an_unknown_parameter_is_refused_with_what_may_be_meant(name: str, hint: str) -> None:
    error = refusal([(name, "1")])
    assert error.message == f"Unknown parameter: '{name}'.{hint}"
    assert (error.param, error.code) == (name, "unknown_parameter")


def test_two_near_names_are_both_offered_in_openais_words() -> None:
    known = ("messages", "model", "n", "stop", "store", "stream", "temperature", "top_p", "user")
    assert did_you_mean("stor", known) == " Did you mean 'stop' or 'store'?"


@pytest.mark.parametrize("name", ["model", "metadata", "metadata[k]", "created_after", "q"])
def test_messages_know_only_their_own_parameters(name: str) -> None:
    error = refusal([(name, "1")], messages=True)
    assert error.message.startswith(f"Unknown parameter: '{name}'.")
    assert error.code == "unknown_parameter"


@pytest.mark.parametrize(
    "name", ["model", "q", "after", "limit", "order", "created_after", "created_before"]
)
@pytest.mark.parametrize("values", [("7", "7"), ("7", "8")])
def test_a_repeated_parameter_is_refused(name: str, values: tuple[str, str]) -> None:
    first, again = ("asc", "desc") if name == "order" else values
    error = refusal([(name, first), ("metadata[k]", "v"), (name, again)])
    assert error.message == DUPLICATE.format(name)
    assert (error.param, error.code) == (name, "duplicate_parameter")


def test_a_repeated_metadata_key_is_refused() -> None:
    error = refusal([("metadata[k]", "v"), ("metadata[k]", "v")])
    assert error.message == DUPLICATE.format("metadata[k]")
    assert (error.param, error.code) == ("metadata[k]", "duplicate_parameter")


def test_metadata_without_a_key_is_refused() -> None:
    error = refusal([("metadata", "v")])
    assert error.message == (
        "Invalid type for 'metadata': expected a metadata object, but got a string instead."
    )
    assert (error.param, error.code) == ("metadata", "invalid_type")


@pytest.mark.parametrize("name", ["limit", "created_after", "created_before"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "a string"),
        ("ten", "a string"),
        ("1.5", "a decimal number"),
        ("-0.5", "a decimal number"),
        ("1e3", "a string"),
        ("+5", "a string"),
        (" 5", "a string"),
        ("5\n", "a string"),
        ("0x10", "a string"),
        ("1_000", "a string"),
        ("²", "a string"),
        ("٣", "a string"),
        ("null", "a string"),
    ],
)
def test_what_is_no_integer_is_refused(name: str, value: str, words: str) -> None:
    error = refusal([(name, value)])
    assert error.message == (
        f"Invalid type for '{name}': expected an integer, but got {words} instead."
    )
    assert (error.param, error.code) == (name, "invalid_type")


@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("limit", [-1, -100, -(10**17)])
def test_a_limit_below_zero_is_refused(limit: int, messages: bool) -> None:
    error = refusal([("limit", str(limit))], messages)
    assert error.message == (
        "Invalid 'limit': integer below minimum value. Expected a value >= 0, but got"
        f" {limit} instead."
    )
    assert (error.param, error.code) == ("limit", "integer_below_min_value")


@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("limit", [101, 1000, 10**17, 10**18, 10**30])
def test_a_limit_above_a_hundred_is_refused(limit: int, messages: bool) -> None:
    error = refusal([("limit", str(limit))], messages)
    assert error.message == (
        "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got"
        f" {limit} instead."
    )
    assert (error.param, error.code) == ("limit", "integer_above_max_value")


@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("order", ["", "ASC", "up", "{param}", "desc "])
def test_an_order_that_is_none_is_refused(order: str, messages: bool) -> None:
    error = refusal([("order", order)], messages)
    assert error.message == f"Invalid value: '{order}'. Supported values are: 'asc' and 'desc'."
    assert (error.param, error.code) == ("order", "invalid_value")


@pytest.mark.parametrize(
    ("pairs", "param", "code"),
    [
        ([(f"metadata[{i}]", "") for i in range(17)], "metadata", "object_above_max_properties"),
        ([("metadata[k]", "v" * 513)], "metadata.k", "string_above_max_length"),
        (
            [("metadata[" + "k" * 65 + "]", "v")],
            "metadata." + "k" * 65,
            "property_name_above_max_length",
        ),
        ([("metadata[k]", "\0")], "metadata.k", "invalid_value"),
        ([("metadata[k]", "\udcff")], "metadata.k", "invalid_value"),
        ([("metadata[\0]", "v")], "metadata", "invalid_value"),
        ([("model", "\0")], "model", "invalid_value"),
        ([("model", "\udcff")], "model", "invalid_value"),
        ([("q", "\0")], "q", "invalid_value"),
        ([("q", "x" * 513)], "q", "string_above_max_length"),
        ([("after", "\0")], "after", "invalid_value"),
    ],
)
def test_what_cannot_be_stored_cannot_be_asked_for(pairs: Pairs, param: str, code: str) -> None:
    error = refusal(pairs)
    assert (error.param, error.code) == (param, code)


def test_without_parameters_the_defaults_hold() -> None:
    assert list_request([]) == ListRequest(
        Query(
            model=None,
            metadata={},
            created_after=None,
            created_before=None,
            after=None,
            limit=20,
            order="desc",
        )
    )
    assert message_query([]) == MessageQuery(after=None, limit=20, order="asc")


def test_every_parameter_is_read() -> None:
    request = list_request(
        [
            ("order", "asc"),
            ("limit", "7"),
            ("metadata[a]", "1"),
            ("after", "chatcmpl-x"),
            ("q", 'a "b c'),
            ("created_before", "1758039249"),
            ("metadata[b]", ""),
            ("created_after", "-5"),
            ("model", "gpt-4o-mini-2024-07-18"),
        ]
    )
    query = Query(
        model="gpt-4o-mini-2024-07-18",
        metadata={"a": "1", "b": ""},
        q='a "b c',
        created_after=-5,
        created_before=1758039249,
        limit=7,
        order="asc",
    )
    assert request == ListRequest(query, after="chatcmpl-x")
    assert message_query([("order", "desc"), ("limit", "0"), ("after", "x-1")]) == MessageQuery(
        after="x-1", limit=0, order="desc"
    )


@pytest.mark.parametrize("limit", [0, 1, 20, 99, 100])
def test_every_limit_in_range_is_taken(limit: int) -> None:
    assert list_request([("limit", str(limit))]).query.limit == limit
    assert message_query([("limit", f"{limit:03}")]).limit == limit


keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=64)


@given(keys, st.sampled_from(("", "v", "=", "[]", "]", "é😀")))
def test_what_stands_in_the_brackets_is_the_key(key: str, value: str) -> None:
    assert list_request([(f"metadata[{key}]", value)]).query.metadata == {key: value}


@given(
    st.dictionaries(
        keys,
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9),
        max_size=16,
    )
)
def test_several_pairs_are_all_wanted(pairs: dict[str, str]) -> None:
    assert list_request([(f"metadata[{key}]", pairs[key]) for key in pairs]).query.metadata == pairs


ONLY_RECORDS = [entry.name for entry in RECORDS if entry not in LIST]


@pytest.mark.parametrize("name", ONLY_RECORDS)
def test_openais_list_takes_none_of_our_filters(name: str) -> None:
    error = refusal([(name, "1")])
    assert (error.param, error.code) == (name, "unknown_parameter")


def test_our_filters_are_read() -> None:
    pairs = [("status", "partial"), ("finish_reason", ""), ("upstream", "a b"), ("key", "12")]
    assert list_request(pairs, RECORDS).query == Query(
        status="partial", finish_reason="", upstream="a b", key=KeyId(12)
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "status",
            "Complete",
            "Invalid value: 'Complete'. Supported values are: 'complete', 'partial' and"
            " 'failed_midstream'.",
        ),
        (
            "key",
            "sk-ck-x",
            "Invalid type for 'key': expected an integer, but got a string instead.",
        ),
        (
            "key",
            str(1 << 63),
            "Invalid 'key': integer above maximum value. Expected a value <= 9223372036854775807,"
            " but got 9223372036854775808 instead.",
        ),
        (
            "upstream",
            "a\0",
            "Invalid 'upstream': a text with the character NUL cannot be stored.",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        list_request([(name, value)], RECORDS)
    assert (refused.value.message, refused.value.param) == (message, name)


@pytest.mark.parametrize("table", [RECORDS, LIST, MESSAGES])
def test_each_parameter_has_a_row_with_a_sentence_and_a_schema(table: tuple[Filter, ...]) -> None:
    names = [entry.name for entry in table]
    assert len(names) == len(set(names))
    assert all(entry.says.endswith(".") and entry.schema["type"] for entry in table)


def test_the_rows_are_the_fields_of_the_queries() -> None:
    every = {entry.name for table in (RECORDS, MESSAGES, KEYS) for entry in table}
    assert every == set(get_args(Parameter))
    assert {entry.name for entry in RECORDS} | {"form"} == set(Query.__struct_fields__)
    assert {entry.name for entry in MESSAGES} == set(MessageQuery.__struct_fields__)
    assert {entry.name for entry in KEYS} == set(KeyQuery.__struct_fields__)


@pytest.mark.parametrize(("table", "query"), [(RECORDS, Query()), (MESSAGES, MessageQuery())])
def test_the_documented_defaults_are_the_real_ones(
    table: tuple[Filter, ...], query: Query | MessageQuery
) -> None:
    documented = {
        entry.name: entry.schema["default"] for entry in table if "default" in entry.schema
    }
    assert documented == {name: getattr(query, name) for name in documented}
    assert set(documented) == {"limit", "order"}
