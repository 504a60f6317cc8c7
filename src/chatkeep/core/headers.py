"""Which headers pass, up to the upstream and down to the client (DESIGN.md §2)."""

from collections.abc import Iterable, Mapping

from chatkeep.core.ports import Headers

# Names the servers a call came through, so that one that is its own upstream notices, also
# behind others.
HOP = "x-chatkeep-hop"
CALLERS_KEY = "x-chatkeep-upstream-key"  # the caller's own key for the upstream
UP = (
    "content-type",
    "accept",
    "openai-beta",
    "idempotency-key",
    "traceparent",
    CALLERS_KEY,
    HOP,
)
STREAM: Headers = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))

_HOP_BY_HOP = frozenset(
    {
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# The server is us, cookies are the upstream account's, and these the web layer sets itself.
_OURS = frozenset({"set-cookie", "server", "date", "openai-processing-ms", "openai-version"})
# What another chatkeep says of itself, and which web pages may call: that is for us to say.
_NOT_THEIRS = ("x-chatkeep-", "access-control-")
_DROPPED = _HOP_BY_HOP | _OURS


def up(given: Mapping[str, str], configured: Iterable[str] = ()) -> dict[str, str]:
    """The caller's headers that the upstream gets."""
    wanted = (*UP, *(name.lower() for name in configured)) if configured else UP
    return {name: given[name] for name in wanted if name in given}


def down(given: Headers) -> list[tuple[str, str]]:
    """The upstream's headers that the client gets; its request id under a name of its own."""
    passed: list[tuple[str, str]] = []
    connection = ""
    for name, value in given:
        if name == "x-request-id":
            passed.append(("x-upstream-request-id", value))
        elif name == "connection":
            connection = f"{connection},{value}"
        elif name not in _DROPPED and not name.startswith(_NOT_THEIRS):
            passed.append((name, value))
    return without(passed, *_listed(connection)) if connection else passed


def without(given: Headers, *names: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in given if name not in names]


def get(given: Headers, wanted: str) -> str:
    """The first value of a header, empty when there is none."""
    return next((value for name, value in given if name == wanted), "")


def _listed(connection: str) -> list[str]:
    """The names a Connection header makes hop-by-hop."""
    return [name.strip().lower() for name in connection.split(",")]
