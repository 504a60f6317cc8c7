"""Any history of inserts, changes, deletes and pages, against a model of a few dictionaries."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any, ClassVar, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from support.backends import BACKENDS, Backend
from support.listing import expected_page, is_wanted
from support.samples import SECOND, as_json, name, other_tag, place, replacing, row, said

from chatkeep.core.model.completion import Order, Project, Query, Row, Scope
from chatkeep.core.model.ids import Name, Seq
from chatkeep.core.ports.store import Store
from chatkeep.errors import StoreFailed

READ: frozenset[Scope] = frozenset({"read"})
PROJECTS = st.sampled_from(["ours", "theirs"])
PLACES = st.builds(place, st.integers(0, 4), st.integers(SECOND, SECOND + 3))
PAIRS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"))
MODELS = st.sampled_from(["m", "n"])
SECONDS = st.none() | st.integers(SECOND - 1, SECOND + 4)
QUERIES = st.builds(
    Query,
    model=st.none() | MODELS,
    metadata=PAIRS,
    created_after=SECONDS,
    created_before=SECONDS,
    order=st.sampled_from(get_args(Order)),
    limit=st.integers(1, 4),
)


class Walk:
    """Reading page after page while others write.

    `steady` are the rows that matched when it began and were not touched since.
    """

    def __init__(self, owner: str, query: Query, rows: list[Row]) -> None:
        self.owner = owner
        self.query = query
        self.steady = {one.seq for one in rows if is_wanted(one, query)}
        self.seen: list[Seq] = []

    def forget(self, seq: Seq) -> None:
        self.steady.discard(seq)

    def turn(self, items: list[Seq]) -> None:
        self.seen += items
        if items:
            self.query = msgspec.structs.replace(self.query, after=items[-1])

    def end(self) -> None:
        assert len(set(self.seen)) == len(self.seen), "a row was seen twice"
        assert self.steady <= set(self.seen), "a row was not seen"


class History(RuleBasedStateMachine):
    kind: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="chatkeep-history-")
        self.backend: Backend = BACKENDS[self.kind](Path(self.folder.name))
        self.rows: dict[str, dict[Seq, Row]] = {"ours": {}, "theirs": {}}
        self.deleted: set[Seq] = set()
        self.expired_below = {"ours": 0, "theirs": 0}
        self.highest: Seq | None = None
        self.walk: Walk | None = None
        self.store: Store = self.run(self.backend.open())
        self.projects: dict[str, Project] = {
            owner: self.run(self.store.add_key(owner, owner.encode(), "sk", READ, 0)).project
            for owner in self.rows
        }

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def owner_of(self, seq: Seq) -> str | None:
        return next((owner for owner, rows in self.rows.items() if seq in rows), None)

    @rule(owner=PROJECTS, seq=PLACES, pairs=PAIRS, model=MODELS)
    def insert(self, owner: str, seq: Seq, pairs: dict[str, str], model: str) -> None:
        if seq in self.deleted or seq < self.expired_below[owner]:
            return  # no place is given twice, nor one behind those whose bodies have gone
        new = row(seq, pairs, model=model)
        insert = self.store.insert(self.projects[owner], new, said())
        if self.owner_of(seq):
            with pytest.raises(StoreFailed):
                self.run(insert)
        else:
            self.run(insert)
            self.rows[owner][seq] = new
            self.highest = max(self.highest or seq, seq)

    @rule(owner=PROJECTS, seq=PLACES, pairs=PAIRS)
    def change_metadata(self, owner: str, seq: Seq, pairs: dict[str, str]) -> None:
        change = self.store.change_metadata(self.projects[owner], _named(seq), replacing(pairs))
        changed = self.run(change)
        assert (changed is not None) == (self.owner_of(seq) == owner)
        if changed:
            new = msgspec.structs.replace(self.rows[owner][seq], metadata=as_json(pairs))
            assert changed.row == new
            self.rows[owner][seq] = new
            self.touched(seq)

    @rule(owner=PROJECTS, seq=PLACES)
    def delete(self, owner: str, seq: Seq) -> None:
        deleted = self.run(self.store.delete(self.projects[owner], _named(seq)))
        assert deleted == (self.rows[owner].pop(seq, None) is not None)
        if deleted:
            self.deleted.add(seq)
            self.touched(seq)

    @rule(owner=PROJECTS, below=PLACES)
    def expire(self, owner: str, below: Seq) -> None:
        with_body = [n for n in self.rows[owner] if self.expired_below[owner] <= n < below]
        done, more = self.run(self.store.expire_bodies(self.projects[owner], below, 1))
        assert (done, more) == (bool(with_body), bool(with_body))
        if with_body:
            self.expired_below[owner] = min(with_body) + 1

    def touched(self, seq: Seq) -> None:
        if self.walk:
            self.walk.forget(seq)

    @rule(owner=PROJECTS, seq=PLACES)
    def get(self, owner: str, seq: Seq) -> None:
        found = self.run(self.store.get(self.projects[owner], _named(seq)))
        assert (found and found.row) == self.rows[owner].get(seq)
        assert found is None or found.has_body == (seq >= self.expired_below[owner])
        assert self.run(self.store.get(self.projects[owner], other_tag(_named(seq)))) is None

    @rule(owner=PROJECTS, query=QUERIES, after=st.none() | PLACES, limit=st.integers(0, 100))
    def page(self, owner: str, query: Query, after: Seq | None, limit: int) -> None:
        self.read_page(owner, msgspec.structs.replace(query, after=after, limit=limit))

    def read_page(self, owner: str, query: Query) -> tuple[list[Seq], bool]:
        page = self.run(self.store.page(self.projects[owner], query))
        expected = expected_page(self.rows[owner].values(), query)
        assert ([item.row for item in page.items], page.has_more) == expected
        return [item.row.seq for item in page.items], page.has_more

    @precondition(lambda self: self.walk is None)
    @rule(owner=PROJECTS, query=QUERIES)
    def begin_walk(self, owner: str, query: Query) -> None:
        self.walk = Walk(owner, query, list(self.rows[owner].values()))

    @precondition(lambda self: self.walk is not None)
    @rule()
    def turn_page(self) -> None:
        assert self.walk
        items, more = self.read_page(self.walk.owner, self.walk.query)
        assert items or not more, "a client stops at an empty page"
        self.walk.turn(items)
        if not more:
            self.walk.end()
            self.walk = None

    @rule()
    def verify(self) -> None:
        assert self.backend.faults() == []
        assert self.run(self.store.high_water()) == self.highest

    def teardown(self) -> None:
        try:
            self.verify()
        finally:
            self.run(self.store.aclose())
            self.runner.close()
            self.folder.cleanup()


def _named(seq: Seq) -> Name:
    return name(row(seq))


@pytest.mark.parametrize("kind", sorted(BACKENDS))
def test_any_history_gives_what_a_plain_model_gives(kind: str) -> None:
    class OnBackend(History): ...

    OnBackend.kind = kind
    run_state_machine_as_test(
        OnBackend,
        settings=settings(
            max_examples=25,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault of ours
        ),
    )


@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("pairs", [{}, {"keep": "yes"}, {"keep": "yes", "half": "0"}])
async def test_a_walk_beside_writers_sees_every_row_that_stays_exactly_once(
    store: Store, project: Project, order: Order, pairs: dict[str, str]
) -> None:
    steady = [row(place(2 * n), {"keep": "yes", "half": str(n % 2)}, model="m") for n in range(120)]
    passing = [row(place(2 * n + 1), {"keep": "yes", "half": "0"}, model="m") for n in range(120)]
    await asyncio.gather(*(store.insert(project, one, said()) for one in steady))
    walking = asyncio.create_task(_walk(store, project, Query(metadata=pairs, order=order)))
    for one in passing:
        await store.insert(project, one, said())
        await store.change_metadata(project, name(one), replacing({"keep": "no"}))
        await store.delete(project, name(one))
        if walking.done():
            break
    seen = await walking
    wanted = [one.seq for one in steady if is_wanted(one, Query(metadata=pairs))]
    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen, reverse=order == "desc")
    assert [seq for seq in seen if seq not in {one.seq for one in passing}] == sorted(
        wanted, reverse=order == "desc"
    )


async def _walk(store: Store, project: Project, query: Query) -> list[Seq]:
    seen: list[Seq] = []
    for _ in range(240):
        page = await store.page(project, msgspec.structs.replace(query, limit=3))
        seen += [item.row.seq for item in page.items]
        if not page.has_more:
            return seen
        query = msgspec.structs.replace(query, after=seen[-1])
    raise AssertionError("the pages do not end")
