"""The composition root: puts a store, upstreams and settings together as an ASGI application."""

import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Receive, Scope, Send

from chatkeep.core.accounts.administration import Administration
from chatkeep.core.accounts.keys import Keyring, NoAuth
from chatkeep.core.model.ids import Sequencer
from chatkeep.core.ports.store import Store
from chatkeep.core.ports.upstream import Upstreams
from chatkeep.core.proxy.call import Caller
from chatkeep.core.proxy.create import Creator
from chatkeep.core.proxy.forward import Forward
from chatkeep.core.proxy.idempotency import Idempotency
from chatkeep.core.proxy.models import Models
from chatkeep.core.proxy.recorder import Clock, Recorder
from chatkeep.core.records.completions import Completions
from chatkeep.core.usage.meter import Meter
from chatkeep.core.usage.prices import Prices
from chatkeep.settings import Settings
from chatkeep.web import background
from chatkeep.web.api.accounts import AccountRoutes
from chatkeep.web.api.keep import Keep
from chatkeep.web.api.openai import Api
from chatkeep.web.api.operations import Operations
from chatkeep.web.guard import Endpoint, Guard
from chatkeep.web.metrics import Metrics
from chatkeep.web.paths import routed
from chatkeep.web.routes import OPERATIONS, Operation
from chatkeep.web.wire import EXPOSED_HEADERS

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
SYSTEM_CLOCK = Clock(unix=time.time, monotonic=time.monotonic)


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
    idempotency = Idempotency(store, store, clock.unix, secrets.token_bytes)
    caller = Caller(meter, settings.on_disconnect)
    creator = Creator(caller, upstreams, recorder, idempotency, settings.max_answer_bytes)
    unix = clock.unix
    auth = Keyring(store, unix) if open_to is None else NoAuth(store, open_to)
    completions, models = Completions(store), Models(upstreams)
    forward = Forward(caller, upstreams)
    endpoints = (
        Api(creator, forward, completions, models, settings.max_body_bytes),
        Keep(store, store, completions, models, settings.max_body_bytes),
        AccountRoutes(
            Administration(store, unix, secrets.token_bytes, auth.forget), settings.max_body_bytes
        ),
        Operations(store, metrics, settings.root_path),
    )
    limit = settings.max_requests
    guard = Guard(auth, clock, os.urandom, metrics.requests, instance, limit)
    jobs = background.jobs(store, auth, meter, clock, metrics)
    beside = background.start(jobs)
    try:
        app: ASGIApp = _router(guard, endpoints)
        if open_to is not None:
            app = guard.without_keys(LOOPBACK_NAMES, settings.cors_origins, app)
        yield _at_edge(app, settings)
    finally:
        for task in beside:
            task.cancel()
        await recorder.drain()
        await background.finish(jobs)


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
