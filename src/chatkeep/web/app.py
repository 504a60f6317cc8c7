"""The composition root: puts a store, upstreams and settings together as an ASGI application."""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Receive, Scope, Send

from chatkeep.core.accounts.accounts import Accounts
from chatkeep.core.accounts.keys import Keyring, NoAuth
from chatkeep.core.model.ids import Sequencer
from chatkeep.core.ports import Store, Upstreams
from chatkeep.core.proxy.call import Caller
from chatkeep.core.proxy.create import Creator
from chatkeep.core.proxy.forward import Forward
from chatkeep.core.proxy.idempotency import Idempotency
from chatkeep.core.proxy.models import Models
from chatkeep.core.proxy.recorder import Clock, Recorder
from chatkeep.core.records import retention
from chatkeep.core.records.completions import Library
from chatkeep.core.usage.meter import Meter
from chatkeep.core.usage.prices import Prices
from chatkeep.errors import Refusal
from chatkeep.settings import Settings
from chatkeep.web.api.accounts import AccountRoutes
from chatkeep.web.api.keep import Keep
from chatkeep.web.api.openai import Api
from chatkeep.web.api.operations import Operations
from chatkeep.web.guard import Endpoint, Guard
from chatkeep.web.metrics import Metrics
from chatkeep.web.paths import routed
from chatkeep.web.routes import OPERATIONS, Operation
from chatkeep.web.wire import EXPOSED_HEADERS

KEYS_CHECKED_EVERY_S = 0.5
UNREAD_FORGOTTEN_EVERY_S = 30.0
USES_NOTED_EVERY_S = 60.0
USAGE_WRITTEN_EVERY_S = 1.0
EXPIRED_EVERY_S = 60.0
UPKEEP_EVERY_S = 3600.0
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
SYSTEM_CLOCK = Clock(unix=time.time, monotonic=time.monotonic)

_log = logging.getLogger("chatkeep")


@contextlib.asynccontextmanager
async def running(
    settings: Settings,
    store: Store,
    upstreams: Upstreams,
    *,
    instance: str,
    open_to: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> AsyncIterator[ASGIApp]:
    """The application, with what it does beside requests; on leaving, nothing is left unwritten.

    `instance` names this server to itself; `open_to` is the name of the project everybody may use
    (--no-auth).
    """
    sequencer = Sequencer(store.node, await store.high_water(), secrets.randbelow)
    metrics = Metrics()
    prices = Prices(settings.price)
    meter = Meter(clock.unix, clock.monotonic, prices)
    recorder = Recorder(store, sequencer, clock, metrics, meter, prices)
    idempotency = Idempotency(store, clock.unix, secrets.token_bytes)
    caller = Caller(meter, settings.on_disconnect)
    creator = Creator(caller, upstreams, recorder, idempotency, settings.max_answer_bytes)
    unix = clock.unix
    auth = Keyring(store, unix) if open_to is None else NoAuth(store, open_to)
    library, models = Library(store), Models(upstreams)
    forward = Forward(caller, upstreams)
    endpoints = (
        Api(creator, forward, library, models, settings.max_body_bytes),
        Keep(store, library, models, settings.max_body_bytes),
        AccountRoutes(
            Accounts(store, unix, secrets.token_bytes, auth.forget), settings.max_body_bytes
        ),
        Operations(store, metrics, settings.root_path),
    )
    limit = settings.max_requests
    guard = Guard(auth, clock, os.urandom, metrics.requests, instance, limit)
    beside = [
        asyncio.create_task(_forget_on_change(store, auth)),
        asyncio.create_task(_note_uses(auth)),
        asyncio.create_task(_write_usage(store, meter)),
        asyncio.create_task(_expire(store, clock, metrics)),
        asyncio.create_task(_keep_up(store, clock)),
        asyncio.create_task(_forget_unread(store)),
    ]
    try:
        app: ASGIApp = _router(guard, endpoints)
        if open_to is not None:
            app = guard.without_keys(LOOPBACK_NAMES, settings.cors_origins, app)
        yield _at_edge(app, settings)
    finally:
        for task in beside:
            task.cancel()
        await recorder.drain()
        await meter.flush(store)
        await _noted(auth)


def _at_edge(app: ASGIApp, settings: Settings) -> ASGIApp:
    """What stands before the routes: web pages of other origins, and a proxy's path."""
    if settings.cors_origins:
        from starlette.middleware.cors import CORSMiddleware

        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=sorted({operation.method for operation in OPERATIONS}),
            allow_headers=("*",),
            expose_headers=EXPOSED_HEADERS,
        )
    return _under(settings.root_path, app) if settings.root_path else app


def _under(root_path: str, app: ASGIApp) -> ASGIApp:
    """Takes the path away that a proxy may have left standing before ours."""

    async def stripped(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path.startswith(root_path + "/"):
            scope = {**scope, "path": path.removeprefix(root_path)}
        await app(scope, receive, send)

    return stripped


def _router(guard: Guard, endpoints: tuple[object, ...]) -> ASGIApp:
    paths: dict[str, dict[str, tuple[Operation, Endpoint]]] = {}
    for operation in OPERATIONS:
        found = _endpoint(endpoints, operation.endpoint)
        paths.setdefault(operation.path, {})[operation.method] = (operation, found)
    guarded = {path: guard.path(path, methods) for path, methods in paths.items()}
    return routed(guarded, guard.unknown)


def _endpoint(owners: tuple[object, ...], name: str) -> Endpoint:
    owner = next(owner for owner in owners if hasattr(owner, name))
    found: Endpoint = getattr(owner, name)
    return found


async def _write_usage(store: Store, meter: Meter) -> None:
    while True:
        await asyncio.sleep(USAGE_WRITTEN_EVERY_S)
        await meter.flush(store)


async def _expire(store: Store, clock: Clock, metrics: Metrics) -> None:
    """Now and then, deletes what projects keep no longer."""
    while True:
        try:
            swept = retention.sweep(store, clock.unix(), clock.monotonic)
            async for project, what, outcome in swept:
                metrics.expired(project.name, what, outcome.done, outcome.stopped_by)
        except Refusal as error:
            _log.warning("projects could not be read", extra={"error": error.message})
        await asyncio.sleep(EXPIRED_EVERY_S)


async def _keep_up(store: Store, clock: Clock) -> None:
    while True:
        try:
            await store.upkeep(int(clock.unix()))
        except Refusal as error:
            _log.warning("the store's upkeep failed", extra={"error": error.message})
        await asyncio.sleep(UPKEEP_EVERY_S)


async def _forget_unread(store: Store) -> None:
    while True:
        await asyncio.sleep(UNREAD_FORGOTTEN_EVERY_S)
        store.forget()


async def _forget_on_change(store: Store, auth: Keyring | NoAuth) -> None:
    """Lets go of remembered keys when another process has changed some."""
    seen: int | None = None
    while True:
        try:
            version = await store.keys_version()
        except Refusal as error:
            _log.warning("keys could not be checked", extra={"error": error.message})
        else:
            if version != seen:
                auth.forget()
            seen = version
        await asyncio.sleep(KEYS_CHECKED_EVERY_S)


async def _note_uses(auth: Keyring | NoAuth) -> None:
    """Now and then, writes when keys were last used."""
    while True:
        await asyncio.sleep(USES_NOTED_EVERY_S)
        await _noted(auth)


async def _noted(auth: Keyring | NoAuth) -> None:
    try:
        await auth.note_uses()
    except Refusal as error:
        _log.warning("the last use of keys could not be written", extra={"error": error.message})
