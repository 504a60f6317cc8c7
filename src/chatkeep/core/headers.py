"""Which headers pass, up to the upstream and down to the client (DESIGN.md §2)."""

from collections.abc import Container, Iterable, Mapping

from chatkeep.core.ports import Headers

# Names the servers a call came through, so that one that is its own upstream notices, also
# behind others.
HOP = b"x-chatkeep-hop"
CALLERS_KEY = b"x-chatkeep-upstream-key"  # the caller's own key for the upstream
UP = (
    b"content-type",
    b"accept",
    b"openai-beta",
    b"idempotency-key",
    b"traceparent",
    CALLERS_KEY,
    HOP,
)
STREAM: Headers = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))

_HOP_BY_HOP = frozenset(
    {
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# The server is us, cookies are the upstream account's, and these the web layer sets itself.
_OURS = frozenset({b"set-cookie", b"server", b"date", b"openai-processing-ms", b"openai-version"})
# What another chatkeep says of itself, and which web pages may call: that is for us to say.
_NOT_THEIRS = (b"x-chatkeep-", b"access-control-")
_DROPPED = _HOP_BY_HOP | _OURS


def up(given: Mapping[bytes, bytes], configured: Iterable[bytes] = ()) -> dict[bytes, bytes]:
    """The caller's headers that the upstream gets."""
    wanted = (*UP, *configured) if configured else UP
    return {name: given[name] for name in wanted if name in given}


def down(given: Headers) -> list[tuple[bytes, bytes]]:
    """The upstream's headers that the client gets; its request id under a name of its own."""
    passed: list[tuple[bytes, bytes]] = []
    connection = b""
    for name, value in given:
        if name == b"x-request-id":
            passed.append((b"x-upstream-request-id", value))
        elif name == b"connection":
            connection = b"%b,%b" % (connection, value)
        elif name not in _DROPPED and not name.startswith(_NOT_THEIRS):
            passed.append((name, value))
    return without(passed, _listed(connection)) if connection else passed


def without(given: Headers, names: Container[bytes]) -> list[tuple[bytes, bytes]]:
    return [entry for entry in given if entry[0] not in names]


def get(given: Headers, wanted: bytes) -> bytes:
    """The first value of a header, empty when there is none."""
    for name, value in given:
        if name == wanted:
            return value
    return b""


def value(text: str) -> bytes:
    """A header's value; what no header can hold becomes a question mark."""
    return text.encode("latin-1", "replace")


def _listed(connection: bytes) -> list[bytes]:
    """The names a Connection header makes hop-by-hop."""
    return [name.strip().lower() for name in connection.split(b",")]
