"""Texts in parts: bytes as they are, between them what stands elsewhere.

b"..."               these bytes
MESSAGES, OUR_ID     a hole, filled when the text is put together
[SHARED, key]        a text that several completions have, kept once
[BASE64, key]        the same, kept decoded
[COPY, start, end]   bytes of the answer that the conversation went on from
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

MESSAGES = 0
OUR_ID = 1
SHARED = 2
BASE64 = 3
COPY = 4

Part = bytes | int | list[int]
Load = Callable[[int], bytes]  # the shared text with this key
Copy = Callable[[int, int], bytes]  # what stands between two places of the answer gone on from

# Shorter texts cost less where they stand than a reference to them.
_MIN_SHARED = 4096
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

    def cut(self, text: bytes) -> "bytes | list[Part]":
        """The text, put aside when it is big, or else its images and sounds."""
        if len(text) < _MIN_SHARED:
            return text
        parts = self.decoded(text)
        return parts if len(parts) > 1 else [self.put(text)]

    def decoded(self, text: bytes) -> list[Part]:
        """The text with the base64 in it put aside, decoded."""
        parts: list[Part] = []
        done = 0
        for found in _BASE64.finditer(text) if len(text) >= _MIN_SHARED else ():
            decoded = _decoded(found.group())
            if decoded is not None:
                parts += (text[done : found.start()], self.put(decoded, BASE64))
                done = found.end()
        return [*parts, text[done:]]


def shared_key(secret: bytes, text: bytes) -> int:
    return int.from_bytes(blake2b(text, key=secret, digest_size=8).digest()) >> 1


def joined(
    parts: Iterable[Part], load: Load, holes: Mapping[int, bytes], copy: Copy = _nothing
) -> bytes:
    """The text. Raises LookupError for a part that is nowhere, ValueError for what is none."""
    return b"".join(
        [part if type(part) is bytes else _filled(part, load, holes, copy) for part in parts]
    )


def shared_in(parts: Iterable[Part]) -> set[int]:
    """The keys of the shared texts among the parts."""
    return {part[1] for part in parts if isinstance(part, list) and part[0] in (SHARED, BASE64)}


def copied_in(parts: Iterable[Part]) -> set[tuple[int, int]]:
    """The places, start and end, that the parts copy."""
    return {(part[1], part[2]) for part in parts if isinstance(part, list) and part[0] == COPY}


def strings(answer: bytes) -> list[tuple[int, int]]:
    """Where the answer's longer strings stand: what a client sends again of it, it sends whole."""
    if len(answer) > _MAX_COPIED_FROM:
        return []
    found = [match.span() for match in _STRING.finditer(answer)]
    return found[:_MAX_STRINGS]


def copying(text: bytes, answer: bytes, places: Sequence[tuple[int, int]]) -> list[Part]:
    """The text with what it has of the answer as copies."""
    parts: list[Part] = []
    done = 0
    for at, start, end in sorted(_occurrences(text, answer, places)):
        if at >= done:
            parts += (text[done:at], [COPY, start, end])
            done = at + end - start
    parts.append(text[done:])
    return parts


def _occurrences(
    text: bytes, answer: bytes, places: Sequence[tuple[int, int]]
) -> Iterable[tuple[int, int, int]]:
    for start, end in places:
        at = text.find(answer[start:end])
        if at >= 0:
            yield at, start, end


def _filled(part: Part, load: Load, holes: Mapping[int, bytes], copy: Copy) -> bytes:
    match part:
        case int():
            return holes[part]
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
