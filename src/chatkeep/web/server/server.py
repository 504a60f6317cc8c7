"""The HTTP server: uvicorn as chatkeep runs it."""

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from chatkeep.errors import BadSetting
from chatkeep.settings import Settings
from chatkeep.web.server.connections import Connections
from chatkeep.web.server.listener import Listener
from chatkeep.web.server.protocol import Protocol

_BACKLOG = 2048
_OPEN_FILES = 1 << 16
_OTHER_FILES = 64  # the store's, the log's, the listening one
# Longer than clients and proxies keep theirs (60 s at nginx): else one is closed as it is used.
_KEEP_ALIVE_S = 75


class Server(uvicorn.Server):
    """uvicorn ends the process by the signal it got; this one ends in peace after a clean way down.

    Signals are left alone unless `signals`, for servers that share a process with others.
    """

    def __init__(self, app: ASGIApp, settings: Settings, *, signals: bool = True) -> None:
        self._signals = (signal.SIGTERM, signal.SIGINT) if signals else ()
        self._settings = settings
        config = uvicorn.Config(
            app,
            http=Protocol,  # not that uvicorn makes any, but so that it loads none of its own
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_graceful_shutdown=round(settings.drain_s),
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        connections = Connections(
            app=self.config.loaded_app,
            state=self.server_state,
            max_open=min(self._settings.max_connections, _connections_possible()),
            client_timeout_s=self._settings.client_timeout_s,
            keep_alive_s=_KEEP_ALIVE_S,
        )
        self.servers = [Listener(one, lambda: Protocol(connections)) for one in sockets or ()]  # type: ignore[misc]  # uvicorn closes them, no more
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Leaves nothing in progress, not even in a hurry: what it works with is closed next."""
        await super().shutdown(sockets)
        unfinished = set(self.server_state.tasks)
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in self._signals:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in self._signals:
                loop.remove_signal_handler(number)


def allow_many_connections() -> None:
    """As many open files as this process may have: each connection is one, its upstream's another.

    Systems start a process with few, of which it may itself ask for more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _connections_possible() -> int:
    """What open files allow, when each connection may need one upstream and another be refused."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - _OTHER_FILES) // 3)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises BadSetting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise BadSetting(
            f"cannot listen on {host} port {port}: {error.strerror}; give another --port or --host"
        ) from error


def address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
