"""The way of every request: name it, ask for its key, run its endpoint, answer whatever happens."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from chatkeep.core.accounts.keys import allow
from chatkeep.core.accounts.limits import Limits
from chatkeep.core.model.completion import Key
from chatkeep.core.model.ids import REQUEST_ID_BYTES, request_id
from chatkeep.core.proxy.call import Reply, Response
from chatkeep.core.proxy.recorder import Clock
from chatkeep.core.wire.headers import HOP
from chatkeep.errors import (
    ClientLeft,
    CrossOrigin,
    LoopDetected,
    MethodNotSupported,
    Refusal,
    ServerBusy,
    ServerError,
    UnknownUrl,
    WrongHost,
)
from chatkeep.web.metrics import Requests
from chatkeep.web.request import Request, foreign_page, host_of
from chatkeep.web.routes import Operation
from chatkeep.web.wire import limited, refused, request_id_header, send_answer

Endpoint = Callable[[Request], Awaitable[Reply]]

_log = logging.getLogger("chatkeep")


class Auth(Protocol):
    async def verify(self, authorization: str) -> Key: ...


class Guard:
    """What all requests share."""

    def __init__(
        self,
        auth: Auth,
        clock: Clock,
        token_bytes: Callable[[int], bytes],
        requests: Requests,
        instance: str,
        max_requests: int,
    ) -> None:
        self._auth = auth
        self._limits = Limits(clock.monotonic)
        self._clock = clock
        self._token_bytes = token_bytes
        self._requests = requests
        self._instance = instance
        self._max_requests = max_requests
        self._running = 0

    def path(self, path: str, endpoints: dict[str, tuple[Operation, Endpoint]]) -> "GuardedPath":
        return GuardedPath(self, path, endpoints)

    async def unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a URL that is none of ours, and what could not be read as a request."""
        await self._refusing(
            scope, receive, send, lambda one: UnknownUrl(method=one.method, path=one.path)
        )

    def without_keys(self, names: Container[str], origins: Container[str], app: ASGIApp) -> ASGIApp:
        """Lets through what calls this server by one of the names, and no page of another origin.

        Else any web page could reach it, under a name of its own that leads here or under ours.
        """

        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            host, page = host_of(scope), foreign_page(scope)
            if host not in names:
                await self._refusing(scope, receive, send, lambda _: WrongHost(host=repr(host)))
            elif page is None or page in origins or "*" in origins:
                await app(scope, receive, send)
            else:
                origin = repr(page) if page else "one without a name"
                await self._refusing(scope, receive, send, lambda _: CrossOrigin(origin=origin))

        return checked

    async def _refusing(
        self, scope: Scope, receive: Receive, send: Send, error: Callable[[Request], Refusal]
    ) -> None:
        async def refuse(request: Request) -> Response:
            request.check_readable()
            raise error(request)

        if scope["type"] == "http":
            await self.run(scope, receive, send, "unknown", None, refuse)

    async def run(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        route: str,
        operation: Operation | None,
        endpoint: Endpoint,
    ) -> None:
        started = self._clock.monotonic()
        id = request_id(self._token_bytes(REQUEST_ID_BYTES // 2))
        request = Request(scope, receive, id, started)
        self._running += 1
        try:
            await self._answered(request, send, operation, endpoint)
        except asyncio.CancelledError:
            # Cancelled by the disconnect: there is nobody to answer. Else the server is stopping.
            task = asyncio.current_task()
            if not request.disconnect.happened or task is None or task.uncancel() > 0:
                raise
        finally:
            self._running -= 1
            while request.cleanup:
                request.cleanup.pop()()  # none left, or it would keep the whole request in a circle
            seconds = self._clock.monotonic() - started
            self._requests.answered(route, request.method, request.status, seconds)
            if _log.isEnabledFor(logging.DEBUG):
                self._log_request(request, route, seconds)

    async def _answered(
        self, request: Request, send: Send, operation: Operation | None, endpoint: Endpoint
    ) -> None:
        try:
            await self._admit(request, operation)
            answer = await endpoint(request)
        except Refusal as error:
            answer = refused(error)
        except ClientLeft:
            return
        except Exception:  # noqa: BLE001  # the outermost edge
            _log.exception("a request failed", extra=_named(request))
            answer = refused(ServerError())
        if request.rate:
            answer = limited(answer, request.rate)
        try:
            elapsed_ms = round((self._clock.monotonic() - request.started) * 1000)
            request.status = answer.status
            await send_answer(send, answer, request.request_id, elapsed_ms)
        except Exception:  # noqa: BLE001  # the outermost edge
            # The head has gone out; all that is left is to break off.
            _log.exception("an answer broke off", extra=_named(request))

    async def _admit(self, request: Request, operation: Operation | None) -> None:
        if operation is None or operation.scope is None:
            return
        if self._running > self._max_requests:
            raise ServerBusy(limit=self._max_requests)
        if self._instance in (request.header(HOP) or "").split(", "):
            raise LoopDetected(upstream=request.header(b"host") or "")
        request.key = await self._auth.verify(request.header(b"authorization") or "")
        allow(request.key, operation.scope)
        granted = self._limits.enter(request.key) if operation.forwards else None
        if granted is not None:
            request.cleanup.append(granted.end)
            request.rate = granted.headers

    def _log_request(self, request: Request, route: str, seconds: float) -> None:
        extra = {"route": route, "method": request.method, "status": request.status}
        _log.debug("request", extra={**_named(request), **extra, "ms": round(seconds * 1000, 2)})


class GuardedPath:
    """One path of the route table as an ASGI application."""

    def __init__(
        self, guard: Guard, path: str, endpoints: dict[str, tuple[Operation, Endpoint]]
    ) -> None:
        self._guard = guard
        self._path = path
        self._endpoints = endpoints

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        operation, endpoint = self._endpoints.get(method, (None, self._refuse))
        return self._guard.run(scope, receive, send, self._path, operation, endpoint)

    async def _refuse(self, request: Request) -> Response:
        methods = sorted(self._endpoints)
        raise MethodNotSupported(
            methods=" and ".join(methods), headers=(("allow", ", ".join(methods)),)
        )


def _named(request: Request) -> dict[str, str]:
    return {"request_id": request_id_header(request.request_id)}
