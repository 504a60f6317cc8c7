"""The heads of what an upstream is asked: its own headers, and those of callers that pass."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from chatkeep.core.headers import CALLERS_KEY, HOP
from chatkeep.core.keys import PREFIX
from chatkeep.settings import UpstreamSetting
from chatkeep.upstream.connections import Connections

_AGENT = "chatkeep"
_IN_TARGETS = "/%:?#[]@!$&'()*+,;=~"
# A caller's chatkeep key, cookies and word of other proxies are not for an upstream, even when a
# header of that name is configured to be passed on.
_NEVER_UP = frozenset({CALLERS_KEY, HOP, "authorization", "cookie", "host", "content-length"})


# Of one call alone, or not to be kept in memory.
_NOT_REMEMBERED = frozenset({CALLERS_KEY, "idempotency-key", "traceparent"})
_REMEMBERED = 100


class Heads:
    """`hop` names this server. Heads are remembered: most calls differ only in their length."""

    def __init__(self, setting: UpstreamSetting, hop: str, connections: Connections) -> None:
        self._setting = setting
        self._hop = hop
        self._connections = connections
        self._own = {name.lower(): _on_wire(text) for name, text in setting.headers.items()}
        self._known: dict[tuple[object, ...], bytes] = {}

    def head(self, method: str, path: str, length: int, given: Mapping[str, str]) -> bytes:
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

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        setting = self._setting
        headers = {"user-agent": _AGENT}
        headers.update((name, text) for name, text in given.items() if name not in _NEVER_UP)
        headers.update(self._own)
        headers.pop("content-length", None)  # which is ours to say
        headers["accept-encoding"] = "identity"
        headers[HOP] = f"{given[HOP]}, {self._hop}" if HOP in given else self._hop
        key = _callers_key(given) if setting.pass_key else None
        if key is None and setting.key is not None:
            key = _on_wire(setting.key)
        if key is not None:
            auth = setting.auth_header.lower()
            headers[auth] = f"Bearer {key}" if auth == "authorization" else key
        return headers


def _callers_key(given: Mapping[str, str]) -> str | None:
    key = given.get(CALLERS_KEY, "")
    return None if key.startswith(PREFIX) else key or None


def _lines(headers: Mapping[str, str]) -> bytes:
    lines = "".join([f"{name}: {text}\r\n" for name, text in headers.items()])
    if not lines.count("\n") == lines.count("\r") == len(headers) or "\0" in lines:
        raise ValueError("a header has a line end in it")
    return lines.encode("latin-1")


def _on_wire(text: str) -> str:
    """UTF-8 as the characters that stand for its bytes in a header."""
    return text.encode().decode("latin-1")
