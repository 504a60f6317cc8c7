"""Records in memory."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from support.memory.claims import answered
from support.memory.data import Data

from chatkeep.core.model import ids
from chatkeep.core.model.completion import (
    Conversation,
    Facts,
    Order,
    Page,
    Project,
    Query,
    Row,
    Stored,
    Turn,
)
from chatkeep.core.model.ids import IMPORT_NODE, CompletionId, Name, Seq
from chatkeep.core.model.record import Record, Request
from chatkeep.core.model.usage import count_row
from chatkeep.core.ports.claims import Claim
from chatkeep.core.ports.records import Counted, Expired, Failure, Import
from chatkeep.errors import BodyExpired, RecordCorrupt, Refusal, StoreFailed


class MemoryRecords:
    node = 0
    encrypted = False

    def __init__(self, data: Data) -> None:
        self._data = data

    async def high_water(self) -> Seq | None:
        return max((seq for seq in self._data.used if ids.node_of(seq) == self.node), default=None)

    async def insert(
        self, project: Project, row: Row, record: Record, claim: Claim | None = None
    ) -> None:
        if row.seq in self._data.items or project.id not in self._data.projects:
            raise StoreFailed(detail="its place is taken, or it has no project")
        self._add(project, row, record)
        if claim is not None:
            answered(self._data, project, claim, row)

    async def import_many(
        self, project: Project, imports: Sequence[Import]
    ) -> list[Row | Failure | None]:
        return [self._import(project, one) for one in imports]

    async def alias(self, project: Project, id: str) -> Name | None:
        return self._alias(project, id)

    async def get(self, project: Project, name: Name) -> Stored | None:
        item = self._data.find(project, name)
        return None if item is None else item.stored

    async def request(self, project: Project, name: Name) -> Request | None:
        item = self._data.find(project, name)
        if item is not None and item.record is None:
            raise BodyExpired("completion_id", id=item.stored.id)
        return None if item is None or item.record is None else item.record.request

    async def conversation(
        self, project: Project, name: Name, after: Seq | None, order: Order, limit: int
    ) -> Conversation | None:
        one = self._data.find(project, name)
        if one is None:
            return None
        of_project = self._data.wanted(project, Query(after=after, order=order))
        found = [item for item in of_project if item.conversation == one.conversation]
        turns = [Turn(item.stored, self._data.id_of(item.parent)) for item in found[:limit]]
        return Conversation(turns, has_more=0 < limit < len(found))

    async def change_metadata(
        self, project: Project, name: Name, change: Callable[[bytes], bytes]
    ) -> Stored | None:
        item = self._data.find(project, name)
        if item is None:
            return None
        row = replace(item.row, metadata=change(item.row.metadata))
        item.stored = replace(item.stored, row=row)
        return item.stored

    async def change_metadata_many(
        self, project: Project, names: Sequence[Name], change: Callable[[bytes], bytes]
    ) -> list[Stored | Failure | None]:
        changed: list[Stored | Failure | None] = []
        for name in names:
            try:
                changed.append(await self.change_metadata(project, name, change))
            except (Refusal, RecordCorrupt) as failure:
                changed.append(failure)
        return changed

    async def delete(self, project: Project, name: Name) -> bool:
        item = self._data.find(project, name)
        if item is not None:
            del self._data.items[item.row.seq]
        return item is not None

    async def delete_many(self, project: Project, names: Sequence[Name]) -> list[bool | Failure]:
        return [await self.delete(project, name) for name in names]

    async def expire_bodies(self, project: Project, before: Seq, limit: int) -> Expired:
        found = [item for item in self._data.of(project) if item.record and item.row.seq < before]
        for item in found[:limit]:
            self._data.expire(item)
        done = len(found[:limit])
        return Expired(done, more=done == limit)

    async def page(self, project: Project, query: Query, *, damaged: bool = False) -> Page:
        found = self._data.wanted(project, query)
        shown = [item.stored for item in found[: query.limit]]
        return Page(shown, has_more=0 < query.limit < len(found))

    async def facts(self, project: Project, query: Query, limit: int) -> list[Facts]:
        return [_facts(item.row) for item in self._data.wanted(project, query)[:limit]]

    async def count(self, project: Project, query: Query, within_s: float) -> Counted:
        matched = len(self._data.wanted(project, query))
        return Counted(matched, True) if within_s or not matched else Counted(1, False)

    def _add(self, project: Project, row: Row, record: Record) -> None:
        self._data.add(project, row, record)
        count_row(self._data.totals, project.id, row)

    def _import(self, project: Project, one: Import) -> Row | None:
        known = self._alias(project, one.id)
        if known is not None and self._data.find(project, known) is not None:
            return None
        row = replace(one.row, request_id=ids.request_id_of(project.secret, one.id))
        own = ids.decode(one.id)
        if own is not None and self._data.find(project, own) is not None:
            return None
        if own is None or own.seq in self._data.items or not ids.is_near(own.seq, one.created_unix):
            seq = ids.next_import(one.created_unix, self._highest)
            tag = ids.tag_of(project.secret, row.request_id)
            row = replace(row, seq=seq, tag=tag, alias=one.id)
            self._data.aliases[project.id, one.id] = seq
        else:
            row = replace(row, seq=own.seq, tag=own.tag, alias=None)
            self._data.aliases.pop((project.id, one.id), None)
        self._add(project, row, one.record)
        return row

    def _alias(self, project: Project, id: str) -> Name | None:
        seq = self._data.aliases.get((project.id, id))
        if seq is None:
            return None
        request_id = ids.request_id_of(project.secret, id)
        return Name(seq, ids.tag_of(project.secret, request_id), CompletionId(id))

    def _highest(self, low: Seq, high: Seq) -> Seq | None:
        used = (seq for seq in self._data.used if ids.node_of(seq) == IMPORT_NODE)
        return max((seq for seq in used if low <= seq <= high), default=None)


def _facts(row: Row) -> Facts:
    return Facts(row.model, row.status, row.finish_reason, row.upstream, row.key, row.metadata)
