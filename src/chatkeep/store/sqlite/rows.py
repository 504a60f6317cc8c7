"""Rows of the completion table as the model has them, and back."""

from typing import Any

from chatkeep.core.ids import Seq, encode, tag_of
from chatkeep.core.model import Project, Row, Stored, Usage
from chatkeep.store.sqlite.bodies import Bodies
from chatkeep.store.sqlite.recent import Found


def id_of(found: Found, project: Project) -> str:
    """The id clients know it by."""
    return found.alias or encode(found.seq, found.tag or tag_of(project.secret, found.request_id))


def stored(found: Found, project: Project, bodies: Bodies) -> Stored:
    """Raises RecordCorrupt."""
    known = bodies.recent.get(found)
    if known is None:
        known = _read(found, project, bodies)
        bodies.recent.put(found, known)
    return known


def _read(found: Found, project: Project, bodies: Bodies) -> Stored:
    tag = found.tag or tag_of(project.secret, found.request_id)
    said = bodies.outside(found.seq, found.body, found.alias or encode(found.seq, tag))
    metadata = said.metadata if found.metadata is None else found.metadata.encode()
    row = Row(
        seq=found.seq,
        tag=tag,
        request_id=found.request_id,
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
        metadata=metadata,
        alias=found.alias,
        cost_micro=found.cost_micro,
    )
    return Stored(row, said.request, said.answer, said.upstream_id, said.has_body)


def bindings(project: Project, row: Row, basis: Seq | None, body: bytes) -> tuple[Any, ...]:
    """What `insert_completion` takes."""
    usage = row.usage
    derived = row.tag == tag_of(project.secret, row.request_id)
    return (
        row.seq,
        project.id,
        None if derived else row.tag,
        row.request_id,
        row.model,
        row.status,
        row.finish_reason,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        row.duration_ms,
        row.first_token_ms,
        row.upstream,
        row.key,
        row.alias,
        usage.cached_tokens,
        usage.reasoning_tokens,
        row.cost_micro,
        basis,
        body,
    )


def words(row: Row) -> tuple[str, str, str, str]:
    """What `insert_words` takes."""
    reason = row.status if row.finish_reason is None else row.finish_reason
    return (row.model, row.status, reason, row.upstream)
