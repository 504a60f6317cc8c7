"""Rows of the completion table as the model has them, and back."""

from typing import Any

from msgspec import Struct

from chatkeep.core.model import ids
from chatkeep.core.model.completion import Project, Row, Stored, Usage
from chatkeep.core.model.ids import CompletionId, Seq, encode
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding.recent import Columns, Found
from chatkeep.store.sqlite.bodies import Bodies


class Identity(Struct, frozen=True, gc=False):
    """What a completion is called, put together from what is kept of it."""

    tag: bytes
    request_id: bytes
    alias: str | None


def identity(
    secret: bytes,
    seq: Seq,
    tag: bytes | None,
    request_id: bytes | None,
    alias: bytes | None,
) -> Identity:
    known = None if alias is None else ids.expanded(alias)
    if request_id is None:
        own = "" if tag is None else encode(seq, tag)
        request_id = ids.request_id_of(secret, own if known is None else known)
    elif len(request_id) < ids.REQUEST_ID_BYTES:
        request_id = ids.request_id(request_id)
    return Identity(tag or ids.tag_of(secret, request_id), request_id, known)


def of_found(found: Found, project: Project) -> Identity:
    return identity(project.secret, found.seq, found.tag, found.request_id, found.alias)


def id_of(seq: Seq, named: Identity) -> CompletionId:
    """The id clients know it by."""
    return encode(seq, named.tag) if named.alias is None else CompletionId(named.alias)


def stored(found: Found, project: Project, bodies: Bodies) -> Stored:
    """Raises RecordCorrupt."""
    known = bodies.recent.get(found)
    if known is None:
        named = of_found(found, project)
        known = read(found, named, id_of(found.seq, named), bodies)
    return known


def read(found: Found, named: Identity, id: CompletionId, bodies: Bodies) -> Stored:
    """The same of one that is not remembered; from now on it is."""
    said = bodies.outside(found.seq, found.body, id)
    row = _row(found, named, said.metadata)
    item = Stored(id, row, said.request, said.answer, said.upstream_id, said.has_body)
    bodies.recent.put(found, item)
    return item


def stored_or_damaged(found: Found, project: Project, bodies: Bodies) -> Stored:
    """Of what cannot be read what its row says, and of its metadata what was set since."""
    try:
        return stored(found, project, bodies)
    except RecordCorrupt:
        named = of_found(found, project)
        row = _row(found, named, b"{}")
        return Stored(id_of(found.seq, named), row, b"{}", b"{}", has_body=False)


def _row(found: Found, named: Identity, created_with: bytes) -> Row:
    return Row(
        seq=found.seq,
        tag=named.tag,
        request_id=named.request_id,
        model=found.model,
        status=found.status,
        finish_reason=found.finish_reason,
        usage=Usage(
            found.prompt_tokens,
            found.completion_tokens,
            found.total_tokens,
            found.cached_tokens,
            found.reasoning_tokens,
        ),
        duration_ms=found.duration_ms,
        first_token_ms=found.first_token_ms,
        upstream=found.upstream,
        key=found.key,
        metadata=created_with if found.metadata is None else found.metadata.encode(),
        alias=named.alias,
        cost_micro=found.cost_micro,
    )


def bindings(
    project: Project, row: Row, label_set: int, base: Seq | None, body: bytes
) -> tuple[Any, ...]:
    """What `insert_completion` takes."""
    usage = row.usage
    secret = project.secret
    follows = row.tag == ids.tag_of(secret, row.request_id)
    imported = row.alias is not None or not follows  # only then is it worth spelling the id
    named_by_id = imported and row.request_id == ids.request_id_of(secret, row.id)
    return (
        row.seq,
        project.id,
        label_set,
        None if follows else row.tag,
        None if named_by_id else _start(row.request_id),
        None if row.alias is None else ids.compact(row.alias),
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        row.duration_ms,
        row.first_token_ms,
        usage.cached_tokens,
        usage.reasoning_tokens,
        row.cost_micro,
        base,
        body,
    )


def columns(row: Row, bindings: tuple[Any, ...]) -> Columns:
    """The row as it is found once these have been inserted."""
    label_set = (row.model, row.status, row.finish_reason, row.upstream, row.key)
    return (*bindings[:6], *label_set, *bindings[6:-2], None, *bindings[-2:])


def _start(request_id: bytes) -> bytes:
    """The half from which the other follows, if it does."""
    start = request_id[: ids.REQUEST_ID_BYTES // 2]
    return start if ids.request_id(start) == request_id else request_id
