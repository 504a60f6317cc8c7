"""What the core needs from outside, as Protocols: the store, the upstreams, and who watches.

Backends implement these; `web/app.py` and `cli` are the only places that name one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeVar

from chatkeep.core.model.completion import (
    Conversation,
    Facts,
    Key,
    KeyId,
    Order,
    Page,
    Project,
    ProjectId,
    Query,
    Row,
    Scope,
    Status,
    Stored,
)
from chatkeep.core.model.ids import Name, Seq
from chatkeep.core.model.record import Record, Request
from chatkeep.core.model.usage import Account, StatsQuery, Summed, Sums
from chatkeep.core.wire.headers import Headers

T = TypeVar("T")


class UpstreamAnswer(Protocol):
    """An upstream's answer whose head has arrived and whose body is still to be read."""

    status: int
    headers: Headers  # content coding already undone

    async def read(self) -> bytes:
        """The next bytes as they arrived, b"" at the end.

        Raises `UpstreamFailed` when the connection breaks, `UpstreamTimeout` when nothing comes,
        and either of them once `close` was called.
        """
        ...

    def arrived(self) -> bytes:
        """All that `read` would give, when it is there up to its end; else b"".

        Never what has a content coding to be undone.
        """
        ...

    def close(self) -> None:
        """Stop now: drops the connection when the body was not read to its end. May be repeated."""
        ...


class Upstream(Protocol):
    """One OpenAI-compatible endpoint."""

    name: str

    async def post(self, path: str, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamAnswer:
        """POST `body` to `<base_url><path>` (path like `/chat/completions`); returns at the head.

        Raises `UpstreamUnreachable`, `UpstreamTimeout`, `UpstreamFailed`.
        """
        ...

    async def get(self, path: str) -> UpstreamAnswer:
        """GET `<base_url><path>`; the same errors."""
        ...

    async def aclose(self) -> None: ...


class Route(NamedTuple):
    """Where a model's calls go, and what is edited for it (DESIGN.md §5).

    `model` is the name the upstream knows the model by, None to leave it as asked for. `pause_s` is
    waited before the call: a repeated one gives the upstream time.
    """

    upstream: Upstream
    model: str | None = None
    keep_store: bool = False
    add_usage: bool = True
    forward_headers: tuple[bytes, ...] = ()
    pause_s: float = 0.0


class Upstreams(Protocol):
    """The upstreams a server has."""

    def routes(self, model: str) -> Sequence[Route]:
        """Where to try, in this order; never empty."""
        ...

    def all(self) -> Sequence[Upstream]: ...

    async def aclose(self) -> None: ...


class Claim(NamedTuple):
    """An idempotency key and the request it was sent with, as digests; `owner` works on it."""

    key: bytes
    request: bytes
    owner: bytes


class ClaimState(NamedTuple):
    """Who has an idempotency key: we (`mine`), nobody's request but another body's (`other_body`),
    the completion that answered it (`answered`), or, with none of them, another call in progress.
    """

    mine: bool = False
    other_body: bool = False
    answered: Name | None = None


class Expiry(NamedTuple):
    """Whether a body was let go of, and whether there may be more."""

    done: bool
    more: bool


class AccountStore(Protocol):
    """Keeps projects and keys; the rules of `Store` hold. `change` may raise a Refusal."""

    async def project(self, name: str) -> Project | None: ...

    async def projects(self) -> list[Project]: ...

    async def add_project(
        self, name: str, now_unix: int, change: Callable[[Project], Project]
    ) -> Project | None:
        """A new project with the settings `change` gives it; None when the name is taken."""
        ...

    async def change_project(
        self, project: ProjectId, change: Callable[[Project], Project]
    ) -> Project | None:
        """Sets the settings to what `change` makes of the locked row's."""
        ...

    async def key(self, digest: bytes) -> Key | None:
        """The key with this digest of its secret, ended ones included."""
        ...

    async def key_of(self, id: KeyId, project: ProjectId | None = None) -> Key | None:
        """The key with this number, in the project if one is given."""
        ...

    async def keys(self) -> list[Key]: ...

    async def add_key(
        self,
        project: str,
        digest: bytes,
        hint: str,
        scopes: frozenset[Scope],
        now_unix: int,
        *,
        name: str = "",
        expires_unix: int | None = None,
    ) -> Key:
        """Adds a key to the project of that name, which is created when there is none."""
        ...

    async def change_key(self, key: KeyId, change: Callable[[Key], Key]) -> Key | None:
        """Sets a key's name and expiry to what `change` makes of the locked row's."""
        ...

    async def revoke_key(self, key: KeyId, now_unix: int) -> bool:
        """False when there is no such key."""
        ...

    async def note_used(self, used: Mapping[KeyId, int]) -> None:
        """When keys were last used. No change that `keys_version` tells of."""
        ...

    async def keys_version(self) -> int:
        """A number that differs after any change of keys or projects, by whatever process."""
        ...


class Store(AccountStore, Protocol):
    """Keeps completions, projects and keys. A write has been committed when its await returns.

    Raises `StoreBusy` when it cannot take more now and `StoreFailed` when the write failed; then
    nothing was changed. Reads raise `RecordCorrupt` for what does not come out as it went in. A
    name of another project is answered like one that does not exist.
    """

    node: int
    encrypted: bool  # then nothing can be found by what it says

    async def high_water(self) -> Seq | None:
        """The highest seq this node ever used, deleted ones included."""
        ...

    async def insert(
        self, project: Project, row: Row, record: Record, claim: Claim | None = None
    ) -> None:
        """Commits a completion, and with it that the claim's call has been answered by it."""
        ...

    async def claim(self, project: Project, claim: Claim, now_unix: int) -> ClaimState:
        """Takes an idempotency key for the claim's owner, or says who has it.

        A key whose lease has run out, or whose day is over, can be taken.
        """
        ...

    async def renew(self, project: Project, claim: Claim, now_unix: int) -> None: ...

    async def release(self, project: Project, claim: Claim) -> None:
        """Gives back a key that was claimed and not answered."""
        ...

    async def insert_foreign(
        self, project: Project, id: str, created_unix: int, row: Row, record: Record
    ) -> Row | None:
        """Imports a completion under the id it came with; None when the project has it already.

        An id of our form keeps its place unless another row has it or it is more than a day from
        its `created` second; every other id gets the next free place of that second and an alias.
        `row` comes with any seq, tag and request id.
        """
        ...

    async def alias(self, project: Project, id: str) -> Name | None:
        """Where the completion imported under this id stands, or stood before its deletion."""
        ...

    async def get(self, project: Project, name: Name) -> Stored | None: ...

    async def request(self, project: Project, name: Name) -> Request | None:
        """The request of a completion, put together with what its conversation said before.

        Raises BodyExpired.
        """
        ...

    async def conversation(
        self, project: Project, name: Name, after: Seq | None, order: Order, limit: int
    ) -> Conversation | None:
        """The completions of its conversation, in every branch; `after` is exclusive."""
        ...

    async def change_metadata(
        self, project: Project, name: Name, change: Callable[[bytes], bytes]
    ) -> Stored | None:
        """Sets the metadata to what `change` makes of the locked row's (JSON objects).

        A Refusal that `change` raises comes out here and leaves the row as it was.
        """
        ...

    async def delete(self, project: Project, name: Name) -> bool: ...

    async def expire(self, project: Project, below: Seq) -> Expiry:
        """Lets go of the request and the answer of the oldest completion below that has them.

        Its row, metadata and figures stay.
        """
        ...

    async def upkeep(self, now_unix: int) -> None:
        """Drops what a store keeps for itself and needs no more, a little at a time.

        To be called now and then, as every hour; `now_unix` is in seconds.
        """
        ...

    async def page(self, project: Project, query: Query, *, damaged: bool = False) -> Page:
        """With `damaged` those that cannot be read are on it as well, as their rows have them."""
        ...

    async def look(self, project: Project, query: Query, read: Callable[[Iterable[Facts]], T]) -> T:
        """What `read` makes of the completions the query wants, of which it takes what it needs.

        It runs beside the event loop. The query's limit does not count.
        """
        ...

    async def add_usage(self, sums: Sequence[tuple[Account, Sums]]) -> None:
        """Adds to the sums of usage; `insert` does so by itself for the completion it commits."""
        ...

    async def usage(self, project: Project, query: StatsQuery, limit: int) -> list[Summed]:
        """The newest sums, and of a period those of the most calls first."""
        ...

    def forget(self) -> None:
        """Lets go of what it remembers of completions that were not read since the last time.

        Another process may have deleted them. What is deleted here is forgotten with that.
        """
        ...

    async def aclose(self) -> None: ...


class Inspection(Protocol):
    """Holds all that a store keeps against itself."""

    checked: int  # completions so far

    def faults(self) -> Iterator[str]:
        """What is wrong, a sentence each, as it is found; nothing of what completions say."""
        ...


EncryptionState = Literal[
    "off", "being encrypted", "on", "changing its data key", "being decrypted"
]
EncryptionWish = Literal["on", "off", "rekey"]


class Rewritten(NamedTuple):
    """How many of the contents that were not as wanted are now; `damaged` ones stay."""

    done: int
    total: int
    damaged: int


class Encryption(Protocol):
    """Changes how a store is kept. Keys are 32 bytes."""

    def state(self) -> EncryptionState: ...

    def left(self) -> int:
        """How many contents are not yet as wanted."""
        ...

    def change(self, wish: EncryptionWish, master: bytes) -> None:
        """Begins a change; what is written from now on is as wanted.

        Raises StoreLocked when others are at the store, Fault when there is nothing to change, or
        another change is under way.
        """
        ...

    def rewrite(self, master: bytes | None) -> Iterator[Rewritten]:
        """Finishes a change, also while a server serves: does some, and says how far it is.

        It can be broken off and repeated. A change is not finished while something is damaged.
        """
        ...

    def rotate(self, master: bytes, new: bytes) -> None:
        """Has the store open with another key from now on. Raises Fault when it is plain."""
        ...


class Watcher(Protocol):
    """Who is told what became of completions: metrics and logs."""

    def stored(self, status: Status) -> None: ...

    def not_stored(self, reason: str, error: Exception | None) -> None: ...
