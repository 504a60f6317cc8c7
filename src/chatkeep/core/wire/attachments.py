"""Images, sounds and files that clients sent within their messages, as the bytes they are."""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from chatkeep.core.json import spans
from chatkeep.errors import Refusal

_DATA_URL = re.compile(r"data:[^,]*;base64,")
# What a browser shows as a picture and nothing else; SVG, for one, can be a page with scripts.
_PICTURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}


class Attachment(Struct, frozen=True):
    """`picture` is its media type when its bytes are those of a picture, else None."""

    content: bytes
    picture: str | None


def attachments(messages: Iterable[bytes]) -> Iterator[Attachment]:
    """In the order they were sent in. What is no base64 is left out, as are links."""
    for message in messages:
        for part in _parts(message):
            content = _content(part)
            if content is not None:
                yield Attachment(content, _picture(content))


def _parts(message: bytes) -> list[dict[str, Any]]:
    try:
        value = spans.loads(message)
    except Refusal:
        return []
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list):
        return []
    return [part for part in content if isinstance(part, dict)]


def _content(part: dict[str, Any]) -> bytes | None:
    for key, member in (("image_url", "url"), ("input_audio", "data"), ("file", "file_data")):
        inside = part.get(key)
        text = inside.get(member) if isinstance(inside, dict) else None
        if isinstance(text, str):
            return _decoded(text, linked=key == "image_url")
    return None


def _decoded(text: str, *, linked: bool) -> bytes | None:
    """The bytes of a data URL, or of bare base64 where no link can stand."""
    url = _DATA_URL.match(text)
    if url is None and (linked or text.startswith("data:")):
        return None
    try:
        return b64decode(text[url.end() :] if url else text, validate=True)
    except ValueError:
        return None


def _picture(content: bytes) -> str | None:
    return next((kind for kind, mark in _PICTURES.items() if mark.match(content)), None)
