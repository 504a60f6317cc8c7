"""Completions from elsewhere: lines, batches, and what becomes of each."""

import json
from io import BytesIO
from typing import Any

import pytest
from support.memory.store import MemoryStore
from support.samples import SECOND, listed, row

from chatkeep.core.model.completion import Project, Query
from chatkeep.core.records.completions import Completions
from chatkeep.core.records.importing import BATCH, Importer, Line, Tally, batches, lines
from chatkeep.core.usage.prices import Price, Prices
from chatkeep.errors import StoreFailed

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "metadata": {"a": "1"}}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def line(number: int = 1, request: Any = ASKED, **answered: Any) -> Line:
    plain = {"id": "elsewhere-1", "created": SECOND, "choices": [CHOICE], "usage": USAGE}
    text = json.dumps({"request": request, "response": plain | answered})
    return Line(number, text.encode())


@pytest.fixture
def importer(store: MemoryStore, project: Project) -> Importer:
    return Importer(store, project, Prices([Price(model="*", input=1, output=1)]))


def test_lines_are_counted_from_one_and_blank_ones_left_out() -> None:
    file = BytesIO(b"a\n\n  \nb")
    assert list(lines(file, 100)) == [Line(1, b"a\n"), Line(4, b"b")]


def test_of_a_line_that_is_too_long_only_the_number_is_told() -> None:
    file = BytesIO(b"x" * 99 + b"\n" + b"y" * 1000 + b"\nz")
    assert list(lines(file, 100)) == [Line(1, b"x" * 99 + b"\n"), Line(2, None), Line(3, b"z")]


def test_a_batch_ends_by_its_number_of_lines_or_by_their_size() -> None:
    short = [Line(n, b"x") for n in range(BATCH + 1)]
    assert [len(batch) for batch in batches(short)] == [BATCH, 1]
    long = [Line(n, bytes(5 << 20)) for n in range(5)]
    assert [len(batch) for batch in batches(long)] == [2, 2, 1]
    assert list(batches([])) == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (Line(5, None), "too long"),
        (Line(5, b"{"), "it is not JSON"),
        (Line(5, b"[]"), "it is not JSON"),
        (Line(5, b'{"response":{}}'), "request is missing"),
        (line(5, request=[]), "request is an array"),
        (line(5, request={"model": "m"}), "messages"),
        (Line(5, b'{"request":{},"response":{"id":"x","created":1}}'), "no chat completion"),
        (line(5, id=""), "response.id"),
        (line(5, id=7), "response.id"),
        (line(5, id="x" * 257), "response.id"),
        (line(5, created=None), "response.created"),
        (line(5, created=-1), "response.created"),
        (line(5, created=1 << 32), "response.created"),
        (line(5, request=ASKED | {"metadata": {"a": 1}}), "metadata"),
    ],
)
async def test_a_line_that_cannot_be_used_is_told_and_takes_no_other_with_it(
    importer: Importer, store: MemoryStore, project: Project, bad: Line, why: str
) -> None:
    (refused,) = await importer.add([line(1), bad, line(6, id="elsewhere-2")])
    assert refused.line == 5
    assert why in refused.why
    assert (importer.tally, importer.tally.lines) == (Tally(2, 0, 1), 3)
    assert len(await listed(store, project)) == 2


async def test_what_is_there_already_is_counted_and_left(
    importer: Importer, store: MemoryStore, project: Project
) -> None:
    await importer.add([line(1), line(2)])
    await importer.add([line(3, choices=[])])
    assert importer.tally == Tally(added=1, already_there=2, refused=0)
    (item,) = (await store.page(project, Query())).items
    assert item.row.finish_reason == "stop"


async def test_an_import_is_what_its_line_says(
    importer: Importer, store: MemoryStore, project: Project
) -> None:
    own = row(SECOND << 31 | 5).id
    for id in ("elsewhere-1", own):
        await importer.add([line(id=id)])
        (item,) = (await store.page(project, Query(limit=1))).items
        sent = json.loads(line(id=id).text or b"")
        assert (item.row.id, item.row.model, item.row.finish_reason) == (id, "m", "stop")
        assert (item.row.usage.total_tokens, item.row.cost_micro) == (9, 9)
        completions = Completions(store)
        assert json.loads(await completions.raw_request(project, id)) == sent["request"]
        assert json.loads(await completions.raw_answer(project, id)) == sent["response"]
        await completions.delete(project, id)


async def test_what_the_store_fails_with_comes_out(store: MemoryStore, project: Project) -> None:
    class Failing(MemoryStore):
        async def import_many(self, *_: Any) -> list[Any]:
            return [None, StoreFailed(detail="the disk is full")]

    failing: Any = Failing()
    with pytest.raises(StoreFailed):
        await Importer(failing, project, Prices(())).add([line(1), line(2, id="x")])
