"""What a call took, as its upstream says in a `usage`. Odd content gives less, never an error."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from chatkeep.core.json.tolerant import typed
from chatkeep.core.model.completion import Usage

_MAX_TOKENS = 1 << 53
_MAX_COST = 1_000_000  # dollars a call: whatever says more is broken


class Spent(Struct, frozen=True):
    """`cost_micro` is in millionths of a US dollar."""

    usage: Usage = Usage()
    cost_micro: int | None = None


NOTHING_SPENT = Spent()
_Count = Annotated[int, Meta(ge=0, lt=_MAX_TOKENS)] | None


class _Details(Struct):
    cached_tokens: _Count = None
    reasoning_tokens: _Count = None


class UsageObject(Struct):
    """A `usage` as nearly all are, to be decoded as part of a larger object."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    cost: Any = None

    def spent(self) -> Spent:
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        counts = Usage(
            self.prompt_tokens,
            self.completion_tokens,
            self.total_tokens,
            None if prompt is None else prompt.cached_tokens,
            None if completion is None else completion.reasoning_tokens,
        )
        return Spent(counts, None if self.cost is None else _micro(self.cost))


class _Answer(Struct):
    usage: UsageObject | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


def spent_by(answer: bytes) -> Spent | None:
    """What an answer's `usage` says; None when there is none, or it is odd in any way."""
    found = typed(_ANSWER, answer, _none)
    return None if found is None or found.usage is None else found.usage.spent()


def usage_object(value: Any) -> UsageObject:
    """What can be used of a `usage`, whatever it is."""
    given = _object(value)
    prompt = _object(given.get("prompt_tokens_details"))
    completion = _object(given.get("completion_tokens_details"))
    return UsageObject(
        prompt_tokens=_count(given.get("prompt_tokens")),
        completion_tokens=_count(given.get("completion_tokens")),
        total_tokens=_count(given.get("total_tokens")),
        prompt_tokens_details=_Details(cached_tokens=_count(prompt.get("cached_tokens"))),
        completion_tokens_details=_Details(
            reasoning_tokens=_count(completion.get("reasoning_tokens"))
        ),
        cost=given.get("cost"),
    )


def _none(text: bytes) -> None:
    return None


def _micro(cost: Any) -> int | None:
    """The cost some upstreams give in `usage`, in US dollars, as millionths of one."""
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0 <= cost <= _MAX_COST:
        return None
    return round(cost * 1_000_000)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _MAX_TOKENS else None
