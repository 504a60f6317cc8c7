"""The pure parts of `make soak`: what it says, what it judges, and conversations as agents have."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from bench import samples
from bench.ledger import Acknowledged, Check, as_acknowledged
from bench.talk import IMAGES, MAX_TURNS, Talk
from bench.verdict import FLAT_FILES, FLAT_MB, Counted, Sample, Verdict, growth

GOOD = Check("soak", acknowledged=1234, missing=0, wrong=0, extra=1, unsure=2)
BAD = Check("soak", acknowledged=1234, missing=1, wrong=0, extra=0, unsure=2)
STEADY = [Sample(float(second), 60.0, 9) for second in range(40)]
KILLED = Counter({"killed": 2})
FULL = Counter({"disk full": 1})
ONE = Counter({"create": 1})


def growing(mb: float = 0.0, files: float = 0.0) -> list[Sample]:
    """By so much over the second half."""
    return [Sample(float(n), 60 + mb * n / 19, round(9 + files * n / 19)) for n in range(40)]


def verdict(
    counted: Counted | None = None,
    troubles: Counter[str] | None = None,
    check: Check = GOOD,
    faults: str = "",
    samples: Sequence[Sample] = STEADY,
) -> Verdict:
    return Verdict(counted or Counted(), troubles or Counter(), check, faults, samples)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (verdict(check=BAD), "records"),
        (verdict(faults="a body is damaged"), "verify"),
        (verdict(Counted(failed=ONE), KILLED), "own 5xx"),
        (verdict(Counted(odd=ONE), KILLED), "answers"),
        (verdict(Counted(lost=ONE)), "broken connections"),
        (verdict(Counted(unkept=ONE), KILLED), "unkept"),
        (verdict(samples=growing(mb=FLAT_MB + 0.1)), "memory"),
        (verdict(samples=growing(files=FLAT_FILES + 1)), "open files"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_not_as_it_should_be_fails_the_soak(wrong: Verdict, name: str) -> None:
    assert wrong.failures == [name]
    assert str(wrong).endswith(f"FAILED: {name}")


@pytest.mark.parametrize(
    "right",
    [
        verdict(),
        verdict(Counted(lost=ONE), KILLED),
        verdict(Counted(unkept=ONE), FULL),
        verdict(Counted(busy=ONE)),
        verdict(samples=growing(mb=FLAT_MB - 0.1, files=1)),
        verdict(samples=STEADY[:1]),
        verdict(samples=[]),
    ],
    ids=["all is well", "killed", "disk full", "busy", "grows a little", "short", "nothing seen"],
)
def test_what_was_done_to_the_server_is_no_fault_of_it(right: Verdict) -> None:
    assert right.failures == []
    assert str(right).endswith("PASSED")


def test_the_verdict_says_what_became_of_each_record() -> None:
    said = str(verdict(Counted(done=ONE, busy=ONE)))
    assert "acknowledged 1,234, missing 0, wrong 0; unacknowledged 1 of 2 cut off" in said
    assert "own 5xx 0; busy 1; not kept 0" in said
    assert "memory, MB: 60 at first, 60 in the middle, 60 at last, 60 at most" in said


def test_memory_is_judged_by_its_second_half() -> None:
    warming = [Sample(float(second), 50.0 + second, 9) for second in range(10)]
    steady = [Sample(10.0 + second, 60.0, 9) for second in range(10)]
    assert growth(warming + steady, "rss_mb") == 0
    assert growth([Sample(0.0, 1.0, 9), *steady[:1]], "rss_mb") == 0
    assert growth(growing(mb=2.0), "rss_mb") == pytest.approx(2.0)


def item(record: Acknowledged, **metadata: str) -> dict[str, Any]:
    said = {"content": samples.answer_text(record.number)}
    return {
        "choices": [{"message": said}, {"message": said}],
        "metadata": {"n": f"{record.number:012d}", **metadata},
    }


def test_a_record_has_each_mark_that_was_acknowledged_or_a_later_one() -> None:
    record = Acknowledged(7, {"grade": 5, "worker-1": 8})
    good = {"grade": "6", "worker-1": "8"}
    assert as_acknowledged(item(record, **good), record)
    assert not as_acknowledged(item(record, **good | {"worker-1": "7"}), record)
    assert not as_acknowledged(item(record, grade="6"), record)
    assert not as_acknowledged(item(Acknowledged(8), **good), record)
    one_wrong = item(record, **good)
    one_wrong["choices"][1] = {"message": {"content": "other"}}
    assert not as_acknowledged(one_wrong, record)


def asked(talk: Talk, number: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = json.loads(talk.question(number))["messages"]
    assert len(messages) == talk.messages
    return messages


def test_a_conversation_sends_all_that_was_said_and_the_next_question() -> None:
    talk = Talk(IMAGES[0])
    first = asked(talk, 1)
    assert [part["type"] for part in first[-1]["content"]] == ["image_url", "text"]
    talk.went_on(1)
    second = asked(talk, 2)
    assert second[: len(first)] == first
    assert [one["role"] for one in second] == ["system", "user", "assistant", "tool", "user"]
    assert samples.marked(second[-1]["content"]) == 2


def test_a_conversation_that_goes_back_branches_off() -> None:
    talk = Talk()
    for number in range(MAX_TURNS):
        talk.went_on(number)
    before = asked(talk, 99)
    talk.go_back()
    assert talk.turns == MAX_TURNS // 2
    after = asked(talk, 99)
    assert after[:-1] == before[: len(after) - 1]
