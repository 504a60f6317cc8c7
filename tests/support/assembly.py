"""Chunks of a stream, and the completion assembled from them."""

import json
from typing import Any

from chatkeep.core.stream.chat.assembly import Assembly
from chatkeep.core.stream.sse import EventSplitter, event_data

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m"}


def fed(*data: bytes, n: int = 1) -> Assembly:
    assembly = Assembly(n)
    for item in data:
        assembly.add(item)
    return assembly


def read(reads: list[bytes], n: int = 1) -> Assembly:
    splitter = EventSplitter()
    events = [event for part in reads for event in splitter.feed(part)]
    assert b"".join(events) + splitter.rest() == b"".join(reads)
    return fed(*(data for event in events if (data := event_data(event)) is not None), n=n)


def chunk(*choices: Any, **top: Any) -> bytes:
    return json.dumps({**HEAD, "choices": choices, **top}).encode()


def choice(delta: Any, index: Any = 0, **keys: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, **keys}


def assembled(*data: bytes, n: int = 1) -> Any:
    return json.loads(fed(*data, n=n).completion())
