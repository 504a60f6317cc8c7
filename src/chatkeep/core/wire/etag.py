"""ETags of stored objects, and what If-Match says of them (RFC 9110, sections 8.8.3 and 13.1.1)."""

import re
from hashlib import blake2b

_TAG = re.compile(r'(W/)?("[^"]*")')


def etag_of(metadata: bytes) -> str:
    return f'"{blake2b(metadata, digest_size=12).hexdigest()}"'


def holds(if_match: str, etag: str) -> bool:
    """Whether an If-Match header is met. A weak tag never is: the comparison is the strong one."""
    if if_match.strip() == "*":
        return True
    return any(not weak and tag == etag for weak, tag in _TAG.findall(if_match))
