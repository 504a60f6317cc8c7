"""The JSON objects that our own routes take: their members, and values as errors show them."""

import json
from collections.abc import Sequence
from typing import Any

from chatkeep.core.json import spans
from chatkeep.core.json.types import type_word
from chatkeep.core.wire.query import did_you_mean
from chatkeep.errors import UnknownParameter

_SHOWN = 80


def fields_of(body: bytes, known: Sequence[str]) -> dict[str, Any]:
    """The members of a JSON object by name. Raises UnknownParameter, NotJson, NestedTooDeep."""
    found = spans.fields(body)
    for name in found:
        if name not in known:
            raise UnknownParameter(name, hint=did_you_mean(name, known))
    return {name: spans.loads(text) for name, text in found.items()}


def shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return type_word(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
