"""Conversations to keep, and what a store says of them held against what was sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from support.samples import asked, name, place, row

from chatkeep.core.json.spans import dumps
from chatkeep.core.model.completion import Project, Row
from chatkeep.core.model.ids import Seq
from chatkeep.core.model.record import Record, cut
from chatkeep.core.ports.store import Store
from chatkeep.core.wire.chat.request import read_request
from chatkeep.core.wire.request import StoreHeaders
from chatkeep.store.encoding.chain import prefix_hashes

SYSTEM = b'{"role":"system","content":"%b"}' % (b"You look things up before you answer. " * 8)
_LETTERS = Random(8)
_WORDS = ["".join(_LETTERS.choices("etaoinshrdlucmfw", k=1 + n % 9)) for n in range(2000)]


def words(luck: Random, count: int) -> str:
    """Text that compresses about as people's does: common words often, rare ones now and then."""
    return " ".join(_WORDS[min(int(luck.paretovariate(0.4)), 1999)] for _ in range(count))


def message(role: str, content: Any, **fields: Any) -> bytes:
    return dumps({"role": role, "content": content, **fields})


def call(messages: Sequence[bytes], separator: bytes = b",", **fields: Any) -> bytes:
    """The body of a request; what `fields` says stands before the messages."""
    before = b"".join(b"%b:%b," % (dumps(key), dumps(value)) for key, value in fields.items())
    inner = separator.join(messages)
    return b'{"model":"gpt-4o-mini",%b"messages":[%b],"store":true}' % (before, inner)


def answered(id: str, *messages: bytes) -> bytes:
    choices = [
        b'{"index":%d,"message":%b,"finish_reason":"stop"}' % (index, message)
        for index, message in enumerate(messages)
    ]
    return b'{"id":"%b","object":"chat.completion","choices":[%b]}' % (
        id.encode(),
        b",".join(choices),
    )


@dataclass(frozen=True)
class Said:
    """What was kept: its row, and the bytes both ways."""

    row: Row
    request: bytes
    answer: bytes
    upstream_id: str | None


@dataclass
class Talks:
    """The completions of one project; `said` are those that are to be there with their bodies."""

    store: Store
    project: Project
    said: dict[Seq, Said] = field(default_factory=dict)
    raw: int = 0  # bytes both ways
    _next: int = 1

    async def keep(
        self,
        request: bytes,
        *answer: bytes,
        opaque: bytes | None = None,
        at: Seq | None = None,
        metadata: Mapping[str, str] | None = None,
        upstream_id: str | None = "chatcmpl-Upstream",
        **fields: Any,
    ) -> Said:
        """The answer is messages, a choice each, or any bytes (`opaque`)."""
        new = row(self.next_place() if at is None else at, metadata or {}, **fields)
        body = answered(new.id, *answer) if opaque is None else opaque
        said = Said(new, request, body, upstream_id)
        await self.store.insert(self.project, new, record_of(said))
        self.said[new.seq] = said
        self.raw += len(request) + len(body)
        return said

    def next_place(self) -> Seq:
        self._next += 1
        return place(self._next)

    async def delete(self, said: Said) -> None:
        assert await self.store.delete(self.project, name(said.row))
        del self.said[said.row.seq]

    async def expire(self, said: Said) -> None:
        """Expires its body, and those before it."""
        while (await self.store.expire_bodies(self.project, Seq(said.row.seq + 1), 1)).more:
            pass
        for seq in [seq for seq in self.said if seq <= said.row.seq]:
            del self.said[seq]

    async def check(self, *only: Said) -> None:
        """Fails unless everything comes back as it went in."""
        for said in only or self.said.values():
            found = await self.store.get(self.project, name(said.row))
            assert found is not None
            assert found.row == said.row
            assert found.answer == said.answer
            assert found.upstream_id == said.upstream_id
            assert await asked(self.store, self.project, name(said.row)) == said.request


def record_of(said: Said) -> Record:
    """As a call keeps it."""
    found = read_request(said.request, StoreHeaders())
    request = cut(said.request, found.messages, found.aside)
    return Record(request, said.answer, said.row.id, said.upstream_id)


def head_of(project: Project, said: Said) -> int:
    """The number by which what goes on from it finds it."""
    return prefix_hashes(project.secret, "chat.completion", record_of(said).request.messages)[0][1]


def tools(luck: Random, count: int = 5) -> list[Any]:
    described = [words(luck, 30) for _ in range(count)]
    return [
        {"type": "function", "function": {"name": f"tool_{n}", "description": text}}
        for n, text in enumerate(described)
    ]


def as_spaced(message: bytes) -> bytes:
    """The message as another JSON writer writes it."""
    return json.dumps(json.loads(message), indent=1).encode()
