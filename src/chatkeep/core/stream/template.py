"""What nearly all chunks of a stream have in common, so that only their text is read.

    data: {"id":"a","choices":[{"delta":{"content":"Hi"}}],"obfuscation":"xY"}
    head ─────────────────────────────────────────┘  └─ middle ──────────┘  └─ end

The text is one JSON string, the obfuscation letters and digits; every other byte is the same.
"""

import re
from typing import NamedTuple

import msgspec

from chatkeep.core.stream.sse import is_one_line

_TEXT = msgspec.json.Decoder(str)
_TEXTS = msgspec.json.Decoder(list[str])
_MEMBER = rb'([{,][ \t]*"%b"[ \t]*:[ \t]*")(?:[^"\\]++|\\.)*+'
_OBFUSCATION = re.compile(_MEMBER % b"obfuscation")


class Run(NamedTuple):
    """Events of one shape after each other: their texts, and their bytes under another head."""

    texts: list[str]
    renamed: bytes
    rest: bytes


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

    def run(self, data: bytes, head: bytes) -> Run | None:
        """The events of this shape that the data begins with; None when there are none surely.

        They are cut at their ends, which are in no JSON string.
        """
        end = self.end or self.middle
        *events, rest = data.split(end)
        others = [place for place, one in enumerate(events) if not one.startswith(self.head)]
        if others:
            rest = end.join((*events[others[0] :], rest))
            del events[others[0] :]
        skipped = len(self.head)
        inside = [event[skipped:] for event in events]
        texts = _texts([*map(self._undisguised, inside)] if self.end else inside)
        return Run(texts, head + (end + head).join(inside) + end, rest) if texts else None

    def _undisguised(self, piece: bytes) -> bytes:
        """The text before an obfuscation; what is no JSON string when there is none."""
        text, found, letters = piece.partition(self.middle)
        return text if found and (not letters or letters.isalnum()) else b'"'


def shape_of(event: bytes, key: str, *, obfuscated: bool) -> Shape | None:
    """The shape of an event whose chunk has its text under this key; None when it is not sure."""
    # After a CR an LF may come that is a part of the event, too.
    if not is_one_line(event) or not event.endswith(b"\n") or not key.isascii():
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


def _texts(raw: list[bytes]) -> list[str]:
    """The values of the insides of JSON strings; empty when one of them is none."""
    joined = b'","'.join(raw)
    if b'\\","' in joined or joined.endswith(b"\\"):
        return []  # a quote put in between could be an escaped one
    try:
        texts = _TEXTS.decode(b'["%b"]' % joined)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    # As many strings as quotes were put in for: there is no quote inside of one.
    return texts if len(texts) == len(raw) else []
