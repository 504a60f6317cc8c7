"""What a chat completion says, or a chunk of one. Odd content gives less, never an error."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from chatkeep.core.json import tolerant
from chatkeep.core.json.tolerant import typed
from chatkeep.core.wire.answer import Answer, short
from chatkeep.core.wire.chat.text import Message, message_of, texts_of
from chatkeep.core.wire.usage import NOTHING_SPENT, UsageObject, usage_object

FAILED = "error"  # the finish_reason of gateways whose upstream broke off
_NONE = Raw()


class Opened(Struct, frozen=True):
    """A JSON text as far as it is an answer, or a chunk of one; `id` is its bytes."""

    is_completion: bool
    id: bytes
    read: Answer


class _Choice(Struct):
    finish_reason: str | None = None
    message: Message | None = None
    error: Raw = _NONE

    def failed(self) -> bool:
        return self.finish_reason == FAILED or is_given(self.error)


class _Body(Struct):
    """An answer as nearly all are. What is odd in any way is no such answer."""

    id: Raw = _NONE
    object: Raw = _NONE
    model: str | None = None
    usage: UsageObject | None = None
    choices: list[_Choice] | UnsetType | None = UNSET
    error: Raw = _NONE


_BODY = msgspec.json.Decoder(_Body)


def read_answer(text: bytes) -> Answer | None:
    """None for what is no completion."""
    found = opened(text)
    return found.read if found.is_completion else None


def opened(text: bytes) -> Opened:
    """The one decode of a stored answer: what it is, and what lists, figures and search need."""
    body = typed(_BODY, text, _tolerant)
    choices = body.choices or []
    spent = NOTHING_SPENT if body.usage is None else body.usage.spent()
    answer = Answer(
        short(body.model),
        short(choices[0].finish_reason) if choices else None,
        spent.usage,
        spent.cost_micro,
        tuple(texts_of([choice.message for choice in choices if choice.message is not None])),
    )
    is_completion = body.choices is not UNSET or _is_completion(bytes(body.object))
    if is_completion and (is_given(body.error) or any(choice.failed() for choice in choices)):
        answer = replace(answer, status="failed_midstream", is_error=not choices)
    elif is_completion and not choices:
        answer = replace(answer, status="partial")
    return Opened(is_completion, bytes(body.id), answer)


def is_given(error: Raw | bytes) -> bool:
    """Whether there is an error, where one may stand."""
    return bytes(error) not in (b"", b"null")


def _is_completion(object: bytes) -> bool:
    # Audio streams have chunks without choices (CONTRACT.md D8).
    return object.startswith(b'"chat.completion')


def _tolerant(text: bytes) -> _Body:
    given = tolerant.fields(text)
    choices = tolerant.elements(given.get("choices", b""))
    return _Body(
        Raw(given.get("id", b"")),
        Raw(given.get("object", b"")),
        _string(given.get("model", b"")),
        usage_object(tolerant.value(given.get("usage", b""))),
        [_choice(choice) for choice in choices] if "choices" in given else UNSET,
        Raw(given.get("error", b"")),
    )


def _choice(text: bytes) -> _Choice:
    given = tolerant.fields(text)
    message = message_of(tolerant.value(given.get("message", b"")))
    error = Raw(given.get("error", b""))
    return _Choice(_string(given.get("finish_reason", b"")), message, error)


def _string(text: bytes) -> str | None:
    value = tolerant.value(text)
    return value if isinstance(value, str) else None
