"""Records: completions with their requests, kept, found, changed and deleted."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from chatkeep.core.model.completion import (
    Conversation,
    Facts,
    Order,
    Page,
    Project,
    Query,
    Row,
    Stored,
)
from chatkeep.core.model.ids import Name, Seq
from chatkeep.core.model.record import Record, Request
from chatkeep.core.ports.claims import Claim
from chatkeep.errors import RecordCorrupt, Refusal

# What kept one item of several from being written; the others were all the same.
Failure = Refusal | RecordCorrupt


class Import(NamedTuple):
    """A completion from elsewhere: the id it has there, when it was created, and what is kept.

    `row` has any seq, tag and request id: the store gives it its own.
    """

    id: str
    created_unix: int
    row: Row
    record: Record


class Counted(NamedTuple):
    """How many there are; not `complete` when there was no time to count them all."""

    matched: int
    complete: bool


class Expired(NamedTuple):
    """How many bodies were dropped, and whether there may be more to drop."""

    done: int
    more: bool


class Records(Protocol):
    """Holds the records of all projects.

    A change has been committed when its await returns; several asked for at once may share a
    commit, and one that fails takes no other with it. Every method raises StoreBusy when no more
    can be taken now or a read takes too long, and StoreFailed when it failed; then nothing was
    changed. What cannot be read as it was written raises RecordCorrupt. A name of another project
    is answered like one that does not exist.
    """

    node: int  # the number that is in the seqs given out here
    encrypted: bool  # then nothing can be found by its words

    async def high_water(self) -> Seq | None:
        """The highest seq with this node's number ever used, deleted ones included."""
        ...

    async def insert(
        self, project: Project, row: Row, record: Record, claim: Claim | None = None
    ) -> None:
        """Keeps a record, counts it in the sums of usage, and with `claim` notes that it answered
        that idempotency key, if the claim's owner still has it; all in one commit.

        Raises StoreFailed when its seq is taken or the project does not exist.
        """
        ...

    async def import_many(
        self, project: Project, imports: Sequence[Import]
    ) -> list[Row | Failure | None]:
        """Keeps completions under the ids they came with: for each its row as kept, None when the
        project has it already, or why it was not kept.

        An id of our form keeps its seq unless that is taken or is more than a day from its
        `created_unix`; every other id gets the next free seq of that second and an alias.
        """
        ...

    async def alias(self, project: Project, id: str) -> Name | None:
        """The name of the record imported under this id, or of one that was and is deleted now."""
        ...

    async def get(self, project: Project, name: Name) -> Stored | None:
        """A record as lists and retrieves show it."""
        ...

    async def request(self, project: Project, name: Name) -> Request | None:
        """The request of a record, byte for byte. Raises BodyExpired when it is not kept longer."""
        ...

    async def conversation(
        self, project: Project, name: Name, after: Seq | None, order: Order, limit: int
    ) -> Conversation | None:
        """Up to `limit` records of the conversation this one is part of, in every branch.

        They come in the order of their seqs; `after` is where to go on, exclusive. None when there
        is no such record.
        """
        ...

    async def change_metadata(
        self, project: Project, name: Name, change: Callable[[bytes], bytes]
    ) -> Stored | None:
        """Sets a record's metadata to what `change` makes of it (JSON objects, as bytes) and gives
        the record as it is then; None when there is none.

        Nothing else changes it in between. A Refusal that `change` raises comes out here and leaves
        the record as it was.
        """
        ...

    async def change_metadata_many(
        self, project: Project, names: Sequence[Name], change: Callable[[bytes], bytes]
    ) -> list[Stored | Failure | None]:
        """Does for each what `change_metadata` does: the record as it is then, None when there is
        none, or why it was not changed."""
        ...

    async def delete(self, project: Project, name: Name) -> bool:
        """Deletes a record and all it said that no other says as well. False when there is none."""
        ...

    async def delete_many(self, project: Project, names: Sequence[Name]) -> list[bool | Failure]:
        """Does for each what `delete` does: whether there was one, or why it was not deleted."""
        ...

    async def expire_bodies(self, project: Project, before: Seq, limit: int) -> Expired:
        """Drops the requests and answers of up to `limit` records below a seq, the oldest first.

        Rows, metadata and figures stay. Of none dropped there may still be `more`: a store looks
        only so far at a time. An error is raised when it kept all of them from being dropped.
        """
        ...

    async def page(self, project: Project, query: Query, *, damaged: bool = False) -> Page:
        """The records a query wants, in its order, from where it goes on up to its limit.

        With `damaged` those that cannot be read are on it as well, with what their rows say;
        without, one of them raises RecordCorrupt.
        """
        ...

    async def facts(self, project: Project, query: Query, limit: int) -> list[Facts]:
        """Of up to `limit` records that a query wants, in its order, what filters compare.

        The query's own limit does not count.
        """
        ...

    async def count(self, project: Project, query: Query, within_s: float) -> Counted:
        """How many records a query wants, its limit aside; of many, as far as `within_s` seconds
        suffice, at least one if there is one.
        """
        ...
