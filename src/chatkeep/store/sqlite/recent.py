"""The completions read last, as they came out of their rows: lists show the newest ones again and
again, and a body never changes.

A row is always read; what is remembered of it counts when every column is the same but its
metadata. So nothing stale is shown, whichever process wrote the file.
"""

from typing import Any, NamedTuple

import msgspec

from chatkeep.core.ids import Seq
from chatkeep.core.model import KeyId, ProjectId, Stored

_MOST_BYTES = 8 << 20  # of each generation
_OBJECTS_BYTES = 2_500  # what the columns and the rest around an answer take
_LONGEST = 1 << 18


Columns = tuple[Any, ...]  # a row of the view `stored`


class Found(NamedTuple):
    """A row of the view `stored`, in its order."""

    seq: Seq
    project: ProjectId
    kind: int
    tag: bytes | None
    request_id: bytes | None
    alias: bytes | None
    model: str
    status: Any
    finish_reason: str | None
    upstream: str
    key: KeyId | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    duration_ms: int
    first_token_ms: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_micro: int | None
    metadata: str | None
    basis: Seq | None
    body: bytes


class _Known(NamedTuple):
    found: Found
    item: Stored
    size: int


class Recent:
    """Two generations: what is asked for stays in the newer one, the older one goes as a whole.

    For all threads: each step is one operation of a dictionary.
    """

    def __init__(self) -> None:
        self._newer: dict[Seq, _Known] = {}
        self._older: dict[Seq, _Known] = {}
        self._bytes = 0

    def get(self, row: Columns) -> Stored | None:
        seq = row[0]
        known = self._newer.get(seq)
        if known is not None and known.found == row:
            return known.item
        known = known or self._older.get(seq)
        if known is None:
            return None
        found = Found._make(row)
        item = _with_metadata(known, found)
        if item is not None:
            self.put(found, item)
        return item

    def put(self, found: Found, item: Stored) -> None:
        # Its answer counts once more for what it is shown as.
        size = len(found.body) + len(item.request) + 2 * len(item.answer) + _OBJECTS_BYTES
        if size > _LONGEST:
            return
        self.forget(found.seq)
        if self._bytes + size > _MOST_BYTES:
            self.age()
        self._newer[found.seq] = _Known(found, item, size)
        self._bytes += size

    def forget(self, seq: Seq) -> None:
        self._older.pop(seq, None)
        known = self._newer.pop(seq, None)
        if known is not None:
            self._bytes -= known.size

    def age(self) -> None:
        """What is not asked for until the next time goes then."""
        self._older, self._newer, self._bytes = self._newer, {}, 0


def _with_metadata(known: _Known, found: Found) -> Stored | None:
    """The same completion with the metadata it has now."""
    if known.found == found:
        return known.item
    if found.metadata is None or known.found._replace(metadata=found.metadata) != found:
        return None
    row = msgspec.structs.replace(known.item.row, metadata=found.metadata.encode())
    return msgspec.structs.replace(known.item, row=row)
