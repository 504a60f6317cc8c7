"""The nouns everything else speaks of."""

from typing import Literal, NamedTuple, NewType

from msgspec import Struct

from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import CompletionId, Seq, encode, expanded

Metadata = dict[str, str]
ProjectId = NewType("ProjectId", int)
KeyId = NewType("KeyId", int)

Status = Literal["complete", "partial", "failed_midstream"]
Order = Literal["asc", "desc"]
Scope = Literal["create", "read", "write", "admin", "root"]
STATUSES: tuple[Status, ...] = ("complete", "partial", "failed_midstream")
SCOPES: tuple[Scope, ...] = ("create", "read", "write", "admin", "root")


class Project(Struct, frozen=True):
    """One tenant. `secret` keys its hashes, so that equal content of two projects never meets.

    From `store_by_default` on its settings, which core/accounts/projects.py describes.
    """

    id: ProjectId
    name: str
    secret: bytes
    created_unix: int = 0
    store_by_default: bool = False
    full_text: bool = True
    retain_days: int | None = None
    retain_body_days: int | None = None
    upstreams: tuple[str, ...] | None = None
    max_concurrent: int | None = None
    requests_per_minute: int | None = None
    key_max_concurrent: int | None = None
    key_requests_per_minute: int | None = None


class Key(Struct, frozen=True):
    """An API key without its secret. Times are unix seconds."""

    id: KeyId
    project: Project
    hint: str
    scopes: frozenset[Scope]
    created_unix: int
    revoked_unix: int | None = None
    name: str = ""
    expires_unix: int | None = None
    last_used_unix: int | None = None


class Usage(Struct, frozen=True, gc=False):
    """Token counts as the upstream gave them, None where it gave none."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Row(Struct, frozen=True, gc=False):
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
    metadata: bytes
    alias: str | None = None
    cost_micro: int | None = None
    form: FormName = "chat.completion"

    @property
    def id(self) -> CompletionId:
        """The id clients know it by: an imported completion keeps the one it came with."""
        if self.alias is not None:
            return CompletionId(self.alias)
        return encode(self.seq, self.tag, self.form)


class Facts(NamedTuple):
    """What filters ask of a completion, and nothing else."""

    model: str
    status: Status
    finish_reason: str | None
    upstream: str
    key: KeyId | None
    metadata: bytes


class Stored(Struct, frozen=True):
    """A stored completion: the answer as the client got it, the request without its messages.

    `id` is its row's, `theirs` the one the upstream gave it, None for none. Without its body,
    request and answer have figures only. `halves` is what core/wire/chat/stored.py has made of it,
    before and behind its metadata, which alone may change.
    """

    id: CompletionId
    row: Row
    request: bytes
    answer: bytes
    theirs: bytes | None = None  # as `compact` keeps it
    has_body: bool = True
    halves: dict[str, tuple[bytes, bytes]] = {}

    @property
    def upstream_id(self) -> str | None:
        return None if self.theirs is None else expanded(self.theirs)


class Turn(Struct, frozen=True):
    """A completion in its conversation; `parent` is the one before it, None when there is none."""

    item: Stored
    parent: CompletionId | None


class Conversation(Struct, frozen=True):
    turns: list[Turn]
    has_more: bool


class Query(Struct, frozen=True):
    """Which completions a list shows: equality filters (AND), a time range and a place to go on.

    `form` is a wire format, None for any. `q` asks for words and phrases. `after` is exclusive in
    the requested order; times are unix seconds, inclusive.
    """

    form: FormName | None = None
    model: str | None = None
    status: Status | None = None
    finish_reason: str | None = None
    upstream: str | None = None
    key: KeyId | None = None
    metadata: Metadata = {}
    q: str | None = None
    created_after: int | None = None
    created_before: int | None = None
    after: Seq | None = None
    order: Order = "desc"
    limit: int = 20


class Page(Struct, frozen=True):
    items: list[Stored]
    has_more: bool
