"""Connections that are kept open and say nothing, while others work."""

import http.client
import resource
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from bench.process import Broken
from bench.target import Target

_OTHERS = 1_000  # files a process of ours has open beside these
_PATIENCE_S = 30.0


@contextmanager
def idle(target: Target, connections: int) -> Iterator[None]:
    """Opens them, asks once over each; in the end every one must still answer. Raises Broken."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(connections + _OTHERS, hard), hard))
    with ExitStack() as opened:
        kept = [opened.enter_context(closing(_connection(target))) for _ in range(connections)]
        _ask(kept, "at first")
        yield
        _ask(kept, "at last")


def _connection(target: Target) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=_PATIENCE_S)
    connection.connect()
    connection.auto_open = 0  # a connection that was closed is not made anew
    return connection


def _ask(connections: list[http.client.HTTPConnection], when: str) -> None:
    for connection in connections:
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"an idle connection broke {when}: {error!r}") from error
        if answer.status != http.client.OK:
            raise Broken(f"an idle connection was answered {answer.status} {when}")
