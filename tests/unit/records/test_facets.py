"""Counting values: the most frequent first, over a bounded number of completions."""

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model.completion import Facts, KeyId
from chatkeep.core.records.facets import LOOKED_AT, SHOWN, counted

words = st.sampled_from(["a", "b", "", "é"])
some = st.lists(
    st.builds(
        Facts,
        words,
        st.sampled_from(["complete", "partial"]),
        st.none() | words,
        words,
        st.none() | st.builds(KeyId, st.integers(0, 2)),
        st.dictionaries(words, words).map(lambda pairs: json.dumps(pairs).encode()),
    ),
    max_size=30,
)


def facts(model: str = "m", **pairs: str) -> Facts:
    return Facts(model, "complete", "stop", "u", None, json.dumps(pairs).encode())


def read(answer: bytes) -> Any:
    return json.loads(answer)


def counts(facet: Any) -> Counter[Any]:
    return Counter({one["value"]: one["count"] for one in facet["values"]})


@given(some, st.none() | words)
def test_the_counts_are_those_of_counting(newest: list[Facts], values_of: str | None) -> None:
    found = read(counted(newest, values_of))
    maps = [json.loads(one.metadata) for one in newest]
    assert (found["looked_at"], found["complete"]) == (len(newest), True)
    for name in ("model", "status", "finish_reason", "upstream", "key"):
        assert counts(found["facets"][name]) == Counter(getattr(one, name) for one in newest)
    assert counts(found["facets"]["metadata_keys"]) == Counter(k for pairs in maps for k in pairs)
    if values_of is None:
        assert "values" not in found["facets"]
    else:
        wanted = Counter(pairs[values_of] for pairs in maps if values_of in pairs)
        assert counts(found["facets"]["values"]) == wanted


def test_the_most_frequent_values_come_first_and_the_rest_is_owned_up_to() -> None:
    newest = [facts(n=str(n)) for n in range(SHOWN + 1)] + [facts(n=str(SHOWN))]
    facet = read(counted(newest, "n"))["facets"]["values"]
    assert facet["values"][0] == {"value": str(SHOWN), "count": 2}
    assert (len(facet["values"]), facet["more"]) == (SHOWN, True)
    facet = read(counted(newest[:SHOWN], "n"))["facets"]["values"]
    assert (len(facet["values"]), facet["more"]) == (SHOWN, False)


def test_no_more_completions_are_looked_at_than_was_said() -> None:
    found = read(counted([facts()] * (LOOKED_AT + 1), None))
    assert (found["looked_at"], found["complete"]) == (LOOKED_AT, False)
    exactly = read(counted([facts()] * LOOKED_AT, None))
    assert (exactly["looked_at"], exactly["complete"]) == (LOOKED_AT, True)
