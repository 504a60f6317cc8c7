"""The stored completions of a project: list, retrieve, update, delete, messages."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from chatkeep.core import ids, jsonspan, metadata, stored
from chatkeep.core.etag import etag_of, holds
from chatkeep.core.filters import (
    ListQuery,
    Pairs,
    did_you_mean,
    list_query,
    message_query,
)
from chatkeep.core.ids import CompletionId, Name, Seq
from chatkeep.core.model import Project, Query, Stored
from chatkeep.core.ports import Store
from chatkeep.core.record import Codec
from chatkeep.errors import (
    CompletionNotFound,
    InvalidValue,
    MetadataChanged,
    MissingParameter,
    UnknownParameter,
)

T = TypeVar("T")

_UPDATE = ("metadata",)


class Shown(Struct, frozen=True):
    """A stored object and the ETag of its metadata, its only part that changes."""

    body: bytes
    etag: str


class Library:
    """Every operation raises CompletionNotFound for what the project does not hold."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._codec = Codec()

    async def page(self, project: Project, pairs: Pairs) -> bytes:
        """The list envelope with stored objects (CONTRACT.md §1.3)."""
        page = await self._store.page(project, await self._query(project, list_query(pairs)))
        items = [self._object(item) for item in page.items]
        ends = [item.row.id for item in (*page.items[:1], *page.items[-1:])]
        return stored.list_body(items, *_ends(ends), page.has_more)

    async def retrieve(self, project: Project, id: str) -> Shown:
        return self._shown(await self._get(project, id))

    async def update(self, project: Project, id: str, body: bytes, if_match: str | None) -> Shown:
        """Replaces the metadata; MetadataChanged when it is not what If-Match names."""
        change = _replacing(jsonspan.dumps(_update_body(body)), if_match)
        return self._shown(
            await self._named(
                project, id, lambda name: self._store.change_metadata(project, name, change)
            )
        )

    async def delete(self, project: Project, id: str) -> bytes:
        await self._named(project, id, lambda name: self._store.delete(project, name))
        return b'{"object":"chat.completion.deleted","id":%s,"deleted":true}' % jsonspan.dumps(id)

    async def messages(self, project: Project, id: str, pairs: Pairs) -> bytes:
        """The input messages, never the model's answer (CONTRACT.md §1.7)."""
        wanted = message_query(pairs)
        item = await self._get(project, id)
        record = self._codec.decode(item.body)
        items = stored.message_items(item.row.id, record.request.whole())
        if wanted.after is not None:
            at = _message_index(item.row.id, wanted.after)
            items = items[at + 1 :] if wanted.order == "asc" else items[:at]
        if wanted.order == "desc":
            items.reverse()
        shown = items[: wanted.limit]
        more = 0 < wanted.limit < len(items)
        ends = _ends([name for name, _ in shown])
        return stored.list_body((body for _, body in shown), *ends, more)

    async def raw_request(self, project: Project, id: str) -> bytes:
        """The request's bytes as the client sent them."""
        return self._codec.decode((await self._get(project, id)).body).request.whole()

    async def raw_answer(self, project: Project, id: str) -> bytes:
        """The answer's bytes as the client got them; of a stream, the completion assembled."""
        return self._codec.decode((await self._get(project, id)).body).answer.whole()

    async def _get(self, project: Project, id: str) -> Stored:
        return await self._named(project, id, lambda name: self._store.get(project, name))

    async def _named(
        self, project: Project, id: str, act: Callable[[Name], Awaitable[T | None]]
    ) -> T:
        """What `act` finds under an id: our own form first, then the ids of imports."""
        own = ids.decode(id)
        found = None if own is None else await act(own)
        if not found:
            alias = await self._store.alias(project, id)
            found = None if alias is None else await act(alias)
        if not found:
            raise CompletionNotFound("completion_id", id=id)
        return found

    async def _query(self, project: Project, asked: ListQuery) -> Query:
        after = None if asked.after is None else await self._position(project, asked.after)
        return Query(
            model=asked.model,
            metadata=asked.metadata,
            created_after=asked.created_after,
            created_before=asked.created_before,
            after=after,
            order=asked.order,
            limit=asked.limit,
        )

    async def _position(self, project: Project, after: str) -> Seq:
        """Where a page goes on: any well-formed id is a place, deleted or not."""
        named = await self._store.alias(project, after) or ids.decode(after)
        if named is None:
            raise InvalidValue("after", got=after, expected="Expected the id of a completion.")
        return named.seq

    def _object(self, item: Stored) -> bytes:
        record = self._codec.decode(item.body)
        return stored.completion(item.row, record.request.whole(), record.answer.whole())

    def _shown(self, item: Stored) -> Shown:
        return Shown(self._object(item), etag_of(item.row.metadata))


def _ends(names: Sequence[str]) -> tuple[str | None, str | None]:
    return (names[0], names[-1]) if names else (None, None)


def _update_body(body: bytes) -> metadata.Metadata:
    members = jsonspan.members(body)
    values = {member.key: body[member.value : member.end] for member in members}
    if "metadata" not in values:
        raise MissingParameter("metadata")
    for key in values:
        if key not in _UPDATE:
            raise UnknownParameter(key, hint=did_you_mean(key, _UPDATE))
    return metadata.checked(jsonspan.loads(values["metadata"]))


def _replacing(new: bytes, if_match: str | None) -> Callable[[bytes], bytes]:
    def change(current: bytes) -> bytes:
        if if_match is not None and not holds(if_match, etag_of(current)):
            raise MetadataChanged
        return new

    return change


def _message_index(id: CompletionId, after: str) -> int:
    index = after.removeprefix(f"{id}-")
    if index == after or not index.isdecimal() or len(index) > 9:
        raise InvalidValue("after", got=after, expected=f"Expected the id of a message of {id}.")
    return int(index)
