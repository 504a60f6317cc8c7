"""Any history of conversations and deletes: what lives comes back, and the file is sound."""

import asyncio
import tempfile
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from support.backends import BACKENDS, ENCRYPTED, Backend
from support.conversations import SYSTEM, Said, Talks, as_spaced, call, message, tools, words
from support.samples import as_json, name, place, replacing

from chatkeep.core.model.completion import Scope
from chatkeep.core.ports.store import Store

READ: frozenset[Scope] = frozenset({"read"})
OWNERS = st.sampled_from(["ours", "theirs"])
TEXTS = [words(Random(n), size) for n, size in enumerate((1, 3, 20, 400, 1200))]
TEXT = st.sampled_from(TEXTS)
TOOLS = st.sampled_from([None, tools(Random(1), 1), tools(Random(2), 3)])
PAIRS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"))
ANSWERS = st.lists(TEXT.map(lambda text: message("assistant", text)), min_size=1, max_size=2)
OPAQUE = st.none() | st.sampled_from([b"", b'{"id":"half', b"[]"])
STEPS = st.sampled_from([0, 30_000, 90_000])


class History(RuleBasedStateMachine):
    """Completions of two projects, who say the same; `ends` are the messages to go on from."""

    kind: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="chatkeep-chains-")
        self.backend: Backend = (BACKENDS | ENCRYPTED)[self.kind](Path(self.folder.name))
        self.store: Store = self.run(self.backend.open())
        self.talks: dict[str, Talks] = {
            owner: Talks(self.store, self.project(owner)) for owner in ("ours", "theirs")
        }
        self.ends: list[list[bytes]] = [[SYSTEM], [], [message("user", TEXTS[4])]]
        self.places = 0
        self.second = 1_760_000_000

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def project(self, owner: str) -> Any:
        return self.run(self.store.add_key(owner, owner.encode(), "sk", READ, 0)).project

    @rule(
        owner=OWNERS,
        end=st.integers(0),
        text=TEXT,
        answers=ANSWERS,
        opaque=OPAQUE,
        around=TOOLS,
        turns=st.integers(1, 18),
    )
    def go_on(
        self,
        owner: str,
        end: int,
        text: str,
        answers: list[bytes],
        opaque: bytes | None,
        around: Any,
        turns: int,
    ) -> None:
        """From any message ever said last: a first turn, the next ones, or a branch."""
        said = self.ends[-1 - end % len(self.ends)]
        for _ in range(turns):
            said = [*said, message("user", text)]
            self.keep(owner, said, answers, opaque, around)
            said = [*said, answers[-1]]
        self.ends.append(said)

    @rule(owner=OWNERS, end=st.integers(0), at=st.integers(0), how=st.sampled_from("dre"))
    def edit(self, owner: str, end: int, at: int, how: str) -> None:
        """One message is left out, replaced, or written another way."""
        said = list(self.ends[-1 - end % len(self.ends)])
        at %= len(said) + 1
        if at < len(said):
            new = {"d": [], "r": [message("user", "edited")], "e": [as_spaced(said[at])]}[how]
            said[at : at + 1] = new
        self.keep(
            owner, [*said, message("user", "!")], [message("assistant", "edited")], None, None
        )

    @precondition(lambda self: any(talks.said for talks in self.talks.values()))
    @rule(which=st.integers(0), owner=OWNERS, answers=ANSWERS, times=st.integers(1, 3))
    def repeat(self, which: int, owner: str, answers: list[bytes], times: int) -> None:
        request = self.pick(which)[1].request
        for _ in range(times):
            self.places += 1
            at = place(self.places, self.second)
            self.run(self.talks[owner].keep(request, *answers, at=at))

    @precondition(lambda self: any(talks.said for talks in self.talks.values()))
    @rule(which=st.integers(0), pairs=PAIRS)
    def change_metadata(self, which: int, pairs: dict[str, str]) -> None:
        talks, said = self.pick(which)
        self.run(self.store.change_metadata(talks.project, name(said.row), replacing(pairs)))
        new = msgspec.structs.replace(said.row, metadata=as_json(pairs))
        talks.said[said.row.seq] = Said(new, said.request, said.answer, said.upstream_id)

    @precondition(lambda self: any(talks.said for talks in self.talks.values()))
    @rule(which=st.lists(st.integers(0), max_size=12))
    def delete(self, which: list[int]) -> None:
        for one in which:
            if any(talks.said for talks in self.talks.values()):
                talks, said = self.pick(one)
                self.run(talks.delete(said))

    @rule(by=STEPS)
    def time_passes(self, by: int) -> None:
        self.second += by

    @rule()
    def reopen(self) -> None:
        self.run(self.store.aclose())
        self.store = self.run(self.backend.open())
        for talks in self.talks.values():
            talks.store = self.store

    @precondition(lambda self: any(talks.said for talks in self.talks.values()))
    @rule(which=st.integers(0))
    def read(self, which: int) -> None:
        talks, said = self.pick(which)
        self.run(talks.check(said))

    def keep(
        self, owner: str, said: list[bytes], answers: list[bytes], opaque: bytes | None, around: Any
    ) -> None:
        self.places += 1
        fields = {"tools": around} if around else {"n": len(answers)}
        request = call(said, **fields)
        at = place(self.places, self.second)
        pairs = {"turn": str(len(said))}
        self.run(self.talks[owner].keep(request, *answers, opaque=opaque, at=at, metadata=pairs))

    def pick(self, which: int) -> tuple[Talks, Said]:
        there = [(talks, said) for talks in self.talks.values() for said in talks.said.values()]
        return there[which % len(there)]

    def teardown(self) -> None:
        try:
            for talks in self.talks.values():
                self.run(talks.check())
            assert self.backend.faults() == []
            for talks in self.talks.values():
                for said in list(talks.said.values()):
                    self.run(talks.delete(said))
            assert self.backend.faults() == []
            assert self.backend.size() == 0
        finally:
            self.run(self.store.aclose())
            self.runner.close()
            self.folder.cleanup()


@pytest.mark.parametrize("kind", sorted(BACKENDS | ENCRYPTED))
def test_any_history_of_conversations_leaves_each_byte_in_its_place(kind: str) -> None:
    class OnBackend(History): ...

    OnBackend.kind = kind
    run_state_machine_as_test(
        OnBackend,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault of ours
        ),
    )
