"""Conversations of every shape: each request and answer comes back, and little is kept of them."""

from base64 import b64encode
from random import Random
from typing import Any

import pytest
from support.backends import Backend
from support.conversations import SYSTEM, Talks, as_spaced, call, message, tools, words
from support.samples import SECOND, name, place

from chatkeep.core.model.completion import Project
from chatkeep.core.ports.store import Store

DAY = 86_400
IMAGE = b64encode(Random(5).randbytes(3_000_000)).decode()


@pytest.fixture
def talks(store: Store, project: Project) -> Talks:
    return Talks(store, project)


def said_by(role: str, seed: int, count: int = 40) -> bytes:
    return message(role, words(Random(seed), count))


async def grow(
    talks: Talks,
    turns: int,
    said: list[bytes] | None = None,
    seed: int = 0,
    **fields: Any,
) -> list[bytes]:
    """A conversation of so many turns, from `said` on; the messages after the last answer."""
    said = [SYSTEM] if said is None else said
    for turn in range(turns):
        question, answer = (
            said_by("user", seed + 2 * turn),
            said_by("assistant", seed + 2 * turn + 1),
        )
        said = [*said, question]
        await talks.keep(call(said, **fields), answer)
        said = [*said, answer]
    return said


@pytest.mark.on_disk
async def test_every_turn_of_a_long_conversation_comes_back(talks: Talks, backend: Backend) -> None:
    await grow(talks, 280, tools=tools(Random(1)), temperature=0.7)  # it builds on 256 before
    await talks.check()
    assert backend.size() < talks.raw / 20
    assert backend.faults() == []


@pytest.mark.on_disk
async def test_a_loop_of_1000_turns_is_kept_in_little(talks: Talks, backend: Backend) -> None:
    luck = Random(4)
    said = [SYSTEM, message("user", words(luck, 100))]
    for turn in range(1000):
        function = {"name": "look_up", "arguments": words(luck, 10)}
        tool_call = {"id": f"call_{luck.getrandbits(96):x}", "type": "function"}
        answer = message("assistant", None, tool_calls=[tool_call | {"function": function}])
        body = call(said, tools=TOOLS)
        kept = await talks.keep(body, answer)
        result = message("tool", words(luck, 30), tool_call_id=tool_call["id"])
        said = [*said, answer, result]
        if turn % 111 == 0:
            await talks.check(kept)
        talks.said.clear()  # in full they take hundreds of MB
    assert talks.raw > 100_000_000
    assert backend.size() < 600_000


TOOLS = tools(Random(9))


@pytest.mark.on_disk
@pytest.mark.also_encrypted
async def test_branches_of_one_conversation_share_its_trunk(talks: Talks, backend: Backend) -> None:
    trunk = await grow(talks, 20)
    before = backend.size()
    for branch in range(5):
        await grow(talks, 1, trunk, seed=1000 * branch + 500)
    await talks.check()
    assert backend.size() - before < 5 * 1000
    assert backend.faults() == []


async def test_a_history_that_was_edited_comes_back_as_it_was_sent(
    talks: Talks, backend: Backend
) -> None:
    said = await grow(talks, 18)
    for at in (0, 1, 2, 17, len(said) - 1):
        edited = [*said[:at], said_by("user", 77), *said[at + 1 :]]
        await grow(talks, 2, edited, seed=300 + at)
        await grow(talks, 1, [*said[:at], *said[at + 1 :]], seed=400 + at)
    await talks.check()
    assert backend.faults() == []


@pytest.mark.on_disk
async def test_a_repeated_request_costs_its_answer_only(talks: Talks, backend: Backend) -> None:
    said = await grow(talks, 17, tools=TOOLS)
    body = call([*said, message("user", Random(2).randbytes(5000).hex())], tools=TOOLS)
    await talks.keep(body, message("assistant", "answer"))
    before = backend.size()
    for number in range(20):
        await talks.keep(body, message("assistant", f"answer {number}"))
    await talks.check()
    assert backend.size() - before < 20 * 500
    assert backend.faults() == []


async def test_what_goes_on_from_each_of_several_answers_comes_back(
    talks: Talks, backend: Backend
) -> None:
    question = [SYSTEM, said_by("user", 1)]
    answers = [said_by("assistant", 10 + n) for n in range(6)]
    for answer in answers:
        await talks.keep(call(question), answer)
    for turn, answer in enumerate(answers):
        await grow(talks, 3, [*question, answer], seed=100 * turn)
    await talks.check()
    assert backend.faults() == []


@pytest.mark.on_disk
async def test_each_of_several_choices_may_be_gone_on_from(talks: Talks, backend: Backend) -> None:
    question = [SYSTEM, said_by("user", 1)]
    choices = [said_by("assistant", 10 + n) for n in range(3)]
    await talks.keep(call(question, n=3), *choices)
    before = backend.size()
    for choice in choices:
        await talks.keep(call([*question, choice, said_by("user", 2, 3)]), message("assistant", ""))
    await talks.check()
    assert backend.size() - before < 3 * 300


async def test_changed_tools_metadata_and_system_prompts_come_back(
    talks: Talks, backend: Backend
) -> None:
    said = [SYSTEM]
    for turn in range(8):
        more = [*TOOLS, *tools(Random(turn), 1)]
        orders = [more, more[::-1], more[1:], TOOLS, TOOLS, [], TOOLS[::-1], TOOLS]
        said = [*said, said_by("user", turn)]
        fields: dict[str, Any] = {"tools": orders[turn]} if orders[turn] else {}
        metadata = {"turn": str(turn // 2), "env": "é"}
        await talks.keep(call(said, **fields), said_by("assistant", 50), metadata=metadata)
        said = [*said, said_by("assistant", 50)]
        other = message("system", words(Random(turn % 3), 50))
        await talks.keep(call([other, *said[1:]], **fields), said_by("assistant", 51))
    await talks.check()
    assert backend.faults() == []


async def test_answers_sent_again_in_another_writing_come_back(
    talks: Talks, backend: Backend
) -> None:
    said = [SYSTEM]
    for turn in range(6):
        said = [*said, said_by("user", turn)]
        await talks.keep(
            call(said, separator=[b",", b" , ", b",\n"][turn % 3]), said_by("assistant", turn)
        )
        said = [*said, as_spaced(said_by("assistant", turn))]
    await talks.check()
    assert backend.faults() == []


async def test_messages_with_separators_that_differ_come_back(talks: Talks) -> None:
    one, two, three = (said_by("user", n) for n in range(3))
    body = b'{"model":"m","messages":[ %b , %b,\n%b ],"store":true}' % (one, two, three)
    await talks.keep(call([one]), said_by("assistant", 5))
    await talks.keep(body, said_by("assistant", 5))
    await talks.keep(body.replace(b" , ", b","), said_by("assistant", 5))
    await talks.check()


@pytest.mark.parametrize(
    "opaque",
    [b"", b"<html>", b'{"id": "x', b"\xff\0" * 3000, b'"' * 70_000, b'"eleven letters"' * 9],
    ids=["empty", "html", "cut off", "binary", "huge", "strings"],
)
async def test_a_conversation_goes_on_from_an_answer_that_is_no_completion(
    talks: Talks, opaque: bytes, backend: Backend
) -> None:
    said = [SYSTEM, said_by("user", 1)]
    for turn in range(3):
        await talks.keep(call(said), opaque=opaque, status="partial")
        said = [*said, message("assistant", "eleven letters"), said_by("user", turn)]
    await talks.check()
    assert backend.faults() == []


async def test_an_answer_that_is_cut_off_comes_back_and_may_be_gone_on_from(talks: Talks) -> None:
    said = [SYSTEM, said_by("user", 1)]
    half = message("assistant", "That is as far as")
    await talks.keep(call(said, stream=True), half, status="partial", finish_reason=None)
    await grow(talks, 2, [*said, half])
    await talks.check()


@pytest.mark.on_disk
@pytest.mark.also_encrypted
async def test_an_image_in_two_conversations_is_kept_once_and_decoded(
    talks: Talks, backend: Backend
) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}
    for turn in range(2):
        said = [SYSTEM, message("user", [{"type": "text", "text": f"{turn}"}, image])]
        await grow(talks, 3, said, seed=100 * turn)
    await talks.check()
    assert talks.raw > 6 * len(IMAGE)
    assert backend.size() < 3_100_000
    assert backend.faults() == []


@pytest.mark.on_disk
async def test_an_answer_with_sound_in_it_comes_back(talks: Talks, backend: Backend) -> None:
    sound = message("assistant", None, audio={"id": "audio_1", "data": IMAGE[:400_000]})
    said = [SYSTEM, said_by("user", 1)]
    await talks.keep(call(said), sound)
    await grow(talks, 2, [*said, sound])
    await talks.check()
    assert backend.size() < 310_000
    assert backend.faults() == []


async def test_turns_that_arrive_out_of_order_come_back(talks: Talks, backend: Backend) -> None:
    said = [SYSTEM]
    turns = []
    for turn in range(34):
        said = [*said, said_by("user", turn)]
        turns.append(call(said))
        said = [*said, said_by("assistant", 100 + turn)]
    order = list(range(34))
    Random(3).shuffle(order)
    for turn in order:
        await talks.keep(turns[turn], said_by("assistant", 100 + turn), at=place(turn))
    await talks.check()
    assert backend.faults() == []


@pytest.mark.on_disk
@pytest.mark.also_encrypted
async def test_places_that_fall_come_back(talks: Talks, backend: Backend) -> None:
    said = [SYSTEM]
    for turn in range(34):
        said = [*said, said_by("user", turn)]
        await talks.keep(call(said), said_by("assistant", turn), at=place(99 - turn))
        said = [*said, said_by("assistant", turn)]
    await talks.check()
    assert backend.size() < talks.raw / 5
    assert backend.faults() == []


@pytest.mark.on_disk
@pytest.mark.parametrize(("age", "shared"), [(DAY, True), (DAY + 1, False)])
async def test_what_is_more_than_a_day_older_is_not_built_on(
    talks: Talks, backend: Backend, age: int, shared: bool
) -> None:
    said = [SYSTEM, message("user", Random(1).randbytes(1500).hex())]
    await talks.keep(call(said), said_by("assistant", 1), at=place(0))
    before = backend.size()
    last = await talks.keep(call(said), said_by("assistant", 2), at=place(0, SECOND + age))
    assert (backend.size() - before < 1500) == shared
    await talks.check()
    assert await talks.store.delete(talks.project, name(talks.said[place(0)].row))
    await talks.check(last)
    assert backend.faults() == []


@pytest.mark.on_disk
@pytest.mark.also_encrypted
async def test_equal_conversations_of_two_projects_have_nothing_in_common(
    store: Store, project: Project, other: Project, backend: Backend
) -> None:
    ours, theirs = Talks(store, project), Talks(store, other)
    image = message("user", [{"type": "image_url", "image_url": {"url": IMAGE[:60_000]}}])
    await grow(ours, 20, [SYSTEM, image], tools=TOOLS)
    alone = backend.size()
    theirs._next = 1000
    await grow(theirs, 20, [SYSTEM, image], tools=TOOLS)
    assert backend.size() > 1.98 * alone
    for said in list(ours.said.values()):
        await ours.delete(said)
    await theirs.check()
    assert backend.size() < 1.02 * alone
    assert backend.faults() == []


@pytest.mark.on_disk
@pytest.mark.also_encrypted
async def test_a_conversation_goes_on_after_a_restart(backend: Backend) -> None:
    store = await backend.open()
    key = await store.add_key("ours", b"digest of our key", "sk-o", frozenset({"read"}), 0)
    talks = Talks(store, key.project)
    said = [SYSTEM]
    for turn in range(5):
        said = await grow(talks, 4, said, seed=100 * turn, tools=TOOLS)
        await talks.store.aclose()
        talks.store = await backend.open()
    await talks.check()
    assert backend.size() < talks.raw / 8
    assert backend.faults() == []
    await talks.store.aclose()
