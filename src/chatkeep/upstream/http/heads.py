"""The heads of what an upstream is asked: its own headers, and those of callers that pass."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from chatkeep.core.accounts.keys import PREFIX
from chatkeep.core.wire.headers import CALLERS_KEY, HOP
from chatkeep.settings.upstreams import UpstreamSetting
from chatkeep.upstream.http.connections import Connections

_AGENT = b"chatkeep"
_IN_TARGETS = "/%:?#[]@!$&'()*+,;=~"
# A caller's chatkeep key, cookies and word of other proxies are not for an upstream, even when a
# header of that name is configured to be passed on.
_NEVER_UP = frozenset({CALLERS_KEY, HOP, b"authorization", b"cookie", b"host", b"content-length"})
# Of one call alone, or not to be kept in memory.
_NOT_REMEMBERED = frozenset({CALLERS_KEY, b"idempotency-key", b"traceparent"})
_REMEMBERED = 100
_OURS = PREFIX.encode()


class Heads:
    """`hop` names this server.

    Heads are remembered, as most calls differ only in their length: 5,000 instructions instead of
    20,000 a call.
    """

    def __init__(self, setting: UpstreamSetting, hop: str, connections: Connections) -> None:
        self._setting = setting
        self._hop = hop.encode()
        self._connections = connections
        self._own = {name.lower().encode(): text.encode() for name, text in setting.headers.items()}
        self._known: dict[tuple[object, ...], bytes] = {}

    def head(self, method: str, path: str, length: int, given: Mapping[bytes, bytes]) -> bytes:
        """Raises ValueError for what would be more lines than headers."""
        called = (method, path, *given.items())
        begun = self._known.get(called)
        if begun is None:
            lines = self._connections.first_lines(method, self._target(path))
            begun = lines + _lines(self._headers(given))
            if _NOT_REMEMBERED.isdisjoint(given):
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[called] = begun
        return begun + (b"content-length: %d\r\n\r\n" % length if method == "POST" else b"\r\n")

    def _target(self, path: str) -> str:
        base = urlsplit(self._setting.base_url)
        query = "&".join(filter(None, (base.query, urlencode(self._setting.query))))
        return quote(f"{base.path}{path}{'?' if query else ''}{query}", safe=_IN_TARGETS)

    def _headers(self, given: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        setting = self._setting
        headers = {b"user-agent": _AGENT}
        headers.update((name, text) for name, text in given.items() if name not in _NEVER_UP)
        headers.update(self._own)
        headers.pop(b"content-length", None)  # which is ours to say
        headers[b"accept-encoding"] = b"identity"
        headers[HOP] = b"%b, %b" % (given[HOP], self._hop) if HOP in given else self._hop
        key = _callers_key(given) if setting.pass_key else None
        if key is None and setting.key is not None:
            key = setting.key.encode()
        if key is not None:
            auth = setting.auth_header.lower().encode()
            headers[auth] = b"Bearer " + key if auth == b"authorization" else key
        return headers


def _callers_key(given: Mapping[bytes, bytes]) -> bytes | None:
    key = given.get(CALLERS_KEY, b"")
    return None if key.startswith(_OURS) else key or None


def _lines(headers: Mapping[bytes, bytes]) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % header for header in headers.items()])
    if not lines.count(b"\n") == lines.count(b"\r") == len(headers) or b"\0" in lines:
        raise ValueError("a header has a line end in it")
    return lines
