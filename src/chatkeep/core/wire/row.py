"""The row of a completion, from its request and its answer."""

from chatkeep.core.json.spans import dumps
from chatkeep.core.model.completion import KeyId, Row, Status
from chatkeep.core.model.ids import Name
from chatkeep.core.model.record import Request, cut
from chatkeep.core.wire.answer import Answer, scrubbed
from chatkeep.core.wire.request import CreateRequest


def row_of(
    name: Name,
    request_id: bytes,
    request: CreateRequest,
    read: Answer,
    cost_micro: int | None,
    *,
    status: Status = "complete",
    duration_ms: int = 0,
    first_token_ms: int | None = None,
    upstream: str = "",
    key: KeyId | None = None,
) -> Row:
    return Row(
        seq=name.seq,
        tag=name.tag,
        request_id=request_id,
        model=model_of(request, read),
        status=status,
        finish_reason=read.finish_reason,
        usage=read.usage,
        duration_ms=duration_ms,
        first_token_ms=first_token_ms,
        upstream=upstream,
        key=key,
        metadata=dumps(request.metadata),
        cost_micro=cost_micro,
    )


def model_of(request: CreateRequest, read: Answer) -> str:
    """The model as the answer names it, else as it was asked for."""
    return read.model or scrubbed(request.model)


def asked_of(request: CreateRequest) -> Request:
    return cut(request.body, request.messages, request.aside)
