"""A store of made-up completions, as many as wanted: every one follows from its number.

Row `number` arrived STEP_S after the one before. Of a store of `rows` rows ten, spread over all of
it, have the pair and the word `ten(rows)`: what is rare is as rare in a store of any of the SIZES.
The OLDEST rows have a pair, a word and a model that no later one has. A second project has a tenth
as many completions, among them.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.process import Broken
from chatkeep.core.model.completion import KeyId, Project, Query, Row, Status, Usage
from chatkeep.core.model.ids import compose, second_of, tag_of
from chatkeep.core.model.record import Record, Request
from chatkeep.core.ports.store import Store
from chatkeep.core.records import retention
from chatkeep.store import open_store

SIZES = (1_000, 10_000, 100_000, 300_000, 1_000_000, 5_000_000)
STEP_S = 15  # a million in half a year
OLDEST = 20
_BEGAN = 1_700_000_000
_AT_ONCE = 512
_TEXTS = 4096
_TOLD = 10  # times of a fill
_SYSTEM = b'{"role":"system","content":"You answer questions of our customers: short and kind."}'
_MODELS = ("gpt-4o-mini",) * 12 + ("gpt-4o",) * 5 + ("claude-haiku",) * 2 + ("llama-3.1-8b",)
_UPSTREAMS = {"claude-haiku": "anthropic", "llama-3.1-8b": "ollama"}

Say = Callable[[str], None]


class Filled(Struct, frozen=True):
    """How many rows were written, and what one took."""

    rows: int
    per_second: float
    cpu_us: float


class Made(Struct, frozen=True):
    """A completion to insert."""

    row: Row
    record: Record


async def opened(path: Path) -> tuple[Store, Project, int]:
    """The store, the project that is measured, and how many rows it has. Raises Broken."""
    store = await open_store(f"sqlite:///{path}")
    for name in ("default", "other"):
        await store.add_project(name, 0, lambda project: project)
    project = await store.project("default")
    if project is None:
        raise Broken(f"{path} has no project")
    newest = (await store.page(project, Query(limit=1))).items
    if not newest:
        return store, project, 0
    try:
        return store, project, int(msgspec.json.decode(newest[0].row.metadata)["n"]) + 1
    except (KeyError, ValueError):
        await store.aclose()
        raise Broken(f"{path} is no store that this benchmark has made") from None


async def fill(store: Store, project: Project, first: int, rows: int, say: Say) -> Filled:
    """Writes the rows from the first on as a server does: so many at a time share a commit."""
    other = await store.project("other")
    if other is None:
        raise Broken("the store has no second project")
    began, spent = time.perf_counter(), time.process_time()
    numbers = iter(range(first, rows))
    while batch := list(islice(numbers, _AT_ONCE)):
        writes = [_insert(store, project, number) for number in batch]
        writes += [_insert(store, other, number) for number in batch if number % 10 == 0]
        await asyncio.gather(*writes)
        done = batch[-1] + 1
        if done * _TOLD // rows > batch[0] * _TOLD // rows:
            say(f"{done:,} of {rows:,} rows, {time.perf_counter() - began:,.0f} s")
    await store.upkeep(second(rows) + 2 * retention.DAY_S)
    took = time.perf_counter() - began
    cpu_us = (time.process_time() - spent) / (rows - first) * 1e6
    return Filled(rows - first, (rows - first) / took, cpu_us)


def second(number: int) -> int:
    """When a row arrived."""
    return _BEGAN + number * STEP_S


def ten(rows: int) -> str:
    return f"ten{rows}"


def made(project: Project, number: int) -> Made:
    """The row with this number, which is the same in every run but for its tag."""
    luck = _mixed(number)
    row = _row(project, number, luck)
    question, answer = _TEXT[luck % _TEXTS], _TEXT[luck // _TEXTS % _TEXTS]
    marks = " ".join((*_marks(number), f"n{number}"))
    asked = b'{"role":"user","content":"%b %b"}' % (question, marks.encode())
    request = Request(
        b'{"model":"%b","temperature":0.5,"messages":[' % row.model.encode(),
        (_SYSTEM, asked),
        b",",
        b'],"metadata":%b,"store":true}' % row.metadata,
    )
    return Made(row, Record(request, _answer(row, answer), row.id, f"chatcmpl-{luck:020d}"))


def _insert(store: Store, project: Project, number: int) -> "asyncio.Future[None]":
    one = made(project, number)
    return asyncio.ensure_future(store.insert(project, one.row, one.record))


def _row(project: Project, number: int, luck: int) -> Row:
    request_id = luck.to_bytes(8) + number.to_bytes(8)
    model = _MODELS[luck % 20] if number >= OLDEST else "retired"
    status, reason = _end(luck // 20 % 1000)
    prompt, said = 40 + luck % 60, 30 + luck % 90
    return Row(
        seq=compose(second(number), 0, project.id),
        tag=tag_of(project.secret, request_id),
        request_id=request_id,
        model=model,
        status=status,
        finish_reason=reason,
        usage=Usage(prompt, said, prompt + said, 0, 0),
        duration_ms=200 + luck % 3000,
        first_token_ms=None,
        upstream=_UPSTREAMS.get(model, "openai"),
        key=KeyId(1 + luck // 20_000 % 4),
        metadata=msgspec.json.encode(_metadata(number, luck // 80_000)),
    )


def _end(luck: int) -> tuple[Status, str | None]:
    """Of a thousand, 30 failed, 10 were cut off, 60 were too long."""
    if luck < 30:
        return "failed_midstream", None
    if luck < 40:
        return "partial", None
    return "complete", "length" if luck < 100 else "stop"


def _metadata(number: int, luck: int) -> dict[str, str]:
    """Pairs of 90, 5, 25 and 50 of a hundred rows, one that no other row has, and the rare ones."""
    rare = _rare(number)
    sides = ("a", "b") if any(name.startswith("ten") for name in rare) else ("ab"[number % 2],)
    return {
        "env": "staging" if luck % 10 == 0 else "prod",
        "team": f"t{luck // 10 % 20:02d}",
        "plan": f"p{luck // 200 % 4}",
        **{f"side-{side}": "yes" for side in sides},
        "n": f"{number:012d}",
        **dict.fromkeys(rare, "yes"),
    }


def _rare(number: int) -> list[str]:
    found = [
        ten(size) for size in SIZES if number < size and number % (size // 10) == size // 20 + 1
    ]
    return found + ["oldest"] * (number < OLDEST)


def _marks(number: int) -> Iterator[str]:
    """Words to search for: one in 9 of 10 rows, a phrase in 5 of 100, and the rare ones."""
    if number % 10:
        yield "common"
    if number % 20 == 7:
        yield "cobalt harbor"
    if number % 20 == 16:
        yield "harbor cobalt"
    yield from _rare(number)


def _answer(row: Row, text: bytes) -> bytes:
    usage = row.usage
    reason = b"null" if row.finish_reason is None else b'"%b"' % row.finish_reason.encode()
    return (
        b'{"id":"%b","object":"chat.completion","created":%d,"model":"%b","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"%b","refusal":null,"annotations":[]},'
        b'"logprobs":null,"finish_reason":%b}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,'
        b'"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}},'
        b'"service_tier":"default","system_fingerprint":"fp_34a54ae93c"}'
    ) % (
        row.id.encode(),
        second_of(row.seq),
        row.model.encode(),
        text,
        reason,
        *(usage.prompt_tokens or 0, usage.completion_tokens or 0, usage.total_tokens or 0),
    )


def _mixed(number: int) -> int:
    """64 bits that look random (splitmix64): without a generator for every row."""
    mixed = (number * 0x9E3779B97F4A7C15 + 0x1234567) & _BITS
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _BITS
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _BITS
    return mixed ^ mixed >> 31


def _texts() -> list[bytes]:
    """Sentences in which a few words are common and most are rare, as people's are."""
    luck = random.Random(5)
    words = ["".join(luck.choices("etaoinshrdlucmfw", k=2 + n % 8)) for n in range(3000)]
    sizes = (20 + n % 25 for n in range(_TEXTS))
    return [
        " ".join(words[min(int(luck.paretovariate(0.6)), 2999)] for _ in range(size)).encode()
        for size in sizes
    ]


_BITS = (1 << 64) - 1
_TEXT = _texts()
