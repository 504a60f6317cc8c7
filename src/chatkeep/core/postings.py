"""Postings: the index entries through which every equality filter finds its rows (DESIGN.md §4).

A posting is `(project, kid, seq)`, the kid a 32-bit hash of what is equal, keyed per project. A
hash can collide, so rows found by it are compared again with `matches`: more bits would only make
the index larger.

A row has a posting for each metadata pair, and a single one for its kind: the model, status, finish
reason, upstream and key it has, taken together. A store lists the kinds there are, a few dozen in
most projects; a filter by any of these values reads the postings of all the kinds that have it.
"""

from hashlib import blake2b

import msgspec

from chatkeep.core.metadata import Metadata
from chatkeep.core.model import Facts, Query, Row

_METADATA = msgspec.json.Decoder(dict[str, str])
_KIND = ("model", "status", "finish_reason", "upstream", "key")


def kid(secret: bytes, kind: str, *parts: str, size: int = 4) -> int:
    # NUL never stands in metadata nor in a model name kept here, so the parts cannot run together.
    text = "\0".join((kind, *parts)).encode()
    return int.from_bytes(blake2b(text, key=secret, digest_size=size).digest())


def of_metadata(secret: bytes, metadata: Metadata) -> set[int]:
    return {kid(secret, "metadata", key, value) for key, value in metadata.items()}


def of_kind(secret: bytes, row: Row) -> int:
    reason = "" if row.finish_reason is None else f"={row.finish_reason}"
    parts = (row.model, row.status, reason, row.upstream, str(row.key))
    return kid(secret, "kind", *parts, size=6)  # what a store lists it by: two must not meet


def of_row(secret: bytes, row: Row) -> set[int]:
    return {of_kind(secret, row), *of_metadata(secret, _METADATA.decode(row.metadata))}


def wants_kinds(query: Query) -> bool:
    """Whether the query asks for anything that kinds differ in."""
    return any(getattr(query, name) is not None for name in _KIND)


def matches(query: Query, row: Row | Facts) -> bool:
    if any(getattr(query, name) not in (None, getattr(row, name)) for name in _KIND):
        return False
    return not query.metadata or query.metadata.items() <= _METADATA.decode(row.metadata).items()
