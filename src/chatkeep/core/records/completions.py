"""The stored completions of a project: list, retrieve, update, delete, messages."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from chatkeep.core.forms import CHAT
from chatkeep.core.json import spans
from chatkeep.core.model import ids
from chatkeep.core.model.completion import Metadata, Project, Query, Stored
from chatkeep.core.model.ids import Name, Seq
from chatkeep.core.ports.records import Records
from chatkeep.core.records.filters import (
    RECORDS,
    ListRequest,
    conversation_query,
    list_request,
    message_query,
)
from chatkeep.core.wire import metadata
from chatkeep.core.wire.attachments import Attachment
from chatkeep.core.wire.etag import etag_of, holds
from chatkeep.core.wire.query import Pairs, did_you_mean
from chatkeep.errors import (
    AttachmentNotFound,
    BodyExpired,
    CompletionNotFound,
    InvalidValue,
    MetadataChanged,
    MissingParameter,
    SearchEncrypted,
    SearchOff,
    UnknownParameter,
)

T = TypeVar("T")
Change = Callable[[bytes], bytes]  # of a metadata map, as JSON


_METADATA = msgspec.json.Decoder(Metadata)


class Shown(Struct, frozen=True):
    """A stored object, or its metadata alone, and the ETag of that, its only part that changes."""

    body: bytes
    etag: str


class Completions:
    """Every operation raises CompletionNotFound for what the project does not hold."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def page(self, project: Project, pairs: Pairs) -> bytes:
        """The list envelope with stored objects (CONTRACT.md §1.3)."""
        return await self._page(project, list_request(pairs), CHAT.show)

    async def records(self, project: Project, pairs: Pairs) -> bytes:
        """The list envelope with the stored objects and what else is known of each."""
        return await self._page(project, list_request(pairs, RECORDS), CHAT.show_kept)

    async def retrieve(self, project: Project, id: str) -> Shown:
        return _shown(await self._named(project, id, self._records.get))

    async def update(self, project: Project, id: str, body: bytes, if_match: str | None) -> Shown:
        """Replaces the metadata; MetadataChanged when it is not what If-Match names."""
        new = spans.dumps(_update_body(body))
        return _shown(await self._change(project, id, lambda _: new, if_match))

    async def merge(self, project: Project, id: str, body: bytes, if_match: str | None) -> Shown:
        """Changes single pairs of the metadata and shows the whole map; the same errors."""
        patch = metadata.checked_patch(spans.loads(body))
        change = merging(patch)
        changed = (await self._change(project, id, change, if_match)).row.metadata
        return Shown(changed, etag_of(changed))

    async def delete(self, project: Project, id: str) -> bytes:
        await self._named(project, id, self._records.delete)
        return CHAT.show_deleted(id)

    async def messages(self, project: Project, id: str, pairs: Pairs) -> bytes:
        """The input messages, never the model's answer (CONTRACT.md §1.7)."""
        wanted = message_query(pairs)
        messages = (await self._named(project, id, self._records.request)).messages
        places = range(len(messages))
        if wanted.after is not None:
            at = _message_index(id, wanted.after)
            places = places[at + 1 :] if wanted.order == "asc" else places[:at]
        if wanted.order == "desc":
            places = places[::-1]
        shown = places[: wanted.limit]
        more = 0 < wanted.limit < len(places)
        names = [f"{id}-{place}" for place in shown]
        items = (
            CHAT.show_element(name, messages[place])
            for name, place in zip(names, shown, strict=True)
        )
        return CHAT.show_list(items, *_ends(names), more)

    async def conversation(self, project: Project, id: str, pairs: Pairs) -> bytes:
        """The completions of its conversation, in every branch, each with its parent."""
        asked = conversation_query(pairs)
        after = None if asked.after is None else await self._position(project, asked.after)
        found = await self._named(
            project,
            id,
            lambda project, name: self._records.conversation(
                project, name, after, asked.order, asked.limit
            ),
        )
        names = [turn.item.id for turn in found.turns]
        return CHAT.show_list(map(CHAT.show_turn, found.turns), *_ends(names), found.has_more)

    async def attachment(self, project: Project, id: str, number: str) -> Attachment:
        """The image, sound or file of this number, from 0, in its messages. AttachmentNotFound."""
        messages = (await self._named(project, id, self._records.request)).messages
        wanted = int(number) if number.isdecimal() and len(number) < 10 else -1
        for index, found in enumerate(CHAT.attachments(messages)):
            if index == wanted:
                return found
        raise AttachmentNotFound("part", number=number, id=id)

    async def raw_request(self, project: Project, id: str) -> bytes:
        """The request's bytes as the client sent them."""
        return (await self._named(project, id, self._records.request)).whole()

    async def raw_answer(self, project: Project, id: str) -> bytes:
        """The answer's bytes as the client got them; of a stream, the completion assembled."""
        item = await self._named(project, id, self._records.get)
        if not item.has_body:
            raise BodyExpired("completion_id", id=item.id)
        return item.answer

    async def query(self, project: Project, asked: ListRequest) -> Query:
        """What the store is asked for. Raises SearchOff, SearchEncrypted, InvalidValue."""
        if asked.query.q is not None and self._records.encrypted:
            raise SearchEncrypted("q")
        if asked.query.q is not None and not project.full_text:
            raise SearchOff("q")
        after = None if asked.after is None else await self._position(project, asked.after)
        return msgspec.structs.replace(asked.query, form=CHAT.name, after=after)

    async def _page(
        self, project: Project, asked: ListRequest, show: Callable[[Stored], bytes]
    ) -> bytes:
        page = await self._records.page(project, await self.query(project, asked))
        ends = [item.id for item in (*page.items[:1], *page.items[-1:])]
        return CHAT.show_list(map(show, page.items), *_ends(ends), page.has_more)

    async def _change(
        self, project: Project, id: str, change: Change, if_match: str | None
    ) -> Stored:
        guarded = change if if_match is None else _if_matching(change, if_match)
        return await self._named(
            project,
            id,
            lambda project, name: self._records.change_metadata(project, name, guarded),
        )

    async def _named(
        self, project: Project, id: str, act: Callable[[Project, Name], Awaitable[T | None]]
    ) -> T:
        """What `act` finds under an id: our own form first, then the ids of imports."""
        own = ids.decode(id)
        found = None if own is None else await act(project, own)
        if not found:
            alias = await self._records.alias(project, id)
            found = None if alias is None else await act(project, alias)
        if not found:
            raise CompletionNotFound("completion_id", id=id)
        return found

    async def _position(self, project: Project, after: str) -> Seq:
        """Where a page goes on: any well-formed id is a place, deleted or not."""
        named = await self._records.alias(project, after) or ids.decode(after)
        if named is None:
            raise InvalidValue("after", got=after, expected="Expected the id of a completion.")
        return named.seq


def _shown(item: Stored) -> Shown:
    return Shown(CHAT.show(item), etag_of(item.row.metadata))


def _ends(names: Sequence[str]) -> tuple[str | None, str | None]:
    return (names[0], names[-1]) if names else (None, None)


def _update_body(body: bytes) -> Metadata:
    """The metadata an update sets, or what is wrong with its body."""
    values = spans.fields(body)
    if "metadata" not in values:
        raise MissingParameter("metadata")
    for key in values:
        if key != "metadata":
            raise UnknownParameter(key, hint=did_you_mean(key, ("metadata",)))
    return metadata.checked(spans.loads(values["metadata"]))


def merging(patch: metadata.Patch) -> Change:
    return lambda current: spans.dumps(metadata.merged(_METADATA.decode(current), patch))


def _if_matching(change: Change, if_match: str) -> Change:
    def guarded(current: bytes) -> bytes:
        if not holds(if_match, etag_of(current)):
            raise MetadataChanged
        return change(current)

    return guarded


def _message_index(id: str, after: str) -> int:
    index = after.removeprefix(f"{id}-")
    if index == after or not index.isdecimal() or len(index) > 9:
        raise InvalidValue("after", got=after, expected=f"Expected the id of a message of {id}.")
    return int(index)
