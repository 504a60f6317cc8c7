"""Creating a completion: forward the call, hand the answer back, store it when asked to.

The answer (for streams: the event that ends it) goes out after the commit, so that whoever has it
finds it in the store. When the store fails the client still gets the answer, and reads that it
failed (DESIGN.md §2).
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from chatkeep.core.forms import Form
from chatkeep.core.json import spans
from chatkeep.core.json.tolerant import is_whole
from chatkeep.core.model.completion import Status
from chatkeep.core.ports.claims import Claim
from chatkeep.core.ports.upstream import Route, UpstreamAnswer, Upstreams
from chatkeep.core.proxy import routing
from chatkeep.core.proxy.call import Answered, Call, Caller, Reply, Response, StreamingResponse
from chatkeep.core.proxy.idempotency import Idempotency
from chatkeep.core.proxy.recorder import Draft, Recorder
from chatkeep.core.stream.relay import StreamRelay
from chatkeep.core.wire import headers as wire
from chatkeep.core.wire.answer import Renamed
from chatkeep.core.wire.request import CreateRequest, store_headers
from chatkeep.errors import Refusal, UpstreamFailed, UpstreamTimeout

GRACE_S = 5.0  # how long a finished stream is read on after its client left, or after [DONE]


class Creator:
    """Answers create calls. `max_answer` bounds, in bytes, the answers that can be stored."""

    def __init__(
        self,
        caller: Caller,
        upstreams: Upstreams,
        recorder: Recorder,
        idempotency: Idempotency,
        max_answer: int,
    ) -> None:
        self._caller = caller
        self._upstreams = upstreams
        self._recorder = recorder
        self._idempotency = idempotency
        self._max_answer = max_answer

    async def create(self, form: Form, call: Call) -> Reply:
        """Raises a Refusal for what is wrong with the request or with reaching the upstream."""
        request = form.read_request(call.body, store_headers(call.headers))
        wanted = request.store
        if call.key.project.store_by_default if wanted is None else wanted:
            return await self._idempotency.once(
                form, call, request, lambda claim: self._stored(form, call, request, claim)
            )
        answered = await self._send(form, call, request, store=False)
        return self._caller.passed(call, answered, "no; store was not asked for")

    async def _stored(
        self, form: Form, call: Call, request: CreateRequest, claim: Claim | None
    ) -> Reply:
        draft = self._recorder.draft(form, call, request, claim)
        answered = await self._send(form, call, request, store=True)
        draft.upstream = answered.route.upstream.name
        answer = answered.answer
        if not 200 <= answer.status < 300:
            return self._caller.passed(call, answered, "no; the upstream refused the call")
        if answered.is_stream:
            return StreamingResponse(
                answer.status,
                self._caller.streaming_headers(answered, "pending", draft.id),
                self._streamed(draft, answer, add_usage=answered.route.add_usage),
            )
        return await self._plain(draft, answered)

    def _send(
        self, form: Form, call: Call, request: CreateRequest, *, store: bool
    ) -> Coroutine[Any, Any, Answered]:
        def body_for(route: Route) -> bytes:
            return form.upstream_body(
                request,
                keep_store=route.keep_store,
                add_usage=store and route.add_usage,
                model=route.model,
            )

        routes = routing.routes(self._upstreams, call.key.project, request.model)
        return self._caller.send(call, form.path, form.name, request.model, routes, body_for)

    async def _plain(self, draft: Draft, answered: Answered) -> Reply:
        answer = answered.answer
        if not self._caller.finishes:
            draft.call.disconnect.set_callback(lambda: _close_later(answer))
        body, all_read = await self._caller.read(draft.call, answered, self._max_answer)
        if not all_read:
            self._recorder.passed_not_stored("too large")
            return self._caller.passed(
                draft.call, answered, "no; it is too large", "unkept", read_already=body
            )
        ours = draft.form.renamed(body, draft.id)
        is_error = ours is not None and ours.read.is_error
        if is_error or (ours is None and not _unreadable_json(answer, body)):
            self._recorder.not_stored(draft, "no completion")
            return Response(
                answer.status,
                self._caller.response_headers(answered, "no; it is no completion"),
                body,
            )
        ours = ours or draft.form.under(body, draft.id)
        failed = await self._recorder.record(draft, ours, _status(ours, body))
        stored = "yes" if failed is None else f"no; {failed}"
        return Response(
            answer.status, self._caller.response_headers(answered, stored, draft.id), ours.text
        )

    async def _streamed(
        self, draft: Draft, answer: UpstreamAnswer, *, add_usage: bool
    ) -> AsyncIterator[bytes]:
        """The stream's bytes; its record is committed before the event that ends it goes out.

        That event may lack the blank line that should end it: then it is the rest of the stream.
        """
        disconnect = draft.call.disconnect
        reader = draft.form.read_stream(draft.request, draft.id, add_usage=add_usage)
        relay = StreamRelay(reader, self._max_answer)
        disconnect.set_callback(lambda: self._leave(relay, answer))
        broken: Refusal | None = None
        recorded: asyncio.Task[str | None] | None = None
        closing: asyncio.TimerHandle | None = None
        told = False  # whether the client knows what became of the record
        try:
            while data := await answer.read():
                out = relay.take(data)
                if draft.first_token is None and reader.begun:
                    self._recorder.first_token_came(draft)
                if out:
                    yield out
                if reader.done and recorded is None:
                    recorded = self._recorder.record_stream(draft, relay)
                    told = True
                    yield _comment(await asyncio.shield(recorded)) + relay.held
                    closing = _close_later(answer)
            draft.ended = True
        except (UpstreamFailed, UpstreamTimeout) as error:
            broken = error.with_traceback(None)  # that holds this frame
            draft.ended = not disconnect.happened
        finally:
            answer.close()
            if closing is not None:
                closing.cancel()
            rest = relay.end()
            if recorded is None:
                recorded = self._recorder.record_stream(draft, relay)
        failed = await asyncio.shield(recorded)
        cut = broken is not None and not disconnect.happened and not reader.done
        last = rest if told or cut else _comment(failed) + rest
        if last:
            yield last
        if cut and broken is not None:
            try:
                raise broken
            finally:
                broken = None  # raised, it has a traceback again

    def _leave(self, relay: StreamRelay, answer: UpstreamAnswer) -> None:
        if self._caller.finishes:
            return
        if relay.reader.complete:
            _close_later(answer)  # the usage and [DONE] are still to come
        else:
            answer.close()


def _close_later(answer: UpstreamAnswer) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(GRACE_S, answer.close)


def _status(ours: Renamed, body: bytes) -> Status:
    """What an answer that has arrived counts as; JSON that is cut short is a part of one."""
    if ours.text is not body:
        return ours.read.status
    return "complete" if is_whole(body) else "partial"


def _unreadable_json(answer: UpstreamAnswer, body: bytes) -> bool:
    """Whether it says it is JSON and does not parse, like NaN in it: stored as it is, unread."""
    says_json = b"json" in wire.get(answer.headers, b"content-type").lower()
    if not says_json or not body.strip():
        return False
    try:
        spans.loads(body)
    except Refusal:
        return True
    return False


def _comment(failed: str | None) -> bytes:
    # A comment is the only place left: the headers went out long before the commit.
    return b"" if failed is None else f": chatkeep stored=no; {failed}\n\n".encode()
