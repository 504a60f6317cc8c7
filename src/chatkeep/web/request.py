"""One HTTP request as endpoints see it, and the reading of its body within limits."""

import zlib
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from chatkeep.core.accounts import limits
from chatkeep.core.model.completion import Key
from chatkeep.core.proxy.disconnect import Disconnect
from chatkeep.errors import BodyTooLarge, ClientLeft, MalformedRequest, UnsupportedCoding
from chatkeep.web.server.cycle import REFUSED, cycle_of

_MAX_PARAMETERS = 200


class Request:
    """What was asked, by whom. Of a repeated header the first counts.

    It has `started` at a time of the monotonic clock. `key` is set by the guard on routes that need
    one; it calls `cleanup` when all is done, and adds `rate` to the answer. `status` is 0 until
    there is one.
    """

    key: Key
    status = 0
    headers: dict[bytes, bytes]  # the first of each name, names in lower case

    def __init__(self, scope: Scope, receive: Receive, request_id: bytes, started: float) -> None:
        self.scope = scope
        self.receive = receive
        self.request_id = request_id
        self.started = started
        self.headers = dict(reversed(scope["headers"]))
        self.disconnect = Disconnect()
        self.cleanup: list[Callable[[], object]] = []
        self.rate: limits.RateHeaders = ()

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def parameter(self, name: str) -> str:
        """A part of the path, decoded."""
        return str(self.scope["path_params"][name])

    def query(self) -> list[tuple[str, str]]:
        """The query's pairs in order. Raises MalformedRequest when there are too many."""
        try:
            return parse_qsl(
                self.scope["query_string"].decode("latin-1"),
                keep_blank_values=True,
                errors="surrogateescape",
                max_num_fields=_MAX_PARAMETERS,
            )
        except ValueError as error:
            raise MalformedRequest(why="the query has too many parameters") from error

    async def body(self, limit: int) -> bytes:
        """The whole body, decoded. Raises BodyTooLarge, UnsupportedCoding, ClientLeft."""
        coding = (self.header(b"content-encoding") or "identity").strip().lower()
        if coding not in ("identity", "gzip", "x-gzip", ""):
            raise UnsupportedCoding(coding=coding)
        declared = self.header(b"content-length") or ""
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise BodyTooLarge(limit=limit)
        raw = self._arrived(limit) or await self._received(limit)
        self.check_readable()
        return _gunzipped(raw, limit) if coding.endswith("gzip") else raw

    def expect_disconnect(self) -> None:
        """From now on, says when the client leaves."""
        cycle = cycle_of(self.receive)
        if cycle is not None:
            cycle.set_disconnect(self.disconnect)
            self.cleanup.append(lambda: cycle.set_disconnect(None))

    def _arrived(self, limit: int) -> bytes:
        """The body as received, when it is all there; else b""."""
        cycle = cycle_of(self.receive)
        whole = b"" if cycle is None else cycle.arrived()
        if len(whole) > limit:
            raise BodyTooLarge(limit=limit)
        return whole

    async def _received(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            message: MutableMapping[str, Any] = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise BodyTooLarge(limit=limit)
            more = message.get("more_body", False)
        return b"".join(pieces)

    def check_readable(self) -> None:
        """Raises what the protocol found wrong with the request, if anything."""
        state = self.scope.get("state", {})
        if REFUSED in state:
            raise state.pop(REFUSED)


def host_of(scope: Scope) -> str:
    """The Host's name in lower case, without its port; empty when there is none."""
    host = (_header(scope, b"host") or "").strip().lower()
    name, bracket, _ = host.partition("]")
    return name + bracket if bracket else host.partition(":")[0]


def foreign_page(scope: Scope) -> str | None:
    """The origin of the page of another origin that makes the request, if one does; it may be
    empty. Browsers tell, and pages cannot keep them from it."""
    origin, site = _header(scope, b"origin") or "", _header(scope, b"sec-fetch-site")
    if site is None:  # an older browser, or none
        own = origin.partition("://")[2] == _header(scope, b"host")
        return None if own or not origin else origin
    return None if site in ("same-origin", "none") else origin


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            found: str = value.decode("latin-1")
            return found
    return None


def _gunzipped(raw: bytes, limit: int) -> bytes:
    """The decoded body; never more of it in memory than the limit."""
    decoded = b""
    while raw:
        member = zlib.decompressobj(wbits=31)
        try:
            decoded += member.decompress(raw, limit + 1 - len(decoded))
        except zlib.error as error:
            raise MalformedRequest(why="its body is not the gzip it says it is") from error
        if len(decoded) > limit:
            raise BodyTooLarge(limit=limit)
        if not member.eof:
            raise MalformedRequest(why="its gzip body is cut off")
        raw = member.unused_data
    return decoded
