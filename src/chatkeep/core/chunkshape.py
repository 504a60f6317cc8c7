"""What nearly all chunks of a stream have in common, so that only their text is read.

    data: {"id":"a","choices":[{"delta":{"content":"Hi"}}],"obfuscation":"xY"}
    head ─────────────────────────────────────────┘  └─ middle ──────────┘  └─ end

The text is one JSON string, the obfuscation letters and digits; every other byte is the same.
"""

import re
from typing import NamedTuple

import msgspec

from chatkeep.core.sse import is_one_line

_TEXT = msgspec.json.Decoder(str)
_MEMBER = rb'([{,][ \t]*"%b"[ \t]*:[ \t]*")(?:[^"\\]++|\\.)*+'
_OBFUSCATION = re.compile(_MEMBER % b"obfuscation")


class Shape(NamedTuple):
    """`head` ends with the text's opening quote, `middle` begins with its closing one."""

    head: bytes
    middle: bytes
    end: bytes

    def text(self, event: bytes) -> str | None:
        """The text of an event of this shape, None for any other event."""
        head, middle, end = self
        if not event.startswith(head):
            return None
        closing = event.find(middle, len(head))
        rest = event[closing + len(middle) :]
        if closing < 0 or (rest != end and not _obfuscated(rest, end)):
            return None
        try:
            return _TEXT.decode(event[len(head) - 1 : closing + 1])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


def shape_of(event: bytes, key: str, *, obfuscated: bool) -> Shape | None:
    """The shape of an event whose chunk has its text under this key; None when it is not sure."""
    if not is_one_line(event) or not key.isascii():
        return None
    # A key stands nowhere inside a string: that would take a quote that is not escaped.
    head, tail = _around(event, re.compile(_MEMBER % re.escape(key).encode()))
    # With an escape outside of the text a key may be spelled in another way.
    if not head or b"\\" in head or b"\\" in tail:
        return None
    middle, end = _around(tail, _OBFUSCATION) if obfuscated else (b"", b"")
    return Shape(head, middle or tail, end)


def _around(text: bytes, key: re.Pattern[bytes]) -> tuple[bytes, bytes]:
    """What is before and after the string under the key, empty unless the key stands once."""
    found = list(key.finditer(text))
    return (text[: found[0].end(1)], text[found[0].end() :]) if len(found) == 1 else (b"", b"")


def _obfuscated(rest: bytes, end: bytes) -> bool:
    return bool(end) and rest.endswith(end) and rest.removesuffix(end).isalnum()
