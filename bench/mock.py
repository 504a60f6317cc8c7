"""The mock upstream: a raw asyncio protocol, far cheaper than anything that stands before it.

    python -m bench.mock      prints its address

The model's name says what it does: answer at once, pace its stream, call a tool, fail, break off.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import cast

import click
import uvloop

from bench import samples

_BACKLOG = 2048
_SLOT = "############"  # where the 12 digits go
_CHUNK_KEYS = (
    '{"id":"chatcmpl-mock############","object":"chat.completion.chunk","created":1760000000,'
    '"model":"bench-2026-10-01","service_tier":"default","system_fingerprint":"fp_0123456789",'
)
_USAGE = {
    "prompt_tokens": 31,
    "completion_tokens": 200,
    "total_tokens": 231,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _whole(status: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


def _answer(*messages: dict[str, object]) -> tuple[bytes, ...]:
    """What stands before and after each text."""
    rest = {"logprobs": None, "finish_reason": "stop"}
    choices = [
        {"index": index, "message": _message(message), **rest}
        for index, message in enumerate(messages)
    ]
    text = samples.answer_text(0)
    body = {
        "id": f"chatcmpl-mock{_SLOT}",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "bench-2026-10-01",
        "choices": choices,
        "usage": _USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    return tuple(_whole("200 OK", _json(body)).split(text.encode()))


def _message(more: dict[str, object]) -> dict[str, object]:
    text = samples.answer_text(0)
    return {"role": "assistant", "content": text, "refusal": None, "annotations": [], **more}


def _events(chunks: int) -> Iterator[bytes]:
    yield _chunk({"role": "assistant", "content": "", "refusal": None}, None)
    yield _chunk({"content": f"n={_SLOT};"}, None)
    for text in samples.deltas(0, chunks)[1:]:
        yield _chunk({"content": text}, None)
    yield _chunk({}, "stop")


def _chunk(delta: dict[str, object], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _framed(f'{_CHUNK_KEYS}"choices":[{_json(choice)}]}}')


def _framed(data: str) -> bytes:
    """An event as an HTTP chunk of its own, as servers send them."""
    event = f"data: {data}\n\n"
    return f"{len(event):x}\r\n{event}\r\n".encode()


_SLOT_BYTES = _SLOT.encode()
_PLAIN = _answer({})
_CALLING = _answer({"tool_calls": [samples.tool_call(_SLOT)]})
_TWICE = _answer({}, {})
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_FAST = b"".join(_events(samples.STREAM_CHUNKS))
_PACED = list(_events(samples.PACED_CHUNKS))
_KNOWN_PACED = f'"{samples.KNOWN_PACED}"'.encode()
_USAGE_EVENT = _framed(f'{_CHUNK_KEYS}"choices":[],"usage":{_json(_USAGE)}}}')
_DONE = _framed("[DONE]") + b"0\r\n\r\n"
_FAILED = _whole("500 Internal Server Error", '{"error":{"message":"The mock failed."}}')
_PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 12\r\n\r\n<p>Oops.</p>"
_MODELS = _whole(
    "200 OK", '{"object":"list","data":[{"id":"bench","object":"model","owned_by":"mock"}]}'
)


class _Connection(asyncio.Protocol):
    """One request after the other; nobody pipelines here."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self._received[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 : head.index(b"\r", at)]) if at >= 0 else 0
        if len(self._received) >= end + length:
            body, self._received = self._received[end:], b""
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        at = body.rfind(b"n=") + 2  # what a conversation says last
        digits = body[at : at + 12]
        if b'"stream":true' in body:
            self._stream(body, digits)
        elif b'"bench-' in body:
            self._odd(body, digits)
        elif at >= 2:
            self._say(_PLAIN, digits)
        else:
            self._transport.write(_MODELS)

    def _odd(self, body: bytes, digits: bytes) -> None:
        if b'"bench-calling"' in body:
            self._say(_CALLING, digits)
        elif b'"bench-twice"' in body:
            self._say(_TWICE, digits)
        elif b'"bench-failing"' in body:
            self._transport.write(_FAILED)
        elif b'"bench-page"' in body:
            self._transport.write(_PAGE)
        elif b'"bench-cut"' in body:
            self._transport.write(b"".join(_PLAIN)[:-20])
            self._transport.close()
        elif b'"bench-silent"' not in body:
            self._say(_PLAIN, digits)

    def _say(self, parts: tuple[bytes, ...], digits: bytes) -> None:
        text = samples.answer_text(int(digits)).encode()
        self._transport.write(text.join(part.replace(_SLOT_BYTES, digits) for part in parts))

    def _stream(self, body: bytes, digits: bytes) -> None:
        last = _USAGE_EVENT.replace(_SLOT_BYTES, digits) if b'"include_usage"' in body else b""
        if b'"bench-breaking"' in body:
            self._transport.write(_STREAM_HEAD + _FAST[: len(_FAST) // 2])
            self._transport.close()
        elif b'"bench-paced"' in body or _KNOWN_PACED in body:
            self._transport.write(_STREAM_HEAD)
            self._paced(digits, 0, last + _DONE)
        elif b'"bench-endless"' in body:
            self._transport.write(_STREAM_HEAD)
            self._paced(digits, 0, b"")
        else:
            self._transport.write(_STREAM_HEAD + _FAST.replace(_SLOT_BYTES, digits) + last + _DONE)

    def _paced(self, digits: bytes, index: int, end: bytes) -> None:
        if index == len(_PACED) - 1 and not end:
            index = 1  # it never ends
        if index == len(_PACED):
            self._transport.write(end)
            return
        self._transport.write(_PACED[index].replace(_SLOT_BYTES, digits))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(samples.PACE_S, self._paced, digits, index + 1, end)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=_BACKLOG)
    click.echo(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
