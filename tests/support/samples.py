"""Rows, records and names to put into stores."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from chatkeep.core.model.completion import Project, Query, Row, Usage
from chatkeep.core.model.ids import TAG_BYTES, Name, Seq, compose, named
from chatkeep.core.model.record import Record, cut
from chatkeep.core.model.usage import Sums
from chatkeep.core.ports.records import Failure, Import, Records

SECOND = 1_760_000_000  # 2025-10-09, an arrival second like any other


def place(counter: int, second: int = SECOND, node: int = 0) -> Seq:
    return compose(second, node, counter)


def as_json(pairs: Mapping[str, str]) -> bytes:
    return msgspec.json.encode(dict(pairs))


def row(
    seq: int = 0, metadata: Mapping[str, str] | None = None, tag: bytes | None = None, **fields: Any
) -> Row:
    """A row whose tag follows from its seq, unless given."""
    plain: dict[str, Any] = {
        "seq": seq,
        "tag": seq.to_bytes(TAG_BYTES) if tag is None else tag,
        "request_id": seq.to_bytes(16),
        "model": "gpt-4o-mini",
        "status": "complete",
        "finish_reason": "stop",
        "usage": Usage(10, 5, 15),
        "duration_ms": 250,
        "first_token_ms": None,
        "upstream": "default",
        "key": None,
        "metadata": as_json(metadata or {}),
    }
    return Row(**plain | fields)


def name(row: Row) -> Name:
    return Name(row.seq, row.tag, row.id)


def sums_of(usage: Usage, cost_micro: int | None = None, duration_ms: int = 0) -> Sums:
    """The figures of one call."""
    sums = Sums()
    sums.add_call(usage, cost_micro, duration_ms)
    return sums


def other_tag(name: Name) -> Name:
    """The same place under a tag that was never given out."""
    return named(name.seq, bytes(byte ^ 255 for byte in name.tag))


def said(*texts: str) -> Record:
    """Questions and the last one's answer, as a call keeps them."""
    texts = texts or ("hello",)
    asked = cut(request(*texts), [message(text) for text in texts])
    return Record(asked, answer(texts[-1]), "chatcmpl-Ours", "chatcmpl-Upstream")


def spoken(*messages: Any, answer: str = "ok") -> Record:
    """A record with these messages of a user, or with whole messages."""
    given = [
        {"role": "user", "content": message} if isinstance(message, str) else message
        for message in messages
    ]
    choices = [{"index": 0, "message": {"role": "assistant", "content": answer}}]
    encoded = [msgspec.json.encode(one) for one in given]
    asked = cut(b'{"messages":[%b]}' % b",".join(encoded), encoded)
    return Record(asked, msgspec.json.encode({"choices": choices}), "", None)


def request(*texts: str) -> bytes:
    messages = b",".join(map(message, texts))
    return b'{"model":"gpt-4o-mini","messages":[%b],"store":true}' % messages


def message(text: str) -> bytes:
    return json.dumps({"role": "user", "content": text}).encode()


def answer(text: str) -> bytes:
    message = {"role": "assistant", "content": f"You said: {text}", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


async def asked(records: Records, project: Project, name: Name) -> bytes:
    """The request of a completion, put together again."""
    found = await records.request(project, name)
    assert found is not None
    return found.whole()


def replacing(pairs: Mapping[str, str]) -> Callable[[bytes], bytes]:
    """A change of metadata as the API makes it: the whole map is set."""
    new = as_json(pairs)
    return lambda _: new


async def keep(records: Records, project: Project, *rows: Row) -> None:
    """Inserts the rows, one after the other."""
    for one in rows:
        await records.insert(project, one, said())


async def import_one(
    records: Records, project: Project, id: str, created_unix: int, row: Row, record: Record
) -> Row | None:
    """The row of an import, None when it was there already."""
    one = Import(id, created_unix, row, record)
    (kept,) = await records.import_many(project, [one])
    if isinstance(kept, Failure):
        raise kept
    return kept


async def listed(records: Records, project: Project, query: Query | None = None) -> list[Seq]:
    """The places of a page, up to 100 of them."""
    page = await records.page(project, query or Query(limit=100))
    return [item.row.seq for item in page.items]
