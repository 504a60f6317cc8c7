"""What is known of an upstream's answer, whatever its wire format."""

import re
from collections.abc import Sequence

from msgspec import Struct

from chatkeep.core.model.completion import Status, Usage

MAX_CHARACTERS = 1 << 18  # that search looks into, of a record: no text keeps the others waiting
_NAME = 256
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Answer(Struct, frozen=True):
    """What lists, figures and search need of an answer.

    `model` is None when none is named; `finish_reason` says how it ended. `texts` is what full text
    search looks into. `status` is what it counts as when it has arrived whole; with an error and
    nothing else it `is_error`.
    """

    model: str | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    cost_micro: int | None = None
    texts: Sequence[str] = ()
    status: Status = "complete"
    is_error: bool = False


class Renamed(Struct, frozen=True):
    """An answer under our id, the id it had, and what else it says."""

    text: bytes
    upstream_id: str | None
    read: Answer


def scrubbed(text: str) -> str:
    """The text with what a database refuses (NUL, lone surrogates) replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def short(name: str | None) -> str | None:
    """A name as it is stored: scrubbed, and its first 256 characters."""
    return None if name is None else scrubbed(name)[:_NAME]
