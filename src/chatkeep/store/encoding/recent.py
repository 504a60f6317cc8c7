"""The completions written and read last, as they come out of their rows: lists show the newest ones
again and again, and a body never changes.

A row is always read; what is remembered of it counts when every column is the same but its
metadata. So nothing stale is shown, whichever process wrote the file.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from chatkeep.core.model.completion import KeyId, ProjectId, Row, Stored
from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import Seq, compact

_MOST_BYTES = 8 << 20  # of each generation
_OBJECTS_BYTES = 2_500  # what the columns and the rest around an answer take
_LONGEST = 1 << 18


Columns = tuple[Any, ...]  # a row of the view `stored`


class Found(NamedTuple):
    """A row of the view `stored`, in its order."""

    seq: Seq
    project: ProjectId
    label_set: int
    tag: bytes | None
    request_id: bytes | None
    alias: bytes | None
    form: FormName
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
    base: Seq | None
    parent: Seq | None
    body: bytes


_METADATA = Found._fields.index("metadata")


class Written(Struct, frozen=True, gc=False):
    """A completion as it was written: it need not be read to be shown.

    `known_as` is its id as it stands in the answer.
    """

    row: Row
    request: bytes
    answer: bytes
    known_as: str
    upstream_id: str | None

    def stored(self) -> Stored | None:
        """None when its answer is kept under another id than it stands there."""
        id = self.row.id
        if id != self.known_as:
            return None
        theirs = None if self.upstream_id is None else compact(self.upstream_id)
        return Stored(id, self.row, self.request, self.answer, theirs)


class _Known(Struct, frozen=True, gc=False):
    columns: Columns
    item: Stored | Written
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
        if known is not None and known.columns == row and isinstance(known.item, Stored):
            return known.item
        known = known or self._older.get(seq)
        item = None if known is None else _as_now(known, row)
        if item is not None:
            self.put(row, item)
        return item

    def put(self, row: Columns, item: Stored | Written) -> None:
        seq, body = row[0], row[-1]
        # Its answer counts once more for what it is shown as.
        size = len(body) + len(item.request) + 2 * len(item.answer) + _OBJECTS_BYTES
        if size > _LONGEST:
            return
        before = self._newer.get(seq)
        if before is not None:
            self._bytes -= before.size
        if self._bytes + size > _MOST_BYTES:
            self.age()
        self._newer[seq] = _Known(row, item, size)  # there it is looked for first
        self._bytes += size

    def forget(self, seq: Seq) -> None:
        self._older.pop(seq, None)
        known = self._newer.pop(seq, None)
        if known is not None:
            self._bytes -= known.size

    def age(self) -> None:
        """What is not asked for until the next time goes then."""
        self._older, self._newer, self._bytes = self._newer, {}, 0


def _as_now(known: _Known, row: Columns) -> Stored | None:
    """The same completion with the metadata it has now; None when it is another one."""
    item = known.item.stored() if isinstance(known.item, Written) else known.item
    if item is None or known.columns == row:
        return item
    metadata = row[_METADATA]
    was = known.columns
    if metadata is None or (*was[:_METADATA], metadata, *was[_METADATA + 1 :]) != row:
        return None
    changed = msgspec.structs.replace(item.row, metadata=metadata.encode())
    return msgspec.structs.replace(item, row=changed)
