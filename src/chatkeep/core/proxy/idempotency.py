"""`Idempotency-Key` on stored creates: a repeated call is answered from the record (DESIGN.md §2).

The key is claimed in the store before the upstream is called, and leased: when its owner dies, the
next one with the key takes over. What is remembered is the completion, so an answer that is not
whole, or an upstream's error, is not remembered.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import blake2b

import msgspec

from chatkeep.core.forms import Form
from chatkeep.core.json import spans
from chatkeep.core.ports.claims import Claim, Claims
from chatkeep.core.ports.records import Records
from chatkeep.core.proxy.call import Call, Reply, Response, StreamingResponse
from chatkeep.core.wire.headers import EVENT_STREAM, Headers, value
from chatkeep.core.wire.request import STORE_HEADERS, CreateRequest
from chatkeep.errors import BodyExpired, ClientLeft, IdempotencyKeyReused, StoreBusy, StoreFailed

HEADER = b"idempotency-key"
SAYS = b"x-chatkeep-idempotency"
_WAIT_S = 0.1
_RENEW_S = 10.0
_OWNER_BYTES = 16

Run = Callable[[Claim | None], Awaitable[Reply]]


class Idempotency:
    def __init__(
        self,
        claims: Claims,
        records: Records,
        unix: Callable[[], float],
        token_bytes: Callable[[int], bytes],
    ) -> None:
        self._claims = claims
        self._records = records
        self._unix = unix
        self._token_bytes = token_bytes

    def once(self, form: Form, call: Call, request: CreateRequest, run: Run) -> Awaitable[Reply]:
        """What `run` answers, or what it answered when the key was used before.

        Waits while another call with the key is in progress. Raises IdempotencyKeyReused.
        """
        key = call.headers.get(HEADER)
        return self._once(form, call, request, run, key) if key else run(None)

    async def _once(
        self, form: Form, call: Call, request: CreateRequest, run: Run, key: bytes
    ) -> Reply:
        claim = Claim(_digest(call, key), _request(call), self._token_bytes(_OWNER_BYTES))
        try:
            before = await self._answered_before(call, claim)
        except (StoreBusy, StoreFailed):
            return _saying(b"off", await run(None))
        if before is not None:
            return _repeated(form, before, request)
        return await self._running(call, claim, run)

    async def _answered_before(self, call: Call, claim: Claim) -> "_Before | None":
        """The completion that answered the key's first call; None when the claim is ours."""
        project = call.key.project
        while True:
            state = await self._claims.claim(project, claim, int(self._unix()))
            if state.mine:
                return None
            if state.other_body:
                # The official clients repeat every 409 that does not say this.
                raise IdempotencyKeyReused(headers=(("x-should-retry", "false"),))
            if state.answered is not None:
                stored = await self._records.get(project, state.answered)
                if stored is not None:
                    if not stored.has_body:
                        raise BodyExpired(id=stored.id)
                    return _Before(stored.answer, _headers(stored.id, stored.row.upstream))
            await asyncio.sleep(_WAIT_S)
            if call.disconnect.happened:
                raise ClientLeft

    async def _running(self, call: Call, claim: Claim, run: Run) -> Reply:
        renewing = asyncio.create_task(self._renew(call, claim))
        try:
            reply = await run(claim)
        except BaseException:
            await self._end(call, claim, renewing)
            raise
        if isinstance(reply, StreamingResponse):
            pieces = self._until_ended(reply.pieces, call, claim, renewing)
            return StreamingResponse(reply.status, reply.headers, pieces)
        await self._end(call, claim, renewing)
        return reply

    async def _until_ended(
        self,
        pieces: AsyncIterator[bytes],
        call: Call,
        claim: Claim,
        renewing: "asyncio.Task[None]",
    ) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                yield piece
        finally:
            await self._end(call, claim, renewing)

    async def _end(self, call: Call, claim: Claim, renewing: "asyncio.Task[None]") -> None:
        """Gives the key back; one that has been answered stays."""
        renewing.cancel()
        with contextlib.suppress(StoreBusy, StoreFailed):  # then the lease runs out by itself
            await asyncio.shield(self._claims.release(call.key.project, claim))

    async def _renew(self, call: Call, claim: Claim) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            try:
                await self._claims.renew(call.key.project, claim, int(self._unix()))
            except (StoreBusy, StoreFailed):
                continue  # a lease lasts several renewals


class _Before(msgspec.Struct, frozen=True):
    answer: bytes
    headers: Headers


def _headers(id: str, upstream: str) -> Headers:
    return (
        (b"x-chatkeep-id", value(id)),
        (b"x-chatkeep-stored", b"yes"),
        (b"x-chatkeep-upstream", value(upstream)),
        (SAYS, b"repeated"),
    )


def _repeated(form: Form, before: _Before, request: CreateRequest) -> Response:
    if not request.stream:
        head = ((b"content-type", b"application/json"), *before.headers)
        return Response(200, head, before.answer)
    events = form.as_stream(request, before.answer)
    return Response(200, (*EVENT_STREAM, *before.headers), events)


def _saying(word: bytes, reply: Reply) -> Reply:
    return msgspec.structs.replace(reply, headers=(*reply.headers, (SAYS, word)))


def _request(call: Call) -> bytes:
    """What has to be equal of a repeated call: its body, and what its headers add to it."""
    added = [call.headers.get(name) for name in STORE_HEADERS]
    texts = [None if value is None else value.decode("latin-1") for value in added]
    return _digest(call, spans.dumps(texts) + call.body)


def _digest(call: Call, data: bytes) -> bytes:
    """Keyed, so that the file of an encrypted store tells nobody whether a guess is right."""
    return blake2b(data, digest_size=16, key=call.key.project.secret).digest()
