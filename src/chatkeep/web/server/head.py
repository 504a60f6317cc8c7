"""The head of a request: what of it is refused, and the scope it becomes."""

from urllib.parse import unquote

import httptools
from starlette.types import Scope

from chatkeep.errors import HeadTooLarge, MalformedRequest

Entries = list[tuple[bytes, bytes]]
Address = tuple[str, int] | None

MAX_BYTES = 1 << 16
MAX_ENTRIES = 200
_FRAGMENT = ord("#")
_ASGI = {"version": "3.0", "spec_version": "2.3"}


def too_large() -> HeadTooLarge:
    return HeadTooLarge(limit=MAX_BYTES, headers_limit=MAX_ENTRIES)


def size(url: bytes, entries: Entries) -> int:
    """Bytes of a head, without its method and version."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in entries)


def check_framing(method: bytes, version: str, entries: Entries) -> None:
    """What llhttp lets pass and two servers in a row could take differently. Raises
    MalformedRequest."""
    if method == b"CONNECT":
        raise MalformedRequest(why="this server is no proxy")
    if version not in ("1.1", "1.0"):
        raise MalformedRequest(why=f"HTTP {version} is not spoken here")
    names = [name for name, _ in entries]
    if b"transfer-encoding" in names:
        coding = entries[names.index(b"transfer-encoding")][1]  # llhttp refuses a second
        if coding.lower() != b"chunked" or version == "1.0":
            raise MalformedRequest(why="its Transfer-Encoding is not supported")
    hosts = names.count(b"host")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise MalformedRequest(why="it must have one Host header")


def without_upgrade(method: bytes, url: bytes, entries: Entries) -> bytes:
    """The head once more, staying with HTTP/1.1. Java's client offers HTTP/2 with each call.

    httptools would leave the body of such a request to another protocol.
    """
    start = b"%b %b HTTP/1.1\r\n" % (method, url)
    kept = (entry for entry in entries if entry[0] != b"upgrade")
    return start + b"".join(b"%b: %b\r\n" % entry for entry in kept) + b"\r\n"


def scope(
    method: bytes, version: str, url: bytes, entries: Entries, client: Address, server: Address
) -> Scope:
    """ASGI's, of a request without a body yet. An empty `url` is what could not be read."""
    raw_path, query = _parts(url)
    path = raw_path.decode("ascii")
    if "%" in path:
        path = unquote(path)
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": version,
        "server": server,
        "client": client,
        "scheme": "http",
        "root_path": "",
        "headers": entries,
        "state": {},
        "method": method.decode("ascii"),
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
    }


def _parts(url: bytes) -> tuple[bytes, bytes]:
    """Path and query."""
    if not url or (url.startswith(b"/") and _FRAGMENT not in url):
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)
    return parsed.path, parsed.query or b""
