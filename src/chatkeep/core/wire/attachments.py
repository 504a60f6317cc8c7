"""Images, sounds and files that clients sent within their requests, as the bytes they are."""

import re
from base64 import b64decode

from msgspec import Struct

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


def attachment(text: str, *, linked: bool) -> Attachment | None:
    """What a data URL holds, or bare base64 where no link can stand; None for anything else."""
    content = _decoded(text, linked=linked)
    return None if content is None else Attachment(content, _picture(content))


def _decoded(text: str, *, linked: bool) -> bytes | None:
    url = _DATA_URL.match(text)
    if url is None and (linked or text.startswith("data:")):
        return None
    try:
        return b64decode(text[url.end() :] if url else text, validate=True)
    except ValueError:
        return None


def _picture(content: bytes) -> str | None:
    return next((kind for kind, mark in _PICTURES.items() if mark.match(content)), None)
