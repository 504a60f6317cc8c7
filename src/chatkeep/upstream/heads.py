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


class Heads:
    """`hop` names this server; what is the same in every call is put down once."""

    def __init__(self, setting: UpstreamSetting, hop: str, connections: Connections) -> None:
        self._setting = setting
        self._hop = hop
        self._connections = connections
        self._auth = setting.auth_header.lower()
        own = {name.lower(): _on_wire(text) for name, text in setting.headers.items()}
        own["accept-encoding"] = "identity"
        if setting.key is not None:
            own |= self._authorization(_on_wire(setting.key))
        self._not_callers = _NEVER_UP.union(own)
        varying = {HOP, "content-length"} | ({self._auth} if setting.pass_key else set())
        self._same = {name: text for name, text in own.items() if name not in varying}
        self._usual = {name: text for name, text in own.items() if name in varying}
        if "user-agent" not in own:
            self._usual["user-agent"] = _AGENT
        self._begun: dict[tuple[str, str], bytes] = {}

    def head(self, method: str, path: str, length: int, given: Mapping[str, str]) -> bytes:
        """Raises ValueError for what would be more lines than headers."""
        begun = self._begun.get((method, path))
        if begun is None:
            begun = self._begun[method, path] = self._begin(method, path)
        headers = self._usual.copy()
        headers.update([entry for entry in given.items() if entry[0] not in self._not_callers])
        headers[HOP] = f"{given[HOP]}, {self._hop}" if HOP in given else self._hop
        if method == "POST":
            headers["content-length"] = str(length)
        if self._setting.pass_key and (key := _callers_key(given)):
            headers |= self._authorization(key)
        return begun + _lines(headers) + b"\r\n"

    def _begin(self, method: str, path: str) -> bytes:
        base = urlsplit(self._setting.base_url)
        query = "&".join(filter(None, (base.query, urlencode(self._setting.query))))
        target = quote(f"{base.path}{path}{'?' if query else ''}{query}", safe=_IN_TARGETS)
        return self._connections.first_lines(method, target) + _lines(self._same)

    def _authorization(self, key: str) -> dict[str, str]:
        return {self._auth: f"Bearer {key}" if self._auth == "authorization" else key}


def _callers_key(given: Mapping[str, str]) -> str:
    key = given.get(CALLERS_KEY, "")
    return "" if key.startswith(PREFIX) else key


def _lines(headers: Mapping[str, str]) -> bytes:
    lines = "".join([f"{name}: {text}\r\n" for name, text in headers.items()])
    if not lines.count("\n") == lines.count("\r") == len(headers) or "\0" in lines:
        raise ValueError("a header has a line end in it")
    return lines.encode("latin-1")


def _on_wire(text: str) -> str:
    """UTF-8 as the characters that stand for its bytes in a header."""
    return text.encode().decode("latin-1")
