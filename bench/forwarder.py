"""The bare forwarder: chatkeep's stack (uvicorn, httptools, uvloop, aiohttp) and no work at all.

python -m bench.forwarder PORT UPSTREAM_URL
"""

import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import click
import uvicorn
import uvloop
from yarl import URL

from bench import samples

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_JSON = [(b"content-type", b"application/json")]
_STATIC = samples.answer_text(0).encode()
_BACKLOG = 2048


class _Forwarder:
    def __init__(self, upstream: str) -> None:
        self._upstream = URL(upstream)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["path"] == samples.STATIC:
            await _whole(send, 200, _JSON, _STATIC)
            return
        body = await _received(receive)
        headers = {"content-type": "application/json"}
        url = self._upstream.join(URL(scope["path"]))
        async with self._session.post(url, data=body, headers=headers) as answer:
            if answer.content_type == "text/event-stream":
                await _streamed(send, answer)
            else:
                await _whole(send, answer.status, _JSON, await answer.read())


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


async def _streamed(send: _Send, answer: aiohttp.ClientResponse) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    while piece := await answer.content.readany():
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
