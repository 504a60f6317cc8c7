"""What is left of a completion when its body has expired: figures, and nothing anybody said.

It is shown like any other: its choices are there and say how they ended, with empty messages.
"""

import msgspec
from msgspec import Raw

from chatkeep.core.json import spans
from chatkeep.core.json.tolerant import fields
from chatkeep.core.model.completion import Stored
from chatkeep.core.wire.chat import stored

_ASKED = ("seed", "top_p", "temperature", "presence_penalty", "frequency_penalty")
_ANSWERED = ("model", "created", "usage", "service_tier", "system_fingerprint")
_MESSAGE = b'{"role":"assistant","content":null}'


def expired(item: Stored) -> tuple[bytes, bytes]:
    """The request and the answer that are left."""
    asked = fields(item.request)
    request = {key: asked[key] for key in _ASKED if key in asked and _is_number(asked[key])}
    shown = fields(stored.completion(item))
    answer = {key: shown[key] for key in _ANSWERED}
    return _json(request), _json({**answer, "choices": _choices(shown["choices"])})


def _choices(choices: bytes) -> bytes:
    if choices[:1] != b"[":
        return b"[]"
    found = [fields(choice) for choice in spans.elements(choices)]
    return b"[%b]" % b",".join(_choice(choice) for choice in found if choice)


def _choice(choice: dict[str, bytes]) -> bytes:
    kept = {key: choice[key] for key in ("index", "finish_reason")}
    return _json({**kept, "message": _MESSAGE})


def _is_number(value: bytes) -> bool:
    return isinstance(spans.loads(value), int | float)


def _json(members: dict[str, bytes]) -> bytes:
    return msgspec.json.encode({key: Raw(value) for key, value in members.items()})
