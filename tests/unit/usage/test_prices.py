"""What a call costs by the price tables."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model.completion import Usage
from chatkeep.core.usage.prices import PRICE_SAYS, Price, Prices

MINI = Price(model="gpt-4o-mini*", input=0.15, output=0.6, cached=0.075)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "m", "input": -1, "output": 1},
        {"model": "m", "input": 1},
        {"model": "m", "input": 1, "output": 1, "currency": "EUR"},
        {"input": 1, "output": 1},
        {"model": "m", "input": "free", "output": 1},
    ],
)
def test_a_price_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Price)


def test_every_field_has_its_sentence() -> None:
    assert tuple(PRICE_SAYS) == Price.__struct_fields__


@pytest.mark.parametrize(
    ("usage", "micro"),
    [
        (Usage(1_000_000, 0), 150_000),
        (Usage(0, 1_000_000), 600_000),
        (Usage(1000, 100), 210),
        (Usage(1000, 100, cached_tokens=1000), 135),
        (Usage(1000, 100, cached_tokens=5000), 135),
        (Usage(10, None), 2),
        (Usage(None, 10), 6),
        (Usage(0, 0), 0),
        (Usage(None, None, 30), None),
    ],
)
def test_tokens_are_multiplied_by_their_price(usage: Usage, micro: int | None) -> None:
    assert Prices([MINI]).cost_micro("u", "gpt-4o-mini-2024-07-18", usage) == micro


def test_without_a_price_of_its_own_what_was_cached_costs_as_the_rest() -> None:
    prices = Prices([Price(model="*", input=2, output=3)])
    assert prices.cost_micro("u", "m", Usage(10, 10, cached_tokens=4)) == 50


def test_the_first_price_that_fits_counts() -> None:
    prices = Prices(
        [
            Price(model="m", upstream="dear", input=9, output=9),
            Price(model="m?", input=2, output=2),
            Price(model="m*", input=1, output=1),
            Price(model="[a]", input=5, output=5),
        ]
    )
    costs = {
        ("dear", "m"): 9,
        ("cheap", "m"): 1,
        ("dear", "m1"): 2,
        ("dear", "m12"): 1,
        ("u", "[a]"): 5,
        ("u", "a"): None,
        ("u", "M"): None,
    }
    for _ in range(2):  # found, and remembered
        for (upstream, model), cost in costs.items():
            assert prices.cost_micro(upstream, model, Usage(1, 0)) == cost


@given(st.lists(st.text(max_size=3), max_size=30))
def test_models_nobody_priced_have_no_cost(models: list[str]) -> None:
    prices = Prices([MINI])
    assert {prices.cost_micro("u", model, Usage(1, 1)) for model in models} <= {None}
