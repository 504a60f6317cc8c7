"""What users and models said in a completion: the text that full text search looks into.

That is messages of users and models: their text, refusals, transcripts of audio, and the names and
arguments of the tools a model called. Not searched: instructions (system, developer), which are the
same in every call; results of tools; reasoning; images, files and sound.
"""

import re
from collections.abc import Iterable
from typing import Any

from chatkeep.core import jsonspan
from chatkeep.errors import Refusal

MAX_CHARACTERS = 1 << 18  # of one completion, so that no text keeps the others waiting
_UNSAID = ("system", "developer", "tool", "function")
_BASE64 = r"[A-Za-z0-9+/_=\-]"
_BLOB = re.compile(f"(?<!{_BASE64}){_BASE64}{{256,}}")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


def said(messages: Iterable[bytes], answer: bytes) -> list[str]:
    """The texts of request messages and of an answer, in their order; of odd JSON what there is."""
    found: list[str] = []
    for message in messages:
        _add_message(found, _value(message))
    for choice in _objects(_member(_value(answer), "choices")):
        _add_message(found, choice.get("message"))
    return _bounded(found)


def _bounded(texts: list[str]) -> list[str]:
    kept: list[str] = []
    left = MAX_CHARACTERS
    for text in texts:
        kept.append(_without_blobs(text[:left]))
        left -= len(text)
        if left <= 0:
            break
    return kept


def _without_blobs(text: str) -> str:
    # A blob fills at least one of these windows; looking for it everywhere costs as much as the
    # rest of the search entry.
    if any(" " not in text[at : at + 128] for at in range(0, len(text) - 127, 128)):
        return _BLOB.sub(" ", text)
    return text


def _add_message(found: list[str], message: Any) -> None:
    if not isinstance(message, dict) or message.get("role") in _UNSAID:
        return
    content = message.get("content")
    _add(found, content)
    for part in _objects(content):
        _add(found, part.get("text"))
        _add(found, part.get("refusal"))
    _add(found, message.get("refusal"))
    _add(found, _member(message.get("audio"), "transcript"))
    _add_call(found, message.get("function_call"))
    for call in _objects(message.get("tool_calls")):
        _add_call(found, call.get("function"))
        _add_call(found, call.get("custom"))


def _add_call(found: list[str], called: Any) -> None:
    for key in ("name", "arguments", "input"):
        text = _member(called, key)
        if isinstance(text, str):
            # JSON, of a cut stream not all of it: escapes are undone without parsing it.
            text = text[:MAX_CHARACTERS]
            _add(found, _ESCAPE.sub(_unescaped, text) if "\\" in text else text)


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else " "


def _add(found: list[str], text: Any) -> None:
    if text and isinstance(text, str):
        found.append(text)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _member(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _value(text: bytes) -> Any:
    try:
        return jsonspan.loads(text)
    except Refusal:
        return None
