"""Sums of calls: what one call adds, and what waits in memory."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, astuple
from support.memory.data import Data
from support.memory.usage import MemoryLedger
from support.samples import SECOND, place, row, sums_of

from chatkeep.core.model.completion import Key, KeyId, Project, ProjectId, Usage
from chatkeep.core.model.usage import (
    BUCKETS_MS,
    FIGURES,
    Account,
    Sums,
    Totals,
    count_row,
)
from chatkeep.core.usage.meter import Meter
from chatkeep.core.usage.prices import Price, Prices
from chatkeep.errors import Refusal, StoreBusy, StoreFailed

PROJECT = Project(ProjectId(7), "p", b"secret")
CHAT = "chat.completion"
KEY = Key(KeyId(3), PROJECT, "sk", frozenset({"create"}), 0)
HOUR = SECOND // 3600


class Kept(MemoryLedger):
    """Keeps sums; raises `refusing` once."""

    def __init__(self) -> None:
        self.data = Data()
        super().__init__(self.data)
        self.refusing: Refusal | None = None
        self.writes = 0

    async def add_usage(self, sums: Sequence[tuple[Account, Sums]]) -> None:
        if self.refusing is not None:
            refusing, self.refusing = self.refusing, None
            raise refusing
        self.writes += 1
        await super().add_usage(sums)

    @property
    def sums(self) -> dict[Account, Sums]:
        return {Account(*of): figures for of, figures in self.data.totals.items()}


def meter(*prices: Price, now: float = 0.25) -> Meter:
    return Meter(lambda: SECOND, lambda: now, Prices(prices))


def flushed(of: Meter) -> dict[Account, dict[str, int]]:
    kept = Kept()
    asyncio.run(of.flush(kept))
    return {account: named(figures) for account, figures in kept.sums.items()}


def named(figures: Sums) -> dict[str, int]:
    """The figures that are not 0."""
    return {name: figure for name, figure in asdict(figures).items() if figure}


@pytest.mark.parametrize(
    ("duration_ms", "bucket"),
    [
        (0, "up_to_100"),
        (100, "up_to_100"),
        (101, "up_to_300"),
        (1000, "up_to_1000"),
        (100_000, "up_to_100000"),
        (100_001, "longer"),
        (10**12, "longer"),
    ],
)
def test_a_call_is_in_the_bucket_of_its_duration(duration_ms: int, bucket: str) -> None:
    figures = named(sums_of(Usage(), duration_ms=duration_ms))
    assert figures.pop(bucket) == 1
    assert not [name for name in figures if name.startswith(("up_to", "longer"))]


def test_the_buckets_are_named_by_their_bounds() -> None:
    assert FIGURES[8:-1] == tuple(f"up_to_{bound}" for bound in BUCKETS_MS)


@given(st.lists(st.none() | st.integers(0, 1 << 60), min_size=5, max_size=5))
def test_whatever_upstreams_claim_an_hours_sum_fits_a_database(given: list[int | None]) -> None:
    figures = sums_of(Usage(given[0], given[1], None, given[2], given[3]), given[4], 1 << 50)
    assert max(astuple(figures)) < 1 << 32
    assert named(figures).get("priced", 0) == (given[4] is not None)


def test_a_row_counts_for_the_hour_it_arrived_in() -> None:
    kept = row(place(5), usage=Usage(10, 5, 15, 4, 2), key=KeyId(1), cost_micro=0, model="m")
    totals: Totals = {}
    count_row(totals, ProjectId(9), kept)
    ((account, figures),) = totals.items()
    assert account == Account(ProjectId(9), HOUR, CHAT, "m", "default", KeyId(1), "stored")
    assert named(figures) == {
        "calls": 1,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cached_tokens": 4,
        "reasoning_tokens": 2,
        "priced": 1,
        "duration_ms": 250,
        "up_to_300": 1,
    }


def test_calls_are_summed_by_what_they_have_in_common() -> None:
    one = meter()
    for outcome in ("passed", "failed", "passed"):
        one.count(KEY, CHAT, "m", "u", outcome, 0.0)
    sums = flushed(one)
    account = Account(ProjectId(7), HOUR, CHAT, "m", "u", KeyId(3), "passed")
    assert sums[account] == {"calls": 2, "duration_ms": 500, "up_to_300": 2}
    assert sums[account._replace(outcome="failed")]["calls"] == 1


SPENT = b'{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}'
RESPONSES = b'{"input_tokens":7,"input_tokens_details":{"cached_tokens":3},"output_tokens":2}'


@pytest.mark.parametrize(
    "tail",
    [
        b'...}],"usage":' + SPENT + b"}",
        b'...}],"usage" : ' + SPENT + b',"x":1}',
        b'data: {"choices":[],"usage":' + SPENT + b"}\n\ndata: [DONE]\n\n",
        b'"usage":' + RESPONSES + b"}",
        b'{"usage":{"prompt_tokens":1}}\n"usage":' + SPENT + b"}",
        b'\xff"usage":' + SPENT + b'},"usage":null',
        b'"usage":' + SPENT + b',"usage":{"prompt_tok',
    ],
)
def test_the_tokens_are_those_of_the_last_usage_in_the_end_of_an_answer(tail: bytes) -> None:
    one = meter(Price(model="m", input=1, output=1, cached=0))
    one.count(KEY, CHAT, "m", "u", "passed", 0.0, tail)
    (figures,) = flushed(one).values()
    wanted = {"prompt_tokens": 7, "completion_tokens": 2, "cached_tokens": 3, "cost_micro": 6}
    assert {name: figures[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"no JSON",
        rb'"content":"\"usage\":{\"prompt_tokens\":7}"}',
        b'"usage":null}',
        b'"usage":{"prompt_tokens":"7"}',
        b'"usage":{"prompt_tokens":-7,"cost":-1}',
        b'"usage":' + b'{"a":' * 500,
    ],
)
def test_an_end_without_usage_counts_a_call_without_tokens(tail: bytes) -> None:
    one = meter()
    one.count(KEY, CHAT, "m", "u", "passed", 0.0, tail)
    assert flushed(one).popitem()[1] == {"calls": 1, "duration_ms": 250, "up_to_300": 1}


def test_the_upstreams_own_cost_goes_before_the_price() -> None:
    one = meter(Price(model="*", input=1, output=1))
    one.count(KEY, CHAT, "m", "u", "passed", 0.0, b'"usage":{"prompt_tokens":9,"cost":0.0000125}')
    assert flushed(one).popitem()[1]["cost_micro"] == 12


@pytest.mark.parametrize("refusing", [StoreBusy(detail="x"), StoreFailed(detail="x")])
async def test_what_the_store_refuses_is_written_the_next_time(refusing: Refusal) -> None:
    one, kept = meter(), Kept()
    one.count(KEY, CHAT, "m", "u", "passed", 0.0)
    kept.refusing = refusing
    await one.flush(kept)
    one.count(KEY, CHAT, "m", "u", "passed", 0.0)
    await one.flush(kept)
    await one.flush(kept)
    ((_, figures),) = kept.sums.items()
    assert (named(figures)["calls"], kept.writes) == (2, 1)


def test_names_of_any_number_and_length_take_bounded_memory() -> None:
    one = meter()
    for number in range(3000):
        one.count(KEY, CHAT, f"{number}" + "x" * 1000, "u", "failed", 0.0)
    one.count(KEY, CHAT, "a\0\ud800", "u", "failed", 0.0)
    sums = flushed(one)
    assert len(sums) <= 1001
    assert sum(figures["calls"] for figures in sums.values()) == 3001
    assert all(len(account.model) <= 256 for account in sums)
