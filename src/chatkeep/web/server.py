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

_BACKLOG = 2048
_OPEN_FILES = 65_536
# Longer than clients and proxies keep theirs (60 s at nginx): else one is closed as it is used.
_KEEP_ALIVE_S = 75


class Server(uvicorn.Server):
    """uvicorn ends the process by the signal it got; this one ends in peace after a clean way down.

    Signals are left alone unless `signals`, for servers that share a process with others.
    """

    def __init__(self, app: ASGIApp, settings: Settings, *, signals: bool = True) -> None:
        self._signals = (signal.SIGTERM, signal.SIGINT) if signals else ()
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=round(settings.drain_s),
            )
        )

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
    """Raises the soft limit on open files, which is often 1,024, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
