"""The nouns everything else speaks of."""

from typing import Literal, NamedTuple, NewType

from msgspec import Struct

from chatkeep.core.ids import CompletionId, Seq, encode
from chatkeep.core.metadata import Metadata

ProjectId = NewType("ProjectId", int)
KeyId = NewType("KeyId", int)

Status = Literal["complete", "partial", "failed_midstream"]
Order = Literal["asc", "desc"]
Scope = Literal["create", "read", "write", "admin", "root"]
STATUSES: tuple[Status, ...] = ("complete", "partial", "failed_midstream")
SCOPES: tuple[Scope, ...] = ("create", "read", "write", "admin", "root")


class Project(Struct, frozen=True):
    """One tenant. `secret` keys its hashes, so that equal content of two projects never meets."""

    id: ProjectId
    name: str
    secret: bytes
    store_by_default: bool = False


class Key(Struct, frozen=True):
    """An API key without its secret. Times are unix seconds."""

    id: KeyId
    project: Project
    hint: str
    scopes: frozenset[Scope]
    created_unix: int
    revoked_unix: int | None = None


class Usage(Struct, frozen=True):
    """Token counts as the upstream gave them, None where it gave none."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Row(Struct, frozen=True):
    """A stored completion without its body: what lists, filters and figures need.

    `metadata` is its JSON object; durations are in milliseconds, the cost in millionths of a US
    dollar, `request_id` is 16 bytes.
    """

    seq: Seq
    tag: bytes
    request_id: bytes
    model: str
    status: Status
    finish_reason: str | None
    usage: Usage
    duration_ms: int
    first_token_ms: int | None
    upstream: str
    key: KeyId | None
    preview: str
    metadata: bytes
    alias: str | None = None
    cost_micro: int | None = None

    @property
    def id(self) -> CompletionId:
        """The id clients know it by: an imported completion keeps the one it came with."""
        return encode(self.seq, self.tag) if self.alias is None else CompletionId(self.alias)


class Facts(NamedTuple):
    """What filters ask of a completion, and nothing else."""

    model: str
    status: Status
    finish_reason: str | None
    upstream: str
    key: KeyId | None
    metadata: bytes


class Stored(Struct, frozen=True):
    """A stored completion with its body as the record codec wrote it."""

    row: Row
    body: bytes


class Query(Struct, frozen=True):
    """Which completions a list shows: equality filters (AND), a time range and a place to go on.

    `after` is exclusive in the requested order; times are unix seconds, inclusive.
    """

    model: str | None = None
    status: Status | None = None
    finish_reason: str | None = None
    upstream: str | None = None
    key: KeyId | None = None
    metadata: Metadata = {}
    created_after: int | None = None
    created_before: int | None = None
    after: Seq | None = None
    order: Order = "desc"
    limit: int = 20


class Page(Struct, frozen=True):
    items: list[Stored]
    has_more: bool
