"""Two sets held against each other."""

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.store.index.balance import Balance, Entry

ENTRIES = st.sets(st.tuples(st.integers(0, 1 << 48), st.integers(0, 1 << 62)), max_size=40)


def held(one: set[Entry], other: set[Entry]) -> Balance:
    balance = Balance()
    for entry in one:
        balance.add([entry])
    balance.take(other)
    return balance


@given(ENTRIES)
def test_equal_sets_are_even(entries: set[Entry]) -> None:
    balance = held(entries, set(entries))
    assert balance.even
    assert balance.uneven(entries) == set()


@given(ENTRIES, ENTRIES)
def test_what_only_one_of_them_has_is_among_the_uneven(one: set[Entry], other: set[Entry]) -> None:
    balance = held(one, other)
    assert balance.even == (one == other)
    assert one ^ other <= balance.uneven(one) | balance.uneven(other)
    assert balance.uneven(one) - balance.uneven(other) == one - other


def test_few_are_uneven_where_few_differ() -> None:
    entries = {(term, seq) for term in range(20) for seq in range(500)}
    balance = held(entries, entries - {(7, 7)})
    assert (7, 7) in balance.uneven(entries)
    assert len(balance.uneven(entries)) < 40


def test_one_that_stands_twice_is_not_even() -> None:
    balance = held({(1, 2)}, {(1, 2)})
    balance.take([(1, 2)])
    assert not balance.even
