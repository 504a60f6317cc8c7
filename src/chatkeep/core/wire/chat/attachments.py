"""The images, sounds and files in messages."""

from collections.abc import Iterable, Iterator
from typing import Any

from chatkeep.core.json import tolerant
from chatkeep.core.wire.attachments import Attachment, attachment


def attachments(messages: Iterable[bytes]) -> Iterator[Attachment]:
    """In the order they were sent in. What is no base64 is left out, as are links."""
    for message in messages:
        for part in _parts(message):
            found = _attachment(part)
            if found is not None:
                yield found


def _parts(message: bytes) -> list[dict[str, Any]]:
    value = tolerant.value(message)
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list):
        return []
    return [part for part in content if isinstance(part, dict)]


def _attachment(part: dict[str, Any]) -> Attachment | None:
    for key, member in (("image_url", "url"), ("input_audio", "data"), ("file", "file_data")):
        inside = part.get(key)
        text = inside.get(member) if isinstance(inside, dict) else None
        if isinstance(text, str):
            return attachment(text, linked=key == "image_url")
    return None
