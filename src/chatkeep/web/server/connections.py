"""The connections of a server, and what holds for each of them."""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import ASGIApp


class State(Protocol):
    """What a server knows of its connections, and they of it: uvicorn's ServerState."""

    connections: set[Any]
    tasks: set[asyncio.Task[None]]
    default_headers: list[tuple[bytes, bytes]]


@dataclass
class Connections:
    """`client_timeout_s` is for what a client owes, `keep_alive_s` for its next request."""

    app: ASGIApp
    state: State
    max_open: int
    client_timeout_s: float
    keep_alive_s: float
    turned_away: int = 0  # connections beyond `max_open` that are being told so
