"""What is to be written after a decision about bodies: data, which each database writes its way.

A list of writes belongs into one transaction and is written in its order.
"""

from collections.abc import Collection
from typing import NamedTuple

from chatkeep.core.model.ids import Seq


class InsertPrefixHash(NamedTuple):
    """The record at `seq` is found by a prefix hash, of which the index has these bits."""

    hash: int
    seq: Seq


class DeletePrefixHash(NamedTuple):
    """The record at `seq` is found by the prefix hash no more."""

    hash: int
    seq: Seq


class UseShared(NamedTuple):
    """One more body refers to a shared text, which is kept when it is not there yet."""

    key: int
    text: bytes


class ReleaseShared(NamedTuple):
    """One body less refers to each of these texts; one that no body refers to goes."""

    keys: Collection[int]


class PutRemnant(NamedTuple):
    """What of a deleted or expired body others still need, in place of an earlier remnant."""

    seq: Seq
    base: Seq | None
    body: bytes


class DeleteRemnant(NamedTuple):
    seq: Seq


class Relink(NamedTuple):
    """Records whose base is `seq` get another one, unless a record stands at `seq` still."""

    seq: Seq
    base: Seq | None


class PutBody(NamedTuple):
    """A record that stays gets another body, and its parent written out; 0 is none."""

    seq: Seq
    body: bytes
    parent: Seq


Write = (
    InsertPrefixHash
    | DeletePrefixHash
    | UseShared
    | ReleaseShared
    | PutRemnant
    | DeleteRemnant
    | Relink
    | PutBody
)
