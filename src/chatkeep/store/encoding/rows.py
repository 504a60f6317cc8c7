"""Rows of the table `record` as the model has them, and back."""

from typing import Any

from chatkeep.core.model.completion import Project, Row, Stored, Usage
from chatkeep.core.model.ids import CompletionId
from chatkeep.errors import RecordCorrupt
from chatkeep.store.encoding.graph import Graph
from chatkeep.store.encoding.identity import Identity, id_of, kept_identity, of_found
from chatkeep.store.encoding.placing import Placed
from chatkeep.store.encoding.recent import Columns, Found


def stored(found: Found, graph: Graph) -> Stored:
    """A record as lists show it. Raises RecordCorrupt."""
    known = graph.context.recent.get(found)
    if known is None:
        named = of_found(found, graph.project)
        known = read(found, named, id_of(found, named), graph)
    return known


def read(found: Found, named: Identity, id: CompletionId, graph: Graph) -> Stored:
    """The same of one that is not remembered; from now on it is."""
    outside = graph.outside(found.seq, found.body, id)
    row = _row(found, named, outside.metadata)
    item = Stored(id, row, outside.request, outside.answer, outside.upstream_id, outside.has_body)
    graph.context.recent.put(found, item)
    return item


def stored_or_damaged(found: Found, graph: Graph) -> Stored:
    """Of what cannot be read what its row says, and of its metadata what was set since."""
    try:
        return stored(found, graph)
    except RecordCorrupt:
        named = of_found(found, graph.project)
        row = _row(found, named, b"{}")
        return Stored(id_of(found, named), row, b"{}", b"{}", has_body=False)


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
        form=found.form,
    )


def bindings(project: Project, row: Row, label_set: int, placed: Placed) -> tuple[Any, ...]:
    """What `insert_record` takes."""
    usage = row.usage
    return (
        row.seq,
        project.id,
        label_set,
        *kept_identity(project.secret, row),
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        row.duration_ms,
        row.first_token_ms,
        usage.cached_tokens,
        usage.reasoning_tokens,
        row.cost_micro,
        placed.base,
        placed.parent,
        placed.body,
    )


def columns(row: Row, bindings: tuple[Any, ...]) -> Columns:
    """The row as it is found once these have been inserted."""
    labels = (row.form, row.model, row.status, row.finish_reason, row.upstream, row.key)
    return (*bindings[:6], *labels, *bindings[6:-3], None, *bindings[-3:])
