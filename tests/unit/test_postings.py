"""Postings: a row is found by what it has, and by nothing else."""

from hypothesis import given
from hypothesis import strategies as st
from support.samples import row

from chatkeep.core import postings
from chatkeep.core.model import Query, Row

SECRET = b"0" * 32

words = st.sampled_from(("", "a", "b", "ab", "A", "a b", "é", "metadata", "model"))
pairs = st.dictionaries(words, words, max_size=4)


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
    assert postings.matches(query, of(model, metadata)) == fits(query, model, metadata)


@given(st.none() | words, pairs, words, pairs)
def test_a_row_has_all_the_kids_of_a_query_just_when_it_matches(
    wanted_model: str | None, wanted: dict[str, str], model: str, metadata: dict[str, str]
) -> None:
    query = Query(model=wanted_model, metadata=wanted)
    kids = postings.wanted(SECRET, query)
    has_all = set(kids) <= postings.of_row(SECRET, of(model, metadata))
    assert has_all == fits(query, model, metadata)


def test_a_query_without_equality_filters_wants_no_kid() -> None:
    assert postings.wanted(SECRET, Query(created_after=1, created_before=2, limit=3)) == []


@given(pairs, words)
def test_a_row_has_one_posting_a_pair_and_one_for_its_model(
    metadata: dict[str, str], model: str
) -> None:
    assert len(postings.of_row(SECRET, of(model, metadata))) == len(metadata) + 1
    assert len(postings.of_metadata(SECRET, metadata)) == len(metadata)


@given(st.lists(st.text(max_size=4), max_size=3), st.binary(min_size=1, max_size=64))
def test_a_kid_is_a_number_of_32_bits(parts: list[str], secret: bytes) -> None:
    kid = postings.kid(secret, "metadata", *(part.replace("\0", "") for part in parts))
    assert 0 <= kid < 2**32


def test_kids_spread_over_all_32_bits() -> None:
    kids = [postings.kid(SECRET, "model", str(i)) for i in range(200)]
    every = 0
    for kid in kids:
        every |= kid
    assert every == 2**32 - 1
    assert len(set(kids)) == len(kids)


def test_the_parts_of_a_pair_do_not_run_together() -> None:
    kids = {
        postings.kid(SECRET, "metadata", "ab", "c"),
        postings.kid(SECRET, "metadata", "a", "bc"),
        postings.kid(SECRET, "metadata", "abc", ""),
        postings.kid(SECRET, "metadata", "", "abc"),
        postings.kid(SECRET, "metadata", "abc"),
        postings.kid(SECRET, "model", "abc"),
    }
    assert len(kids) == 6


def test_the_same_pair_of_two_projects_has_two_kids() -> None:
    metadata = {"customer": "acme"}
    one = postings.of_metadata(b"1" * 32, metadata)
    assert one == postings.of_metadata(b"1" * 32, metadata)
    assert one.isdisjoint(postings.of_metadata(b"2" * 32, metadata))
