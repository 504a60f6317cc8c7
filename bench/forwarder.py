"""The bare forwarder: chatkeep's stack (uvicorn, httptools, uvloop, its client) and no work at all.

python -m bench.forwarder PORT UPSTREAM_URL
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import click
import uvicorn
import uvloop

from bench import samples
from chatkeep.upstream.http.connection import Exchange
from chatkeep.upstream.http.connections import Connections

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_JSON = [(b"content-type", b"application/json")]
_STATIC = samples.answer_text(0).encode()
_BACKLOG = 2048
_PATIENCE_S = 60.0


class _Forwarder:
    def __init__(self, upstream: str) -> None:
        self._connections = Connections(upstream, _PATIENCE_S)

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["path"] == samples.STATIC:
            await _whole(send, 200, _JSON, _STATIC)
            return
        answer = await self._asked(scope["path"], await _received(receive))
        if (b"content-type", b"application/json") in answer.headers:
            await _whole(send, answer.status, _JSON, await _all_of(answer))
        else:
            await _streamed(send, answer)

    async def _asked(self, path: str, body: bytes) -> Exchange:
        head = self._connections.first_lines("POST", path)
        head += b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        return await self._connections.ask(head, body, deadline, _PATIENCE_S, repeatable=False)


async def _received(receive: _Receive) -> bytes:
    pieces = []
    more = True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _whole(send: _Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _all_of(answer: Exchange) -> bytes:
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    return b"".join(pieces)


async def _streamed(send: _Send, answer: Exchange) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    while piece := await answer.read():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _serve(upstream: str) -> None:
    config = uvicorn.Config(
        _Forwarder(upstream),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    click.echo(f"http://127.0.0.1:{listening.getsockname()[1]}")
    await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
