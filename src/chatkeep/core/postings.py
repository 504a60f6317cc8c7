"""Postings: the index entries through which every equality filter finds its rows (DESIGN.md §4).

A posting is `(project, kid, seq)`, the kid a 32-bit hash of what is equal, keyed per project. A
hash can collide, so rows found by it are compared again with `matches`: more bits would only make
the index larger.
"""

from hashlib import blake2b

import msgspec

from chatkeep.core.metadata import Metadata
from chatkeep.core.model import Query, Row

_METADATA = msgspec.json.Decoder(dict[str, str])


def kid(secret: bytes, kind: str, *parts: str) -> int:
    # NUL never stands in metadata nor in a model name kept here, so the parts cannot run together.
    text = "\0".join((kind, *parts)).encode()
    return int.from_bytes(blake2b(text, key=secret, digest_size=4).digest())


def of_metadata(secret: bytes, metadata: Metadata) -> set[int]:
    return {kid(secret, "metadata", key, value) for key, value in metadata.items()}


def of_row(secret: bytes, row: Row) -> set[int]:
    return {kid(secret, "model", row.model), *of_metadata(secret, _METADATA.decode(row.metadata))}


def wanted(secret: bytes, query: Query) -> list[int]:
    """The kids a row must have all of; empty when the query has no equality filter."""
    kids = sorted(of_metadata(secret, query.metadata))
    if query.model is not None:
        kids.append(kid(secret, "model", query.model))
    return kids


def matches(query: Query, row: Row) -> bool:
    if query.model is not None and row.model != query.model:
        return False
    return not query.metadata or query.metadata.items() <= _METADATA.decode(row.metadata).items()
