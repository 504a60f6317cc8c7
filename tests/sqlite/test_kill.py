"""kill -9 at any moment, again and again: what was acknowledged is there, and opening is enough."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import openai
import pytest
from support import keepwriting
from support.backends import SqliteBackend
from support.listing import pairs_of
from support.provider import Provider
from support.samples import asked, listed, request
from support.server import ServerProcess

from chatkeep.core.model.completion import Query
from chatkeep.core.model.ids import Name, decode
from chatkeep.core.ports.store import Store

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}
MANY = 10_000  # more calls than any server lives to answer

State = dict[str, str] | None  # the metadata of a completion, None when there is none


@dataclass
class Promises:
    """For each id what was acknowledged last, and what else may have come to pass."""

    known: dict[str, State] = field(default_factory=dict)
    on_its_way: dict[str, list[State]] = field(default_factory=lambda: defaultdict(list))

    def began(self, id: str, state: State) -> None:
        self.on_its_way[id].append(state)

    def done(self, id: str, state: State) -> None:
        self.known[id] = state
        self.on_its_way.pop(id, None)

    def ids(self) -> set[str]:
        return {*self.known, *self.on_its_way}

    def check(self, id: str, state: State) -> None:
        allowed = [self.known.get(id), *self.on_its_way.get(id, [])]
        assert state in allowed, f"{id} is {state}, not one of {allowed}"
        self.on_its_way.pop(id, None)
        if id in self.known or state is not None:
            self.known[id] = state  # from now on it is that


async def written_until_killed(path: Path, lines: int, promises: Promises) -> None:
    child = await create_subprocess_exec(
        sys.executable, keepwriting.__file__, path, stdout=PIPE, env=os.environ | ENVIRONMENT
    )
    assert child.stdout
    try:
        for _ in range(lines):
            take(await child.stdout.readline(), promises)
    finally:
        child.kill()
        rest = await child.stdout.read()
        await child.wait()
    for line in rest.splitlines(keepends=True):
        take(line, promises)


def take(line: bytes, promises: Promises) -> None:
    said = json.loads(line)
    (promises.done if said["done"] else promises.began)(said["id"], said["metadata"])


async def state_of(store: Store, id: str) -> State:
    project = (await store.keys())[0].project
    found = await store.get(project, named(id))
    if found is None:
        return None
    assert found.row.id == id
    body = await asked(store, project, named(id))
    texts = [message["content"] for message in json.loads(body)["messages"]]
    assert body == request(*texts)
    assert texts[-1] == id
    return pairs_of(found.row)


async def found_by_its_words(store: Store, id: str) -> bool:
    project = (await store.keys())[0].project
    return named(id).seq in await listed(store, project, Query(q=id))


def named(id: str) -> Name:
    name = decode(id)
    assert name
    return name


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_killed_writer_loses_nothing_it_was_told_is_kept(tmp_path: Path, seed: int) -> None:
    luck = Random(seed)
    backend = SqliteBackend(tmp_path)
    promises = Promises()
    for _ in range(4):
        await written_until_killed(backend.path, luck.randrange(1, 400), promises)
        assert backend.faults() == []
        store = await backend.open(serving=True)  # the lock went with the process
        for id in promises.ids():
            state = await state_of(store, id)
            promises.check(id, state)
            assert await found_by_its_words(store, id) is (state is not None)
        highest = await store.high_water()
        assert highest is not None
        assert highest >= max(named(id).seq for id in promises.known)
        await store.aclose()


@dataclass
class Clients:
    """Callers of a server, who note what it answered, until it is gone."""

    api: openai.AsyncOpenAI
    promises: Promises
    left: int  # answers to go until `enough`
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def call_until_gone(self, caller: int) -> None:
        try:
            for number in range(MANY):
                await self.call(f"{caller} {number}", streamed=number % 3 == 1)
        except (openai.APIConnectionError, httpx2.TransportError):
            return  # killed

    async def call(self, text: str, *, streamed: bool) -> None:
        created = {"step": "created", "text": text}
        id = await self.create(text, created, streamed=streamed)
        self.done(id, created)
        updated = {"step": "updated", "text": text}
        self.promises.began(id, updated)
        await self.api.chat.completions.update(id, metadata=updated)
        self.done(id, updated)
        if text.endswith("4"):
            self.promises.began(id, None)
            await self.api.chat.completions.delete(id)
            self.done(id, None)

    async def create(self, text: str, metadata: dict[str, str], *, streamed: bool) -> str:
        create = self.api.chat.completions.create
        asked: Any = {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": text}],
            "store": True,
            "metadata": metadata,
        }
        if not streamed:
            return str((await create(**asked)).id)
        ids = {chunk.id async for chunk in await create(**asked, stream=True)}
        assert len(ids) == 1
        return str(ids.pop())

    def done(self, id: str, state: State) -> None:
        self.promises.done(id, state)
        self.left -= 1
        if self.left <= 0:
            self.enough.set()


def client(server: ServerProcess) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0)


async def answered_until_killed(server: ServerProcess, answers: int, promises: Promises) -> None:
    async with client(server) as api:
        clients = Clients(api, promises, answers)
        callers = [asyncio.ensure_future(clients.call_until_gone(n)) for n in range(8)]
        await clients.enough.wait()
        server.kill9()
        await asyncio.gather(*callers)


async def check_over_http(server: ServerProcess, promises: Promises) -> None:
    async with client(server) as api:
        for id in sorted(promises.ids()):
            try:
                found = await api.chat.completions.retrieve(id)
            except openai.NotFoundError:
                promises.check(id, None)
                continue
            assert found.metadata
            promises.check(id, found.metadata)
            said = f"You said: {found.metadata['text']}"
            assert [choice.message.content for choice in found.choices] == [said]


async def test_a_killed_server_loses_nothing_it_has_answered(tmp_path: Path) -> None:
    luck = Random(3)
    promises = Promises()
    async with Provider() as upstream:
        for _ in range(2):
            async with ServerProcess(tmp_path, upstream.url, environment=ENVIRONMENT) as server:
                await check_over_http(server, promises)
                await answered_until_killed(server, luck.randrange(1, 150), promises)
            assert SqliteBackend(tmp_path).faults() == []
        async with ServerProcess(tmp_path, upstream.url, environment=ENVIRONMENT) as server:
            await check_over_http(server, promises)
            assert await asyncio.to_thread(server.terminate) == 0
    assert len(promises.known) > 20
