"""How answers leave the server: heads, pieces and the error envelope (CONTRACT.md §3, §4)."""

import msgspec
from starlette.types import Send

from chatkeep.core.accounts import limits
from chatkeep.core.proxy.call import Reply, Response, StreamingResponse
from chatkeep.core.records.completions import Shown
from chatkeep.core.wire.headers import Headers, get, value, without
from chatkeep.errors import Refusal, UpstreamFailed, UpstreamTimeout
from chatkeep.web.server.cycle import way_out

JSON: Headers = (
    (b"content-type", b"application/json"),
    (b"x-content-type-options", b"nosniff"),
)
_VERSION = (b"openai-version", b"2020-10-01")
# What scripts of other origins may read of an answer's head.
EXPOSED_HEADERS = (
    "etag",
    "retry-after",
    "x-request-id",
    "x-upstream-request-id",
    "x-chatkeep-id",
    "x-chatkeep-stored",
    "x-chatkeep-upstream",
    "x-chatkeep-idempotency",
    *limits.HEADERS,
)


class ErrorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's error: all four keys, always."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorEnvelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How every refusal is answered."""

    error: ErrorBody


def json(body: bytes, *more: tuple[bytes, bytes], status: int = 200) -> Response:
    return Response(status, (*JSON, *more), body)


def shown(found: Shown) -> Response:
    return json(found.body, (b"etag", found.etag.encode()))


def refused(error: Refusal) -> Response:
    envelope = ErrorEnvelope(
        ErrorBody(_sendable(error.message), error.type, _param(error), error.code)
    )
    return json(msgspec.json.encode(envelope), *_encoded(error.headers), status=error.status)


def limited(answer: Reply, rate: limits.RateHeaders) -> Reply:
    """An answer that says how many calls are left: of the caller's limit, not the upstream's."""
    ours = _encoded(rate)
    given = without(answer.headers, [name for name, _ in ours])
    return msgspec.structs.replace(answer, headers=(*given, *ours))


def request_id_header(request_id: bytes) -> str:
    return f"req_{request_id.hex()}"


async def send_answer(send: Send, answer: Reply, request_id: bytes, elapsed_ms: int) -> None:
    out = way_out(send)
    ours = (
        (b"x-request-id", b"req_" + request_id.hex().encode()),
        (b"openai-processing-ms", b"%d" % elapsed_ms),
        _VERSION,
    )
    match answer:
        case Response():
            length = len(answer.body)
            said = (b"content-length", b"%d" % length)
            out.begin(answer.status, (*answer.headers, said, *ours), length)
            await out.write(answer.body, more=False)
        case StreamingResponse():
            given = get(answer.headers, b"content-length")
            out.begin(answer.status, (*answer.headers, *ours), int(given) if given else None)
            await out.write(b"", more=True)  # the head goes out at once
            try:
                async for piece in answer.pieces:
                    await out.write(piece, more=True)
            except (UpstreamFailed, UpstreamTimeout):
                # It broke off: an answer left unfinished makes the server break off as well.
                return
            await out.write(b"", more=False)


def _encoded(headers: limits.RateHeaders) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value(text)) for name, text in headers]


def _param(error: Refusal) -> str | None:
    return None if error.param is None else _sendable(error.param)


def _sendable(text: str) -> str:
    # A message may quote what was sent, lone surrogates included.
    return text.encode("utf-8", "replace").decode()
