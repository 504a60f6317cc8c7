"""Idempotency keys in a store: claimed, leased, answered, given back, forgotten after a day."""

import asyncio
import itertools
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.backends import Backend
from support.samples import keep, name, row, said

from chatkeep.core.model.completion import Project, Scope
from chatkeep.core.model.ids import Name
from chatkeep.core.ports.claims import Claim, ClaimState
from chatkeep.core.ports.store import Store
from chatkeep.errors import StoreFailed

NOW = 1_760_000_000
WITHIN_A_LEASE = 15  # more than the ten seconds after which a lease is renewed
AFTER_A_LEASE = 120
DAY = 24 * 3600
MINE = ClaimState(mine=True)
OTHERS = ClaimState()  # somebody works on it
OTHER_BODY = ClaimState(other_body=True)
READ: frozenset[Scope] = frozenset({"read"})


def claim(owner: str = "we", request: str = "body", key: str = "key") -> Claim:
    return Claim(key.encode(), request.encode(), owner.encode())


async def answered(store: Store, project: Project, made: Claim, seq: int = 1) -> Name:
    """What the claim was answered by."""
    answer = row(seq)
    await store.insert(project, answer, said(), made)
    return name(answer)


async def test_another_body_is_refused_while_the_first_is_worked_on_and_once_it_is_answered(
    store: Store, project: Project
) -> None:
    await store.claim(project, claim(), NOW)
    assert await store.claim(project, claim("they", "other"), NOW) == OTHER_BODY
    await answered(store, project, claim())
    for owner in ("we", "they"):
        assert await store.claim(project, claim(owner, "other"), NOW + DAY - 1) == OTHER_BODY


async def test_a_key_somebody_works_on_is_theirs(store: Store, project: Project) -> None:
    assert await store.claim(project, claim(), NOW) == MINE
    assert await store.claim(project, claim("they"), NOW + WITHIN_A_LEASE) == OTHERS
    assert await store.claim(project, claim("they"), NOW - DAY) == OTHERS  # a clock set back
    assert await store.claim(project, claim(), NOW + WITHIN_A_LEASE) == MINE


async def test_of_many_at_once_one_gets_the_key(store: Store, project: Project) -> None:
    owners = [claim(str(number)) for number in range(50)]
    states = await asyncio.gather(*(store.claim(project, each, NOW) for each in owners))
    assert sorted(states) == [OTHERS] * 49 + [MINE]


async def test_a_lease_that_has_run_out_can_be_taken_over(store: Store, project: Project) -> None:
    await store.claim(project, claim(), NOW)
    assert await store.claim(project, claim("they", "other"), NOW + AFTER_A_LEASE) == MINE
    assert await store.claim(project, claim(request="other"), NOW + AFTER_A_LEASE) == OTHERS


async def test_a_renewed_lease_lasts_longer(store: Store, project: Project) -> None:
    await store.claim(project, claim(), NOW)
    for later in range(0, DAY // 2, WITHIN_A_LEASE * 100):
        await store.renew(project, claim(), NOW + later)
        assert await store.claim(project, claim("they"), NOW + later + WITHIN_A_LEASE) == OTHERS


async def test_only_the_owner_renews_a_lease(
    store: Store, project: Project, other: Project
) -> None:
    await store.claim(project, claim(), NOW)
    await store.renew(project, claim("they"), NOW + WITHIN_A_LEASE)
    await store.renew(other, claim(), NOW + WITHIN_A_LEASE)
    await store.renew(project, claim(key="another"), NOW + WITHIN_A_LEASE)
    assert await store.claim(project, claim("they"), NOW + AFTER_A_LEASE) == MINE
    await store.renew(project, claim(), NOW + AFTER_A_LEASE)  # no longer the owner
    assert await store.claim(project, claim(), NOW + AFTER_A_LEASE) == OTHERS


async def test_a_key_that_was_given_back_is_free(store: Store, project: Project) -> None:
    await store.claim(project, claim(), NOW)
    await store.release(project, claim())
    assert await store.claim(project, claim("they", "other"), NOW) == MINE


async def test_only_the_owner_gives_a_key_back(
    store: Store, project: Project, other: Project
) -> None:
    await store.claim(project, claim(), NOW)
    await store.release(project, claim("they"))
    await store.release(other, claim())
    assert await store.claim(project, claim("they"), NOW) == OTHERS


async def test_an_answered_key_tells_its_answer_and_cannot_be_given_back(
    store: Store, project: Project
) -> None:
    await store.claim(project, claim(), NOW)
    by = await answered(store, project, claim())
    await store.release(project, claim())
    for owner, later in (("we", 0), ("they", 0), ("they", AFTER_A_LEASE), ("they", DAY - 1)):
        state = await store.claim(project, claim(owner), NOW + later)
        assert state == ClaimState(answered=by)
    assert await store.get(project, by) is not None


async def test_keys_of_projects_and_other_keys_do_not_meet(
    store: Store, project: Project, other: Project
) -> None:
    await store.claim(project, claim(), NOW)
    await answered(store, project, claim())
    assert await store.claim(other, claim("they", "other"), NOW) == MINE
    for key in ("key2", "Key", "", "key\0", "ke"):
        assert await store.claim(project, claim("they", "other", key), NOW) == MINE


async def test_who_lost_a_key_stores_the_answer_but_does_not_answer_the_key(
    store: Store, project: Project
) -> None:
    await store.claim(project, claim(), NOW)
    await store.claim(project, claim("they"), NOW + AFTER_A_LEASE)
    late = await answered(store, project, claim(), 1)
    assert await store.get(project, late) is not None
    assert await store.claim(project, claim("third"), NOW + AFTER_A_LEASE) == OTHERS
    theirs = await answered(store, project, claim("they"), 2)
    await answered(store, project, claim(), 3)
    state = await store.claim(project, claim("third"), NOW + AFTER_A_LEASE)
    assert state == ClaimState(answered=theirs)


async def test_an_insert_that_fails_does_not_answer_the_key(store: Store, project: Project) -> None:
    await keep(store, project, row(1))
    await store.claim(project, claim(), NOW)
    with pytest.raises(StoreFailed):
        await answered(store, project, claim(), 1)  # the place is taken
    assert await store.claim(project, claim("they"), NOW) == OTHERS
    await store.release(project, claim())
    assert await store.claim(project, claim("they"), NOW) == MINE


@pytest.mark.parametrize("request_", ["body", "other"])
async def test_a_key_whose_answer_was_deleted_is_free(
    store: Store, project: Project, request_: str
) -> None:
    await store.claim(project, claim(), NOW)
    by = await answered(store, project, claim())
    assert await store.delete(project, by)
    assert await store.claim(project, claim("they", request_), NOW) == MINE
    assert await store.claim(project, claim("third", request_), NOW) == OTHERS
    again = await answered(store, project, claim("they", request_), 2)
    state = await store.claim(project, claim("third", request_), NOW)
    assert state == ClaimState(answered=again)


@pytest.mark.parametrize("request_", ["body", "other"])
async def test_a_key_is_forgotten_after_a_day(
    store: Store, project: Project, request_: str
) -> None:
    await store.claim(project, claim(), NOW)
    by = await answered(store, project, claim())
    assert (await store.claim(project, claim("they"), NOW + DAY - 1)).answered == by
    assert await store.claim(project, claim("they", request_), NOW + DAY) == MINE
    assert await store.get(project, by) is not None


async def test_every_key_is_forgotten_after_a_day_however_many_there_are(
    store: Store, project: Project
) -> None:
    made = [claim(key=f"{number:03}") for number in range(100)]
    for number, each in enumerate(made):
        await store.claim(project, each, NOW)
        await answered(store, project, each, number)
    for each in reversed(made):
        later = each._replace(owner=b"they", request=b"other")
        assert await store.claim(project, later, NOW + DAY) == MINE


async def test_keys_survive_the_store_being_closed(backend: Backend) -> None:
    store = await backend.open()
    ours = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
    await store.claim(ours, claim(key="a"), NOW)
    by = await answered(store, ours, claim(key="a"))
    await store.claim(ours, claim(key="b"), NOW)
    await store.aclose()
    store = await backend.open()
    try:
        assert (await store.claim(ours, claim("they", key="a"), NOW)).answered == by
        assert await store.claim(ours, claim("they", key="b"), NOW) == OTHERS
        assert await store.claim(ours, claim("they", key="b"), NOW + AFTER_A_LEASE) == MINE
    finally:
        await store.aclose()
    assert backend.faults() == []


class Step(NamedTuple):
    """Something done with a key, so many seconds after the step before."""

    act: str
    key: str
    request: str
    owner: str
    seconds: int


class Held(NamedTuple):
    claim: Claim
    leased: bool
    expires: int
    answer: Name | None


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["claim", "claim", "renew", "release", "answer", "delete"]),
        st.sampled_from("ab"),
        st.sampled_from("xy"),
        st.sampled_from("12"),
        st.sampled_from([0, 0, 0, AFTER_A_LEASE, DAY]),
    ),
    max_size=20,
)
_PROJECTS = itertools.count()


class Model:
    """What should be known of the keys, the slow and obvious way."""

    def __init__(self) -> None:
        self.held: dict[bytes, Held] = {}
        self.alive: set[Name] = set()
        self.now = NOW

    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        for key, held in self.held.items():
            self.held[key] = held._replace(leased=held.leased and seconds == 0)

    def mine(self, made: Claim) -> bool:
        held = self.held.get(made.key)
        return held is not None and held.claim.owner == made.owner

    def take(self, made: Claim) -> ClaimState:
        held = self.held.get(made.key)
        if held is not None and held.expires > self.now:
            lives = held.answer in self.alive
            works = held.answer is None and held.leased and held.claim.owner != made.owner
            if (lives or works) and held.claim.request != made.request:
                return OTHER_BODY
            if lives or works:
                return ClaimState(answered=held.answer)
        self.held[made.key] = Held(made, True, self.now + DAY, None)
        return MINE


@given(steps=STEPS)
@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_any_history_of_keys_goes_as_a_model_says(store: Store, steps: list[Step]) -> None:
    number = next(_PROJECTS)
    project = (await store.add_key(f"p{number}", b"%d" % number, "sk", READ, 0)).project
    model = Model()
    for at, step in enumerate(steps):
        made = claim(step.owner, step.request, step.key)
        model.pass_time(step.seconds)
        held = model.held.get(made.key)
        match step.act:
            case "claim":
                assert await store.claim(project, made, model.now) == model.take(made)
            case "renew":
                await store.renew(project, made, model.now)
                if held is not None and model.mine(made):
                    model.held[made.key] = held._replace(leased=True)
            case "release":
                await store.release(project, made)
                if held is not None and model.mine(made) and held.answer is None:
                    del model.held[made.key]
            case "answer":
                by = await answered(store, project, made, number << 8 | at)
                model.alive.add(by)
                if held is not None and model.mine(made):
                    model.held[made.key] = held._replace(answer=by)
            case _:
                if held is not None and held.answer in model.alive:
                    assert await store.delete(project, held.answer)
                    model.alive.remove(held.answer)
