"""Texts in parts: bytes as they are, between them what stands elsewhere.

b"..."               these bytes
[SHARED, key]        a text that several completions have, kept once
[BASE64, key]        the same, kept decoded
[COPY, start, end]   bytes of the answer that the conversation went on from
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

SHARED = 0
BASE64 = 1
COPY = 2

Part = bytes | list[int]
Text = bytes | list[Part]  # bytes when all of it stands here
Load = Callable[[int], bytes]  # the shared text with this key
Copy = Callable[[int, int], bytes]  # what stands between two places of the answer gone on from

# Shorter texts cost less where they stand than a reference to them.
_MIN_SHARED = 4096
_WORTH_ASIDE = 128  # for what is named as likely to come again
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{%d,}={0,2}" % _MIN_SHARED)
_STRING = re.compile(rb'"(?:[^"\\]|\\.){10,}"', re.DOTALL)
_MAX_STRINGS = 64
_MAX_COPIED_FROM = 1 << 16


def _nothing(start: int, end: int) -> bytes:
    raise LookupError("nothing to copy from")


class Shelf:
    """Puts texts aside that others may have as well; `texts` are the ones put there by key.

    Keys are keyed per project, so that equal texts of two projects never meet.
    """

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self.texts: dict[int, bytes] = {}

    def put(self, text: bytes, kind: int = SHARED) -> list[int]:
        key = shared_key(self.secret, text)
        self.texts[key] = text
        return [kind, key]

    def cut(self, text: bytes) -> Text:
        """The text, put aside when it is big, or else its images and sounds."""
        if len(text) < _MIN_SHARED:
            return text
        parts = self.decoded(text)
        return [self.put(text)] if isinstance(parts, bytes) else parts

    def decoded(self, text: bytes) -> Text:
        """The text with the base64 in it put aside, decoded."""
        parts: list[Part] = []
        done = 0
        for found in _BASE64.finditer(text) if len(text) >= _MIN_SHARED else ():
            decoded = _decoded(found.group())
            if decoded is not None:
                parts += (text[done : found.start()], self.put(decoded, BASE64))
                done = found.end()
        return [*parts, text[done:]] if parts else text

    def without(self, text: bytes, stretches: Sequence[bytes]) -> Text:
        """The text with these stretches put aside, each where it first stands in it.

        One that is shorter than a reference is worth stays.
        """
        parts: list[Part] = [text]
        for stretch in stretches:
            if len(stretch) >= _WORTH_ASIDE:
                self._cut_out(stretch, parts)
        return parts if len(parts) > 1 else text

    def apart(self, text: bytes, stretches: Sequence[bytes]) -> Text:
        """The same, and the base64 in the rest put aside, decoded."""
        parts = self.without(text, stretches) if stretches else text
        if isinstance(parts, bytes):
            return self.decoded(parts)
        return [piece for part in parts for piece in self._pieces(part)]

    def _cut_out(self, stretch: bytes, parts: list[Part]) -> None:
        for index, part in enumerate(parts):
            at = part.find(stretch) if isinstance(part, bytes) else -1
            if at >= 0 and isinstance(part, bytes):
                rest = part[at + len(stretch) :]
                parts[index : index + 1] = [part[:at], self.put(stretch), rest]
                return

    def _pieces(self, part: Part) -> list[Part]:
        if not isinstance(part, bytes):
            return [part]
        decoded = self.decoded(part)
        return [decoded] if isinstance(decoded, bytes) else decoded


def shared_key(secret: bytes, text: bytes) -> int:
    return int.from_bytes(blake2b(text, key=secret, digest_size=8).digest()) >> 1


def joined(text: Text, load: Load, copy: Copy = _nothing) -> bytes:
    """The text. Raises LookupError for a part that is nowhere, ValueError for what is none."""
    if isinstance(text, bytes):
        return text
    return b"".join(
        [part if isinstance(part, bytes) else _found(part, load, copy) for part in text]
    )


def shared_in(text: Text) -> set[int]:
    """The keys of the shared texts among its parts."""
    return {part[1] for part in _elsewhere(text) if part[0] in (SHARED, BASE64)}


def copied_in(text: Text) -> set[tuple[int, int]]:
    """The places, start and end, that its parts copy."""
    return {(part[1], part[2]) for part in _elsewhere(text) if part[0] == COPY}


def _elsewhere(text: Text) -> list[list[int]]:
    return [] if isinstance(text, bytes) else [part for part in text if isinstance(part, list)]


def strings(answer: bytes) -> list[tuple[int, int]]:
    """Where the answer's longer strings stand: what a client sends again of it, it sends whole."""
    if len(answer) > _MAX_COPIED_FROM:
        return []
    found = [match.span() for match in _STRING.finditer(answer)]
    return found[:_MAX_STRINGS]


def copying(text: bytes, answer: bytes, places: Sequence[tuple[int, int]]) -> Text:
    """The text with what it has of the answer as copies."""
    parts: list[Part] = []
    done = 0
    for at, start, end in sorted(_occurrences(text, answer, places)):
        if at >= done:
            parts += (text[done:at], [COPY, start, end])
            done = at + end - start
    return [*parts, text[done:]] if parts else text


def _occurrences(
    text: bytes, answer: bytes, places: Sequence[tuple[int, int]]
) -> Iterable[tuple[int, int, int]]:
    for start, end in places:
        at = text.find(answer[start:end])
        if at >= 0:
            yield at, start, end


def _found(part: list[int], load: Load, copy: Copy) -> bytes:
    match part:
        case [kind, key] if kind == SHARED:
            return load(key)
        case [kind, key] if kind == BASE64:
            return b64encode(load(key))
        case [kind, start, end] if kind == COPY:
            return copy(start, end)
    raise ValueError(f"{part!r} is no part")


def _decoded(text: bytes) -> bytes | None:
    """None for what base64 would not bring back as it was."""
    try:
        decoded = b64decode(text, validate=True)
    except ValueError:
        return None
    return decoded if b64encode(decoded) == text else None
