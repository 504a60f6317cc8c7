"""Creating a completion: forward the call, hand the answer back, keep it when asked to.

The answer (for streams: `[DONE]`) goes out after the commit, so that whoever has it finds it in the
store. When the store fails the caller still gets the answer and is told (DESIGN.md §2).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, Literal

from msgspec import Struct

from chatkeep.core import answer as answers
from chatkeep.core import headers as wire
from chatkeep.core import jsonspan
from chatkeep.core.answer import Answer, scrubbed
from chatkeep.core.answerid import renamed, under
from chatkeep.core.departure import Departure
from chatkeep.core.ids import Name, Sequencer
from chatkeep.core.jsonspan import dumps
from chatkeep.core.model import Key, Row, Status
from chatkeep.core.ports import Headers, Route, Store, UpstreamAnswer, Upstreams, Watcher
from chatkeep.core.record import Codec, Record, split
from chatkeep.core.recording import Recording
from chatkeep.core.request import CreateRequest, parsed, store_headers, upstream_body
from chatkeep.errors import Refusal, UpstreamFailed, UpstreamTimeout

PATH = "/chat/completions"
GRACE_S = 5.0  # how long a finished stream is read on after its client left, or after [DONE]

OnDisconnect = Literal["cancel", "finish"]


class Whole(Struct, frozen=True):
    """An answer to be sent in one piece."""

    status: int
    headers: Headers
    body: bytes


class Flowing(Struct, frozen=True):
    """An answer to be sent as it comes. When `pieces` raises UpstreamFailed or UpstreamTimeout the
    upstream broke off, and so must the answer."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes]


class Clock(Struct, frozen=True):
    """Where times come from: `unix` and `monotonic` in seconds."""

    unix: Callable[[], float]
    monotonic: Callable[[], float]


class Call(Struct, frozen=True):
    """One create call: who makes it, with which bytes and headers (names in lower case)."""

    key: Key
    body: bytes
    headers: Mapping[str, str]
    request_id: bytes
    departure: Departure


class _Keeping(Struct, frozen=True):
    """A call whose completion is to be kept, under this name."""

    call: Call
    request: CreateRequest
    route: Route
    name: Name
    started: float


class Capture:
    """Answers create calls. `max_answer` bounds, in bytes, the answers that can be kept."""

    def __init__(
        self,
        store: Store,
        upstreams: Upstreams,
        sequencer: Sequencer,
        clock: Clock,
        token_bytes: Callable[[int], bytes],
        watcher: Watcher,
        *,
        on_disconnect: OnDisconnect = "cancel",
        max_answer: int = 64 << 20,
        forward_headers: tuple[str, ...] = (),
    ) -> None:
        self._store = store
        self._upstreams = upstreams
        self._sequencer = sequencer
        self._clock = clock
        self._token_bytes = token_bytes
        self._watcher = watcher
        self._finish = on_disconnect == "finish"
        self._max_answer = max_answer
        self._forward_headers = forward_headers
        self._codec = Codec()
        self._late: set[asyncio.Task[str | None]] = set()

    async def create(self, call: Call) -> Whole | Flowing:
        """Raises a Refusal for what is wrong with the request or with reaching the upstream."""
        request = parsed(call.body, store_headers(call.headers))
        wanted = request.store
        keep = call.key.project.store_by_default if wanted is None else wanted
        route = self._upstreams.route(request.model)
        if not keep:
            answer = await self._send(call, request, route, add_usage=False)
            return self._passed(call, answer, route, "no; store was not asked for")
        keeping = _Keeping(call, request, route, self._new_name(), self._clock.monotonic())
        answer = await self._send(call, request, route, add_usage=route.add_usage)
        if not 200 <= answer.status < 300:
            return self._passed(call, answer, route, "no; the upstream refused the call")
        if _is_stream(answer):
            head = self._head(answer, route, "pending", keeping.name, stream=True)
            return Flowing(answer.status, head, self._recorded(keeping, answer))
        return await self._plain(keeping, answer)

    async def drain(self) -> None:
        """Waits for the completions still being written."""
        while self._late:
            await asyncio.wait(self._late)

    def _new_name(self) -> Name:
        seq = self._sequencer.next(int(self._clock.unix()))
        return Name(seq, self._token_bytes(13))

    async def _send(
        self, call: Call, request: CreateRequest, route: Route, *, add_usage: bool
    ) -> UpstreamAnswer:
        body = upstream_body(
            request,
            keep_store=route.keep_store,
            add_usage=add_usage and request.stream and not request.include_usage,
            model=route.model,
        )
        headers = wire.up(call.headers, self._forward_headers)
        if not self._finish:
            call.departure.then(_cancelling())
        try:
            return await route.upstream.post(PATH, body, headers)
        finally:
            call.departure.then(None)

    def _head(
        self,
        answer: UpstreamAnswer,
        route: Route,
        stored: str,
        name: Name | None = None,
        *,
        stream: bool,
    ) -> Headers:
        head = wire.down(answer.headers)
        if name is not None:
            # The id changes the length, and with it every validator of the upstream's bytes.
            head = wire.without(head, "content-length", "etag", "content-md5", "digest")
            head.append(("x-chatkeep-id", name.id))
        head += (("x-chatkeep-stored", stored), ("x-chatkeep-upstream", route.upstream.name))
        if stream:
            head = wire.without(head, "cache-control", "x-accel-buffering")
            head += (("cache-control", "no-cache"), ("x-accel-buffering", "no"))
        return head

    def _passed(self, call: Call, answer: UpstreamAnswer, route: Route, stored: str) -> Flowing:
        """An answer that is not kept: its bytes as they come."""
        if not self._finish:
            call.departure.then(answer.close)
        head = self._head(answer, route, stored, stream=_is_stream(answer))
        return Flowing(answer.status, head, _all_of(answer))

    async def _plain(self, keeping: _Keeping, answer: UpstreamAnswer) -> Whole | Flowing:
        if not self._finish:
            keeping.call.departure.then(lambda: _close_later(answer))
        body, all_read = await _read(answer, self._max_answer)
        if not all_read:
            self._watcher.not_kept("too large", None)
            head = self._head(answer, keeping.route, "no; it is too large", stream=False)
            return Flowing(answer.status, head, _all_of(answer, body))
        ours = renamed(body, keeping.name.id)
        if ours is None and _is_json(body):
            self._watcher.not_kept("no completion", None)
            head = self._head(answer, keeping.route, "no; it is no completion", stream=False)
            return Whole(answer.status, head, body)
        text, upstream_id = (body, None) if ours is None else ours
        failed = await self._keep(keeping, text, upstream_id, "complete", None)
        stored = "yes" if failed is None else f"no; {failed}"
        head = self._head(answer, keeping.route, stored, keeping.name, stream=False)
        return Whole(answer.status, head, text)

    async def _recorded(self, keeping: _Keeping, answer: UpstreamAnswer) -> AsyncIterator[bytes]:
        """The stream's bytes; its completion is committed before `[DONE]`, or when it ends."""
        request, departure = keeping.request, keeping.call.departure
        recording = Recording(
            keeping.name.id,
            request.n,
            hide_usage=keeping.route.add_usage and not request.include_usage,
            max_bytes=self._max_answer,
        )
        departure.then(lambda: self._leave(recording, answer))
        first_token: float | None = None
        broken: Refusal | None = None
        kept: asyncio.Future[str | None] | None = None
        try:
            while data := await answer.read():
                out = recording.take(data)
                if first_token is None and recording.assembly.has_content:
                    first_token = self._clock.monotonic()
                if out:
                    yield out
                if recording.assembly.done and kept is None:
                    kept = self._in_own_task(self._keep_stream(keeping, recording, first_token))
                    yield _comment(await asyncio.shield(kept)) + recording.held
                    _close_later(answer)
        except (UpstreamFailed, UpstreamTimeout) as error:
            broken = error
        finally:
            answer.close()
            if kept is None:
                kept = self._in_own_task(self._keep_stream(keeping, recording, first_token))
        if rest := recording.rest():
            yield rest
        await asyncio.shield(kept)
        if broken is not None and not departure.left and not recording.assembly.done:
            raise broken

    def _in_own_task(self, keep: Coroutine[Any, Any, str | None]) -> asyncio.Task[str | None]:
        # The task of the request may be cancelled at any moment; what was received is kept.
        task = asyncio.create_task(keep)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return task

    def _leave(self, recording: Recording, answer: UpstreamAnswer) -> None:
        if self._finish:
            return
        if recording.assembly.complete:
            _close_later(answer)  # the usage and [DONE] are still to come
        else:
            answer.close()

    async def _keep_stream(
        self, keeping: _Keeping, recording: Recording, first_token: float | None
    ) -> str | None:
        assembly = recording.assembly
        if recording.overflow:
            self._watcher.not_kept("too large", None)
            return "it is too large"
        if assembly.upstream_id is None and not assembly.has_content:
            self._watcher.not_kept("nothing came", None)
            return "nothing came"
        whole = assembly.complete or (assembly.done and not keeping.call.departure.left)
        status: Status = "complete"
        if assembly.error is not None or not whole:
            status = "partial" if keeping.call.departure.left else "failed_midstream"
        ours = under(assembly.completion(), keeping.name.id)
        return await self._keep(keeping, ours, assembly.upstream_id, status, first_token)

    async def _keep(
        self,
        keeping: _Keeping,
        answer: bytes,
        upstream_id: str | None,
        status: Status,
        first_token: float | None,
    ) -> str | None:
        """Commits the completion; why it was not kept, when it was not."""
        request = keeping.request
        read = answers.read(answer)
        asked, answered = split(request.body, request.slices), split(answer, read.messages)
        body = self._codec.encode(Record(asked, answered, upstream_id))
        row = self._row(keeping, read, status, first_token)
        try:
            await self._store.insert(keeping.call.key.project, row, body)
        except Refusal as error:
            self._watcher.not_kept("store", error)
            return error.message
        self._watcher.kept(status)
        return None

    def _row(
        self, keeping: _Keeping, read: Answer, status: Status, first_token: float | None
    ) -> Row:
        started = keeping.started
        return Row(
            seq=keeping.name.seq,
            tag=keeping.name.tag,
            request_id=keeping.call.request_id,
            model=read.model or scrubbed(keeping.request.model),
            status=status,
            finish_reason=read.finish_reason,
            usage=read.usage,
            duration_ms=_ms(self._clock.monotonic() - started),
            first_token_ms=None if first_token is None else _ms(first_token - started),
            upstream=keeping.route.upstream.name,
            key=keeping.call.key.id,
            preview=read.preview,
            metadata=dumps(keeping.request.metadata),
        )


def _cancelling() -> Callable[[], object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call runs in a task")
    return task.cancel


async def _read(answer: UpstreamAnswer, limit: int) -> tuple[bytes, bool]:
    """The body up to about the limit, and whether that is all of it."""
    pieces: list[bytes] = []
    size = 0
    while data := await answer.read():
        pieces.append(data)
        size += len(data)
        if size > limit:
            return b"".join(pieces), False
    return b"".join(pieces), True


async def _all_of(answer: UpstreamAnswer, read_already: bytes = b"") -> AsyncIterator[bytes]:
    try:
        if read_already:
            yield read_already
        while data := await answer.read():
            yield data
    finally:
        answer.close()


def _close_later(answer: UpstreamAnswer) -> None:
    asyncio.get_running_loop().call_later(GRACE_S, answer.close)


def _is_stream(answer: UpstreamAnswer) -> bool:
    return wire.get(answer.headers, "content-type").lower().startswith("text/event-stream")


def _is_json(body: bytes) -> bool:
    try:
        jsonspan.loads(body)
    except Refusal:
        return False
    return True


def _comment(failed: str | None) -> bytes:
    # A comment is the only place left: the headers went out long before the commit.
    return b"" if failed is None else f": chatkeep stored=no; {failed}\n\n".encode()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
