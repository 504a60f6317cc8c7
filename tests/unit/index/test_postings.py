"""Postings: a row is found by what it has, and by nothing else."""

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import as_json, row

from chatkeep.core.model.completion import KeyId, Query, Row
from chatkeep.core.model.form import NUMBERS, FormName
from chatkeep.store.index import postings

CHAT: FormName = "chat.completion"
SECRET = b"0" * 32

words = st.sampled_from(("", "a", "b", "ab", "A", "a b", "é", "metadata", "model"))
pairs = st.dictionaries(words, words, max_size=4)
pair_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)


def of(model: str, metadata: dict[str, str]) -> Row:
    return row(model=model, metadata=metadata)


def fits(query: Query, model: str, metadata: dict[str, str]) -> bool:
    """Whether a query wants a row, written out plainly."""
    return query.model in (None, model) and all(
        metadata.get(key) == value for key, value in query.metadata.items()
    )


@given(st.none() | words, pairs, words, pairs)
def test_a_query_matches_a_row_that_has_every_pair_and_the_model(
    wanted_model: str | None, wanted: dict[str, str], model: str, metadata: dict[str, str]
) -> None:
    query = Query(model=wanted_model, metadata=wanted)
    assert postings.matching(query)(of(model, metadata)) == fits(query, model, metadata)


@given(pairs, pairs)
def test_a_row_has_all_the_terms_of_a_map_just_when_it_has_its_pairs(
    wanted: dict[str, str], metadata: dict[str, str]
) -> None:
    terms = postings.of_metadata(SECRET, wanted)
    has_all = terms <= postings.of_row(SECRET, CHAT, 1, as_json(metadata))
    assert has_all == fits(Query(metadata=wanted), "m", metadata)


@pytest.mark.parametrize("fields", [{}, {"created_after": 1, "metadata": {"a": "b"}}])
def test_a_query_of_other_things_does_not_ask_for_label_sets(fields: dict[str, Any]) -> None:
    assert not postings.wants_labels(Query(**fields))


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("model", "m", "n"),
        ("status", "partial", "complete"),
        ("finish_reason", "stop", "length"),
        ("finish_reason", "stop", None),
        ("finish_reason", "", None),
        ("upstream", "a", "b"),
        ("key", KeyId(0), KeyId(1)),
        ("key", KeyId(0), None),
    ],
)
def test_a_query_matches_a_row_with_the_same_value(name: str, value: Any, other: Any) -> None:
    query = Query(**{name: value})
    assert postings.wants_labels(query)
    assert postings.matching(query)(row(**{name: value}))
    assert not postings.matching(query)(row(**{name: other}))


@given(pairs)
def test_a_row_has_one_posting_a_pair_one_for_its_label_set_and_one_for_being_there(
    metadata: dict[str, str],
) -> None:
    assert len(postings.of_row(SECRET, CHAT, 1, as_json(metadata))) == len(metadata) + 2
    assert len(postings.of_metadata(SECRET, metadata)) == len(metadata)


@given(pairs, pairs)
def test_a_change_takes_and_brings_the_terms_in_which_the_maps_differ(
    before: dict[str, str], after: dict[str, str]
) -> None:
    old, new = postings.of_metadata(SECRET, before), postings.of_metadata(SECRET, after)
    assert postings.changed(SECRET, as_json(before), as_json(after)) == (old - new, new - old)


def test_a_term_stays_while_another_pair_has_it() -> None:
    values: dict[int, str] = {}
    value = next(
        value
        for value in map(str, count())
        if values.setdefault(postings.of_pair(SECRET, "a", value), value) != value
    )
    other = values[postings.of_pair(SECRET, "a", value)]
    before, after = as_json({"a": value, "b": "1"}), as_json({"a": other})
    go, come = postings.changed(SECRET, before, after)
    assert go == {postings.of_pair(SECRET, "b", "1")}
    assert come <= postings.of_metadata(SECRET, {"a": other})


@given(pair_texts, pair_texts, st.binary(min_size=1, max_size=64))
def test_the_term_of_a_pair_is_a_number_of_31_bits(key: str, value: str, secret: bytes) -> None:
    assert 0 <= postings.of_pair(secret, key, value) < 2**31


def test_terms_spread_over_all_31_bits() -> None:
    terms = [postings.of_pair(SECRET, "model", str(i)) for i in range(200)]
    every = 0
    for term in terms:
        every |= term
    assert every == 2**31 - 1
    assert len(set(terms)) == len(terms)


@given(st.integers(1, 1 << 40), pair_texts, pair_texts)
def test_label_sets_pairs_and_forms_never_share_a_term(
    label_set: int, key: str, value: str
) -> None:
    forms = {postings.of_form(form) for form in NUMBERS}
    assert forms <= set(range(-15, 0))
    assert postings.of_label_set(label_set) < min(forms)
    assert postings.of_pair(SECRET, key, value) > 0


def test_the_parts_of_a_pair_do_not_run_together() -> None:
    parted = (("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"))
    assert len({postings.of_pair(SECRET, key, value) for key, value in parted}) == 4


def test_the_same_pair_of_two_projects_has_two_terms() -> None:
    metadata = {"customer": "acme"}
    one = postings.of_metadata(b"1" * 32, metadata)
    assert one == postings.of_metadata(b"1" * 32, metadata)
    assert one.isdisjoint(postings.of_metadata(b"2" * 32, metadata))
