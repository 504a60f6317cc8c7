"""What users and models said in a completion: the text that full text search looks into.

That is messages of users and models: their text, refusals, transcripts of audio, and the names and
arguments of the tools a model called. Not searched: instructions (system, developer), which are the
same in every call; results of tools; reasoning; images, files and sound.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from chatkeep.core.json import spans
from chatkeep.errors import Refusal

MAX_CHARACTERS = 1 << 18  # of one completion, so that no text keeps the others waiting
_UNSAID = ("system", "developer", "tool", "function")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


class _Message(Struct):
    """What is looked at of a message; the rest of it is not decoded."""

    role: Any = None
    content: Any = None
    refusal: Any = None
    audio: Any = None
    function_call: Any = None
    tool_calls: Any = None


class _Choice(Struct):
    message: _Message


class _Answer(Struct):
    choices: list[_Choice]


_MESSAGE = msgspec.json.Decoder(_Message)
_ANSWER = msgspec.json.Decoder(_Answer)
_ODD = (Refusal, msgspec.DecodeError, RecursionError)


def searchable_texts(messages: Iterable[bytes], answer: bytes) -> list[str]:
    """The texts of request messages and of an answer, in their order; of odd JSON what there is."""
    found: list[str] = []
    for text in messages:
        _add_message(found, _message(text))
    for message in _answered(answer):
        _add_message(found, message)
    return _bounded(found)


def _message(text: bytes) -> _Message:
    try:
        spans.check_utf8(text)
        return _MESSAGE.decode(text)
    except _ODD:
        return _of_value(_value(text))


def _answered(answer: bytes) -> list[_Message]:
    try:
        spans.check_utf8(answer)
        return [choice.message for choice in _ANSWER.decode(answer).choices]
    except _ODD:
        choices = _objects(_member(_value(answer), "choices"))
        return [_of_value(choice.get("message")) for choice in choices]


def _of_value(value: Any) -> _Message:
    return msgspec.convert(value, _Message) if isinstance(value, dict) else _Message()


def _bounded(texts: list[str]) -> list[str]:
    if sum(map(len, texts)) <= MAX_CHARACTERS:
        return texts
    kept: list[str] = []
    left = MAX_CHARACTERS
    for text in texts:
        kept.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    return kept


def _add_message(found: list[str], message: _Message) -> None:
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


def _value(text: bytes) -> Any:
    try:
        return spans.loads(text)
    except Refusal:
        return None
