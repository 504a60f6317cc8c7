"""What a `usage` says: odd content gives less, never an error."""

from typing import Any

import pytest

from chatkeep.core.model.completion import Usage
from chatkeep.core.wire.usage import usage_object


@pytest.mark.parametrize(
    ("cost", "micro"),
    [
        (0, 0),
        (0.0, 0),
        (0.0000125, 12),
        (0.1, 100_000),
        (2, 2_000_000),
        (-0.1, None),
        (1e300, None),
        (10**400, None),
        (True, None),
        ("0.1", None),
        (None, None),
        ({"total": 1}, None),
    ],
)
def test_the_cost_an_upstream_gives_is_read_in_millionths(cost: Any, micro: int | None) -> None:
    assert usage_object({"cost": cost}).spent().cost_micro == micro


@pytest.mark.parametrize("details", [None, [], "x", {"cached_tokens": -1, "reasoning_tokens": "2"}])
def test_odd_details_of_tokens_are_left_out(details: Any) -> None:
    usage = {"prompt_tokens_details": details, "completion_tokens_details": details}
    assert usage_object(usage).spent().usage == Usage()
