"""What users and models said in a chat: the text that full text search looks into.

That is messages of users and models: their text, refusals, transcripts of audio, and the names and
arguments of the tools a model called. Not searched: instructions (system, developer), which are the
same in every call; results of tools; reasoning; images, files and sound.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from chatkeep.core.json import tolerant
from chatkeep.core.json.tolerant import typed
from chatkeep.core.wire.answer import MAX_CHARACTERS

_UNSAID = ("system", "developer", "tool", "function")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


class Message(Struct):
    """What is looked at of a message; the rest of it is not decoded."""

    role: Any = None
    content: Any = None
    refusal: Any = None
    audio: Any = None
    function_call: Any = None
    tool_calls: Any = None


_MESSAGE = msgspec.json.Decoder(Message)


def message_texts(messages: Iterable[bytes]) -> list[str]:
    """The texts of request messages, in their order; of odd JSON what there is."""
    return texts_of([typed(_MESSAGE, text, _tolerant) for text in messages])


def texts_of(messages: Iterable[Message]) -> list[str]:
    found: list[str] = []
    for message in messages:
        _add_message(found, message)
    return found


def message_of(value: Any) -> Message:
    """A message whose JSON has been read, whatever it is."""
    given = value if isinstance(value, dict) else {}
    # Not by msgspec: a key may be a lone surrogate.
    return Message(**{name: given[name] for name in Message.__struct_fields__ if name in given})


def _tolerant(text: bytes) -> Message:
    return message_of(tolerant.value(text))


def _add_message(found: list[str], message: Message) -> None:
    if message.role in _UNSAID:
        return
    _add(found, message.content)
    # In most messages there is nothing but a text.
    if isinstance(message.content, list):
        for part in _objects(message.content):
            _add(found, part.get("text"))
            _add(found, part.get("refusal"))
    if message.refusal is not None:
        _add(found, message.refusal)
    if message.audio is not None:
        _add(found, _member(message.audio, "transcript"))
    if message.function_call is not None:
        _add_call(found, message.function_call)
    if message.tool_calls is not None:
        for call in _objects(message.tool_calls):
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
