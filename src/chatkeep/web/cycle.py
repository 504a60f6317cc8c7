"""One request and its answer on a connection: uvicorn's, with a cheaper way out.

A whole answer is one write: its head waits for the first of its body. uvicorn looks at each header
with two patterns, which costs more than all else a small answer needs; here the head is looked at
once.
"""

from collections.abc import Iterable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_BODILESS = (204, 304)
_CONTROLS = bytes({*range(32), 127} - {9})
_CLOSE = b"connection: close\r\n"


class Cycle(RequestResponseCycle):
    _head = b""

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]  # uvicorn names every kind
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.response_started = True
            self.waiting_for_100_continue = False
            self._head = self._begun(message["status"], message["headers"])
        else:
            self._write(message.get("body", b""), more=message.get("more_body", False))

    def _begun(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The head's bytes. Raises ValueError for what would not stay one header."""
        lines = [STATUS_LINE[status]]
        closes = False
        for name, value in (*self.default_headers, *headers):
            if name == b"content-length":
                self.chunked_encoding = False
                self.expected_content_length = int(value)
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive, closes = False, True
            lines.append(b"%b: %b\r\n" % (name, value))
        if not self.keep_alive and not closes:
            lines.append(_CLOSE)
        if self.chunked_encoding is None:
            self.chunked_encoding = self.scope["method"] != "HEAD" and status not in _BODILESS
            if self.chunked_encoding:
                lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        if len(head) - len(head.translate(None, _CONTROLS)) != 2 * len(lines):
            raise ValueError("a header of an answer holds a control character")
        return head + b"\r\n"

    def _write(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = _chunk(body, more=more)
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise ValueError("an answer is longer than it said")
        if self._head or body:
            self.transport.write(self._head + body)
            self._head = b""
        if not more:
            self._end()

    def _end(self) -> None:
        if self.expected_content_length:
            raise ValueError("an answer is shorter than it said")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _chunk(body: bytes, *, more: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk if more else chunk + b"0\r\n\r\n"
