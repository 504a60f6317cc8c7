"""The servers that answer model calls, and which of them a call may go to."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from chatkeep.core.wire.headers import Headers


class UpstreamAnswer(Protocol):
    """An upstream's answer whose head has arrived and whose body is still to be read."""

    status: int
    headers: Headers  # content coding already undone

    async def read(self) -> bytes:
        """The next bytes as they arrived, b"" at the end.

        Raises `UpstreamFailed` when the connection breaks, `UpstreamTimeout` when nothing comes,
        and either of them once `close` was called.
        """
        ...

    def arrived(self) -> bytes:
        """All that `read` would give, when it is there up to its end; else b"".

        Never what has a content coding to be undone.
        """
        ...

    def close(self) -> None:
        """Stop now: drops the connection when the body was not read to its end. May be repeated."""
        ...


class Upstream(Protocol):
    """One OpenAI-compatible endpoint."""

    name: str

    async def post(self, path: str, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamAnswer:
        """POST `body` to `<base_url><path>` (path like `/chat/completions`); returns at the head.

        Raises `UpstreamUnreachable`, `UpstreamTimeout`, `UpstreamFailed`.
        """
        ...

    async def get(self, path: str) -> UpstreamAnswer:
        """GET `<base_url><path>` (path like `/models`); returns at the head.

        Raises `UpstreamUnreachable`, `UpstreamTimeout`, `UpstreamFailed`.
        """
        ...

    async def aclose(self) -> None:
        """Closes all connections."""
        ...


class Route(NamedTuple):
    """Where a model's calls go, and what is edited for it (DESIGN.md §5).

    `model` is the name the upstream knows the model by, None to leave it as asked for. `pause_s` is
    waited before the call: a repeated one gives the upstream time.
    """

    upstream: Upstream
    model: str | None = None
    keep_store: bool = False
    add_usage: bool = True
    forward_headers: tuple[bytes, ...] = ()
    pause_s: float = 0.0


class Upstreams(Protocol):
    """The upstreams a server has."""

    def routes(self, model: str) -> Sequence[Route]:
        """Where to try, in this order; never empty."""
        ...

    def all(self) -> Sequence[Upstream]:
        """Every upstream once, in the order of the settings."""
        ...

    async def aclose(self) -> None:
        """Closes all connections of all upstreams."""
        ...
