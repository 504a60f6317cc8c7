"""Puts a chat completion together from the chunks of its stream.

The result is what the same call without `stream` would have given. Nothing a server sends raises an
error here; what makes no sense is left out.

    event data ─▶ Assembly.add ─▶ _Choice.take ─▶ delta.merge      completion() ─▶ JSON
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from chatkeep.core.json import exact
from chatkeep.core.stream.chat.delta import Flow, flow, is_index, merge, plain
from chatkeep.core.wire.chat.answer import FAILED

_BASE64 = re.compile(r"[^=]*=*")


class Assembly:
    """The completion as far as it has come. `n` is the number of choices asked for."""

    def __init__(self, n: int = 1) -> None:
        self.done = False
        self.unparsed = 0
        self.obfuscated = False  # the chunk that came last
        self._n = n
        self._top: dict[str, Any] = {}
        self._latest: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._items: Any = None

    def add(self, data: bytes) -> None:
        """Takes the data of one event: a chunk or `[DONE]`."""
        self._items = None
        chunk = exact.loads(data)
        if chunk is not None:
            self._items = chunk.pop("choices", None)
            self._take_choices(self._items)
            self._take_others(chunk)
        elif data.strip() == b"[DONE]":
            self.done = True
        else:
            self.unparsed += 1

    @property
    def flow(self) -> Flow | None:
        """The only text of the chunk that came last, when the rest of it may come again unheeded.

        What a chunk adds that differs from it in this text alone is that text.
        """
        items = self._items
        if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
            return None
        return self._flow_of(items[0])

    @property
    def upstream_id(self) -> str | None:
        id: str | None = self._top.get("id")
        return id

    @property
    def model(self) -> str | None:
        model: str | None = self._top.get("model")
        return model

    @property
    def usage(self) -> dict[str, Any] | None:
        """The last usage there was, with Python's numbers."""
        usage = self._usage()
        return None if usage is None else exact.with_python_numbers(usage)

    @property
    def error(self) -> bytes | None:
        """The JSON of the last error a chunk brought."""
        error = self._top.get("error")
        return None if error is None else exact.dumps(error)

    @property
    def failed(self) -> bool:
        """Whether a chunk was an error, or brought one, in whatever place servers put it."""
        is_object = self._top.get("object") == FAILED
        return is_object or self.error is not None or any(map(_failed, self._choices.values()))

    @property
    def finish_reason(self) -> str | None:
        return self._choices[min(self._choices)].finish_reason if self._choices else None

    @property
    def complete(self) -> bool:
        """Whether every choice asked for has come to its end."""
        choices = self._choices.values()
        return len(choices) >= self._n and all(choice.finish_reason for choice in choices)

    @property
    def has_content(self) -> bool:
        """Whether some choice has more than the empty delta that opens it."""
        return any(choice.begun() for choice in self._choices.values())

    def completion(self) -> bytes:
        """The JSON of the `chat.completion`, under the upstream's id ("" when it sent none)."""
        others = dict(self._top)
        for name in ("object", "usage"):
            others.pop(name, None)
        whole = {
            "id": others.pop("id", ""),
            "object": "chat.completion",
            "created": others.pop("created", None) or 0,
            "model": others.pop("model", None) or "",
            "choices": [self._choices[index].whole() for index in sorted(self._choices)],
        }
        usage = self._usage()
        if usage is not None:
            whole["usage"] = usage
        for name in ("service_tier", "system_fingerprint"):
            if name in others:
                whole[name] = others.pop(name)
        return exact.dumps(whole | others)

    def _take_choices(self, items: Any) -> None:
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                index = item.get("index")
                self._take_choice(0 if index is None else index, item)

    def _take_choice(self, index: Any, item: dict[str, Any]) -> None:
        if is_index(index):
            choice = self._choices.get(index)
            if choice is None:
                choice = self._choices[index] = _Choice(index)
            choice.take(item)

    def _flow_of(self, item: dict[str, Any]) -> Flow | None:
        index, delta = item.get("index"), item.get("delta")
        choice = self._choices.get(index or 0) if index is None or is_index(index) else None
        others = (value for key, value in item.items() if key != "delta")
        if choice is None or not isinstance(delta, dict) or "message" in item:
            return None
        return None if any(map(_grows, others)) else flow(choice.message, delta)

    def _take_others(self, others: dict[str, Any]) -> None:
        self.obfuscated = isinstance(others.pop("obfuscation", None), str)
        if others == self._latest:  # as in nearly every chunk
            return
        self._latest = others
        top = self._top
        for key, value in others.items():
            accepts = _TOP.get(key)
            if accepts is not None:
                if accepts(value, top.get(key)):
                    top[key] = value
            elif value is not None or key not in top:
                top[key] = value

    def _usage(self) -> dict[str, Any] | None:
        usages = (self._top, *(choice.others for choice in self._choices.values()))
        return next((usage for of in usages if isinstance(usage := of.get("usage"), dict)), None)


def _failed(choice: "_Choice") -> bool:
    return choice.finish_reason == FAILED or choice.others.get("error") is not None


# Top-level keys that are not simply "the last value that is not null". Azure's first chunk has an
# empty id and model, and created 0.
_TOP: Mapping[str, Callable[[Any, Any], bool]] = {
    "id": lambda new, old: not old and isinstance(new, str) and new != "",
    "model": lambda new, old: isinstance(new, str) and new != "",
    "created": lambda new, old: bool(new),
    "usage": lambda new, old: isinstance(new, dict),
}


class _Choice:
    __slots__ = ("finish_reason", "index", "message", "others")

    def __init__(self, index: int) -> None:
        self.index = index
        self.finish_reason: str | None = None
        self.message: dict[str, Any] = {}
        self.others: dict[str, Any] = {}

    def take(self, item: dict[str, Any]) -> None:
        for key, value in item.items():
            if key == "delta":
                if isinstance(value, dict):
                    merge(self.message, value)
            elif key not in _OWN:
                _grow(self.others, key, value)
        reason = item.get("finish_reason")
        if reason and isinstance(reason, str):
            self.finish_reason = reason
        if "message" in item:
            self._take_message(item["message"])

    def begun(self) -> bool:
        fields = self.message.items()
        return bool(self.finish_reason) or any(node for key, node in fields if key != "role")

    def whole(self) -> dict[str, Any]:
        others = dict(self.others)
        whole: dict[str, Any] = {"index": self.index, "message": self._whole_message()}
        if "logprobs" in others:
            whole["logprobs"] = others.pop("logprobs")
        return whole | {"finish_reason": self.finish_reason} | others

    def _take_message(self, message: Any) -> None:
        """A whole message, as some servers send in the last chunk: what it says replaces."""
        if isinstance(message, dict):
            known = self.message
            says = {key: value for key, value in message.items() if value or key not in known}
            fresh: dict[str, Any] = {}
            merge(fresh, says)
            known.update(fresh)

    def _whole_message(self) -> dict[str, Any]:
        fields = {key: plain(node) for key, node in self.message.items()}
        role = fields.pop("role", None) or "assistant"
        content = fields.pop("content", None)
        if content == "" and any(fields.get(key) for key in _INSTEAD_OF_CONTENT):
            content = None
        audio = fields.get("audio")
        if isinstance(audio, dict) and isinstance(audio.get("data"), str):
            audio["data"] = _one_base64(audio["data"])
        return {"role": role, "content": content, **fields}


_OWN = frozenset(("index", "message", "finish_reason"))
_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio")


def _grow(others: dict[str, Any], key: str, value: Any) -> None:
    """A member of a choice: lists in it or one level down grow, all else is overwritten."""
    old = others.get(key)
    if value is None:
        others.setdefault(key)
    elif isinstance(old, list) and isinstance(value, list):
        old += value
    elif isinstance(old, dict) and isinstance(value, dict):
        for name, member in value.items():
            if isinstance(old.get(name), list) and isinstance(member, list):
                old[name] += member
            elif member is not None or name not in old:
                old[name] = member
    elif not (isinstance(old, list | dict) and old):
        others[key] = value


def _grows(value: Any) -> bool:
    """Whether a member of a choice may grow when it comes again."""
    inside = value.values() if isinstance(value, dict) else (value,)
    return any(isinstance(member, list) for member in inside)


def _one_base64(data: str) -> str:
    """One base64 text of pieces that were padded each."""
    if "=" not in data.rstrip("="):
        return data
    try:
        pieces = [base64.b64decode(piece, validate=True) for piece in _BASE64.findall(data)]
    except ValueError:
        return data
    return base64.b64encode(b"".join(pieces)).decode()
