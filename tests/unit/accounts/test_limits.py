"""Limits of model calls: what is refused, what is told, and that nothing is counted twice."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.accounts.limits import Granted, Limits, format_duration
from chatkeep.core.model.completion import Key, KeyId, Project, ProjectId
from chatkeep.errors import RateLimitReached


class Hand:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def limits(clock: Hand) -> Limits:
    return Limits(clock)


def key(id: int = 1, project: int = 1, **settings: int) -> Key:
    owner = Project(ProjectId(project), f"p{project}", b"", **settings)  # type: ignore[arg-type]  # all of them are numbers
    return Key(KeyId(id), owner, f"sk-ck-{id}", frozenset({"create"}), 0)


def granted(limits: Limits, of: Key) -> Granted:
    found = limits.enter(of)
    assert found is not None
    return found


def refused(limits: Limits, of: Key) -> RateLimitReached:
    with pytest.raises(RateLimitReached) as error:
        limits.enter(of)
    return error.value


def told_in(headers: object) -> dict[str, str]:
    prefix = "x-ratelimit-"
    return {
        name.removeprefix(prefix).removesuffix("-requests"): value
        for name, value in headers  # type: ignore[attr-defined]  # Headers of either kind
        if name.startswith(prefix)
    }


def test_one_call_more_than_a_minute_allows_is_refused_in_openais_words(limits: Limits) -> None:
    ours = key(requests_per_minute=3)
    for _ in range(3):
        granted(limits, ours)
    error = refused(limits, ours)
    assert error.message == (
        "Rate limit reached for project p1 on requests per min (RPM): Limit 3, Used 3, Requested 1."
        " Please try again in 20s."
    )
    assert (error.status, error.type, error.code) == (429, "requests", "rate_limit_exceeded")
    assert dict(error.headers) == {
        "retry-after": "20",
        "retry-after-ms": "20000",
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
    }


def test_one_call_more_at_a_time_is_refused(limits: Limits) -> None:
    ours = key(max_concurrent=2)
    granted(limits, ours)
    granted(limits, ours)
    error = refused(limits, ours)
    assert error.message == (
        "Rate limit reached for project p1 on requests at a time: Limit 2, Used 2, Requested 1."
        " Please try again in 1s."
    )
    assert dict(error.headers) == {"retry-after": "1", "retry-after-ms": "1000"}


def test_a_keys_limit_names_the_key(limits: Limits) -> None:
    ours = key(7, key_requests_per_minute=1)
    granted(limits, ours)
    assert "for key sk-ck-7 on requests per min" in refused(limits, ours).message


def test_without_limits_nothing_is_counted_or_told(limits: Limits) -> None:
    assert limits.enter(key()) is None


@pytest.mark.parametrize("setting", ["requests_per_minute", "max_concurrent"])
def test_a_projects_keys_share_its_limit_and_other_projects_do_not(
    limits: Limits, setting: str
) -> None:
    granted(limits, key(1, **{setting: 1}))
    refused(limits, key(2, **{setting: 1}))
    granted(limits, key(1, project=2, **{setting: 1}))


@pytest.mark.parametrize("setting", ["key_requests_per_minute", "key_max_concurrent"])
def test_a_limit_for_each_key_is_not_shared(limits: Limits, setting: str) -> None:
    granted(limits, key(1, **{setting: 1}))
    refused(limits, key(1, **{setting: 1}))
    granted(limits, key(2, **{setting: 1}))


def test_a_call_that_ended_makes_place_for_one(limits: Limits) -> None:
    ours = key(max_concurrent=1, key_max_concurrent=1)
    for _ in range(3):
        call = granted(limits, ours)
        refused(limits, ours)
        call.end()
    granted(limits, ours)


def test_what_is_refused_at_a_time_does_not_count_as_a_call(limits: Limits) -> None:
    ours = key(max_concurrent=1, requests_per_minute=2)
    call = granted(limits, ours)
    for _ in range(5):
        refused(limits, ours)
    call.end()
    assert told_in(granted(limits, ours).headers)["remaining"] == "0"


def test_what_one_limit_refuses_is_not_counted_by_another(limits: Limits) -> None:
    first = key(1, key_requests_per_minute=1, requests_per_minute=3)
    second = key(2, key_requests_per_minute=1, requests_per_minute=3)
    granted(limits, first)
    for _ in range(5):
        refused(limits, first)
    assert told_in(granted(limits, second).headers) == {
        "limit": "1",
        "remaining": "0",
        "reset": "1m0s",
    }
    granted(limits, key(3, key_requests_per_minute=1, requests_per_minute=3))


def test_each_answer_says_how_many_calls_are_left(limits: Limits, clock: Hand) -> None:
    ours = key(requests_per_minute=60)
    assert told_in(granted(limits, ours).headers) == {
        "limit": "60",
        "remaining": "59",
        "reset": "1s",
    }
    assert told_in(granted(limits, ours).headers)["remaining"] == "58"
    clock.now += 1.5
    assert told_in(granted(limits, ours).headers) == {
        "limit": "60",
        "remaining": "58",
        "reset": "1.5s",
    }


def test_of_two_limits_the_nearer_one_is_told(limits: Limits) -> None:
    ours = key(requests_per_minute=100, key_requests_per_minute=2)
    assert told_in(granted(limits, ours).headers)["limit"] == "2"


def test_calls_at_a_time_have_no_headers(limits: Limits) -> None:
    assert granted(limits, key(max_concurrent=5)).headers == ()


def test_whoever_waits_as_long_as_told_gets_through(limits: Limits, clock: Hand) -> None:
    ours = key(requests_per_minute=7)
    for _ in range(7):
        granted(limits, ours)
    for _ in range(20):
        clock.now += int(dict(refused(limits, ours).headers)["retry-after-ms"]) / 1000
        granted(limits, ours)


def test_a_lowered_limit_holds_at_once_and_a_raised_one_too(limits: Limits) -> None:
    for _ in range(30):
        granted(limits, key(requests_per_minute=60))
    for _ in range(5):
        granted(limits, key(requests_per_minute=10))
    refused(limits, key(requests_per_minute=10))
    refused(limits, key(requests_per_minute=59))


@given(limit=st.integers(1, 50), steps=st.lists(st.floats(0, 30), max_size=120))
def test_no_minute_has_more_calls_than_two_limits_and_a_full_rest_brings_all_back(
    limit: int, steps: list[float]
) -> None:
    clock = Hand()
    limits, ours = Limits(clock), key(requests_per_minute=limit)
    times: list[float] = []
    for step in steps:
        clock.now += step
        try:
            granted(limits, ours)
        except RateLimitReached:
            continue
        times.append(clock.now)
    for start in times:
        assert sum(start <= time < start + 60 for time in times) < 2 * limit + 1
    clock.now += 60
    assert sum(through(lambda: granted(limits, ours)) for _ in range(limit + 1)) == limit


def through(call: Callable[[], object]) -> bool:
    try:
        call()
    except RateLimitReached:
        return False
    return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.006, "6ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (3.89, "3.89s"),
        (59.9996, "1m0s"),
        (60.052, "1m0.052s"),
        (125, "2m5s"),
    ],
)
def test_durations_are_told_as_openai_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
