"""Another project's things are answered like nobody's: in status, head, body and queries run.

The ways to name a thing are read from the route table, so that a new route cannot forget it.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.calls import named
from support.chatkeep_server import chatkeep_before
from support.foreign import (
    BODIES,
    OUR_MODEL,
    OURS,
    PLAIN,
    THEIR_MODEL,
    THEIR_UPSTREAM,
    THEIRS,
    Way,
    World,
    ways,
)
from support.provider import Plain, Provider
from support.rawhttp import PATH, asked, connected, get, post
from support.refusals import create

from chatkeep.core.wire.query import Filter
from chatkeep.store import sql
from chatkeep.web.routes import OPERATIONS, Operation

WAYS = [way for operation in OPERATIONS for way in ways(operation)]
TRIED = [way for way in WAYS if way.key not in PLAIN]
DIFFERING = {"date", "x-request-id", "openai-processing-ms"}
ACCOUNTS = sql.blocks("chatkeep.store.sqlite", "accounts.sql")


class Trace:
    """The statements that every SQLite connection runs, with the types of what is bound."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, Any]] = []

    def watch(self, connection: apsw.Connection) -> None:
        connection.exec_trace = self._note

    def taken(self) -> list[tuple[str, Any]]:
        """Those since the last time, but the look-ups of the request's key."""
        seen, self._seen = iter(self._seen), []
        found = []
        for statement, bound in seen:
            if statement == ACCOUNTS["select_key"]:
                next(seen)  # its project
            elif statement != ACCOUNTS["keys_version"]:
                found.append((statement, bound))
        return found

    def _note(self, _: object, statement: str, bindings: Any) -> bool:
        bound = None if bindings is None else tuple(type(value) for value in bindings)
        self._seen.append((statement, bound))
        return True


@pytest.fixture
def trace() -> Iterator[Trace]:
    trace = Trace()
    apsw.connection_hooks.append(trace.watch)
    yield trace
    apsw.connection_hooks.remove(trace.watch)


@pytest.fixture
async def world(trace: Trace, provider: Provider, tmp_path: Path) -> AsyncIterator[World]:
    models = b'{"data":[{"id":"%b"},{"id":"%b"}]}' % (OUR_MODEL.encode(), THEIR_MODEL.encode())
    provider.always(lambda asked: Plain(models) if asked.method == "GET" else provider.echo(asked))
    upstreams = [named(THEIR_UPSTREAM, provider.url, models=("a-*",)), named("b", provider.url)]
    async with chatkeep_before(tmp_path, upstreams) as chatkeep:
        world = World(chatkeep)
        await world.prepare()
        # Who searches first brings in what waits for it, of all projects and whatever is asked.
        assert (await asked(chatkeep.url, get(f"{PATH}?q=nothing", OURS))).head.status == 200
        yield world


def brief(way: Way) -> str:
    return f"{way.operation.method} {way.operation.path} {way.place} {way.name}"


def without_example(operation: Operation, known: set[str]) -> list[str]:
    return [way.name for way in ways(operation) if way.key not in known | PLAIN]


async def test_every_way_of_naming_a_thing_has_an_example(world: World) -> None:
    known = set(world.pairs)
    assert [name for one in OPERATIONS for name in without_example(one, known)] == []
    assert known == {way.key for way in TRIED}
    assert {way.key for way in WAYS} >= PLAIN
    for pair in (pair for pairs in world.pairs.values() for pair in pairs):
        assert len(pair.theirs) == len(pair.nobodys)


async def test_a_route_with_a_new_name_needs_an_example(world: World) -> None:
    new: Any = Filter("grader", lambda _, value: value, {}, "")  # type: ignore[arg-type]  # no such filter yet
    operation = Operation("GET", "/keep/v1/evals/{eval_id}", "x", "read", "", None, query=(new,))
    assert without_example(operation, set(world.pairs)) == ["eval_id", "grader"]


def test_what_needs_no_key_names_nothing() -> None:
    assert [way for way in WAYS if way.operation.scope is None] == []


def test_every_kind_of_body_has_an_example() -> None:
    wanted = {operation.request for operation in OPERATIONS if operation.request}
    assert wanted == set(BODIES)


async def shown(world: World, trace: Trace, request: bytes, name: str) -> Any:
    """All of an answer and its queries but the name and what differs between any two answers."""
    trace.taken()
    async with connected(world.chatkeep.url) as wire:
        wire.send(request)
        if request.startswith(b"HEAD"):
            head, body = await wire.head(), b""
        else:
            reply = await wire.reply()
            head, body = reply.head, reply.body
    headers = [(key, value) for key, value in head.headers if key not in DIFFERING]
    return head.status, headers, body.replace(name.encode(), b"NAME"), trace.taken()


@pytest.mark.parametrize("way", TRIED, ids=brief)
async def test_what_another_project_has_is_answered_like_what_nobody_has(
    world: World, trace: Trace, provider: Provider, way: Way
) -> None:
    before = await world.state()
    arrived = len(provider.requests)
    for pair in world.pairs[way.key]:
        answers = [
            await shown(world, trace, world.request(way, value), value)
            for value in (pair.theirs, pair.nobodys)
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] in (200, 400, 404)
    assert await world.state() == before
    upstream = {request.method for request in provider.requests[arrived:]}
    assert upstream <= {"GET"}  # for lists of models


@pytest.mark.parametrize("way", [way for way in TRIED if way.place in ("path", "body")], ids=brief)
async def test_what_is_our_own_is_there(world: World, trace: Trace, way: Way) -> None:
    """Else the same answer for theirs and nobody's would mean nothing."""
    value = world.own[way.name]
    status, *_ = await shown(world, trace, world.request(way, value), value)
    assert status in (200, 404) if way.operation.endpoint == "forward" else status == 200


conditions = st.sampled_from([b"", b'if-match: "x"', b"if-match: *", b"content-type: x"])


@given(
    way=st.sampled_from(TRIED),
    which=st.integers(0, 9),
    method=st.sampled_from(["", "HEAD", "PUT", "OPTIONS"]),
    more=st.sampled_from(["", "limit=0", "limit=x", "order=asc", "x=1", "after=chatcmpl-x"]),
    condition=conditions,
)
@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_the_same_holds_however_it_is_asked_for(
    world: World, trace: Trace, way: Way, which: int, method: str, more: str, condition: bytes
) -> None:
    if method == "HEAD" and way.operation.method != "GET":
        method = ""
    pairs = world.pairs[way.key]
    before = await world.state()
    answers = []
    for value in pairs[which % len(pairs)]:
        first, rest = world.request(way, value, method or None).split(b"\r\n", 1)
        asked_for, version = first.rsplit(b" ", 1)
        asked_for += (b"&" if b"?" in asked_for else b"?") + more.encode()
        lines = [asked_for + b" " + version, *([condition] if condition else []), rest]
        answers.append(await shown(world, trace, b"\r\n".join(lines), value))
    assert answers[0] == answers[1]
    assert answers[0][0] < 500
    assert await world.state() == before


async def test_another_projects_idempotency_key_is_a_new_one(world: World, trace: Trace) -> None:
    async def created(key: str, idempotency: str) -> Any:
        # Each asks something else: a repeated request is kept with other statements.
        messages = [{"role": "user", "content": idempotency}]
        body = create(model=OUR_MODEL, store=True, messages=messages)
        request = post(PATH, body, key, {"idempotency-key": idempotency})
        trace.taken()
        reply = await asked(world.chatkeep.url, request)
        names = [name for name, _ in reply.head.headers]
        return reply.head.status, names, [statement for statement, _ in trace.taken()]

    await created(THEIRS, "used by them")
    await created(OURS, "used by us")
    assert await created(OURS, "used by them") == await created(OURS, "used by none")
