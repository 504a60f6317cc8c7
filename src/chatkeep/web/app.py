"""The composition root: puts a store, upstreams and settings together as an ASGI application."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from chatkeep.core.capture import Capture, Clock
from chatkeep.core.catalogue import Catalogue
from chatkeep.core.ids import Sequencer
from chatkeep.core.keys import Keyring, OpenDoor
from chatkeep.core.library import Library
from chatkeep.core.model import Project
from chatkeep.core.ports import Store, Upstreams
from chatkeep.errors import Refusal
from chatkeep.settings import Settings
from chatkeep.web.api import Api
from chatkeep.web.guard import Endpoint, Guard
from chatkeep.web.metrics import Metrics
from chatkeep.web.operations import Operations
from chatkeep.web.routes import OPERATIONS, Operation

KEYS_CHECKED_EVERY_S = 0.5
SYSTEM_CLOCK = Clock(unix=time.time, monotonic=time.monotonic)

_log = logging.getLogger("chatkeep")


@contextlib.asynccontextmanager
async def running(
    settings: Settings,
    store: Store,
    upstreams: Upstreams,
    *,
    instance: str,
    open_to: Project | None = None,
) -> AsyncIterator[ASGIApp]:
    """The application, with what it does beside requests; on leaving, nothing is left unwritten.

    `instance` names this server to itself; `open_to` is the project everybody may use (--no-auth).
    """
    sequencer = Sequencer(store.node, await store.high_water(), secrets.randbelow)
    metrics = Metrics()
    capture = Capture(
        store,
        upstreams,
        sequencer,
        SYSTEM_CLOCK,
        secrets.token_bytes,
        metrics,
        on_disconnect=settings.on_disconnect,
        max_answer=settings.max_answer_bytes,
    )
    door = Keyring(store) if open_to is None else OpenDoor(open_to)
    api = Api(capture, Library(store), Catalogue(upstreams), settings.max_body_bytes)
    guard = Guard(door, SYSTEM_CLOCK, secrets.token_bytes, metrics, instance)
    watching = asyncio.create_task(_forget_on_change(store, door))
    try:
        yield _router(guard, (api, Operations(store, metrics)))
    finally:
        watching.cancel()
        await capture.drain()


def _router(guard: Guard, endpoints: tuple[object, ...]) -> Router:
    paths: dict[str, dict[str, tuple[Operation, Endpoint]]] = {}
    for operation in OPERATIONS:
        found = _endpoint(endpoints, operation.endpoint)
        paths.setdefault(operation.path, {})[operation.method] = (operation, found)
    routes = [Route(path, guard.path(path, methods)) for path, methods in paths.items()]
    return Router(routes, redirect_slashes=False, default=guard.unknown)


def _endpoint(owners: tuple[object, ...], name: str) -> Endpoint:
    owner = next(owner for owner in owners if hasattr(owner, name))
    found: Endpoint = getattr(owner, name)
    return found


async def _forget_on_change(store: Store, door: Keyring | OpenDoor) -> None:
    """Lets go of remembered keys when another process has changed some."""
    seen: int | None = None
    while True:
        try:
            version = await store.keys_version()
        except Refusal as error:
            _log.warning("keys could not be checked", extra={"error": error.message})
        else:
            if version != seen:
                door.forget()
            seen = version
        await asyncio.sleep(KEYS_CHECKED_EVERY_S)
