"""What is wrong with a value of a setting that is a list: what to give instead, or None."""

import re
from ipaddress import ip_network
from urllib.parse import urlsplit

_HOST = re.compile(r"[\w.-]+|\[[0-9a-fA-F:.]+\]", re.ASCII)


def origin_fault(origin: str) -> str | None:
    """None for `*` and for an origin as browsers send it: scheme, host and port, nothing else."""
    if origin == "*":
        return None
    try:
        parts = urlsplit(origin)
        host = parts.netloc if parts.port is None else parts.netloc.rpartition(":")[0]
    except ValueError:
        return _ORIGIN
    more = parts.path or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or more or not _HOST.fullmatch(host):
        return _ORIGIN
    return None


def proxy_fault(address: str) -> str | None:
    """None for `*`, an IP address, and a network such as 10.0.0.0/8."""
    if address == "*":
        return None
    try:
        ip_network(address)
    except ValueError:
        return "give an address like 10.0.0.7, a network like 10.0.0.0/8, or * for any"
    return None


_ORIGIN = "give an origin like https://app.example, without a path, or * for any"
