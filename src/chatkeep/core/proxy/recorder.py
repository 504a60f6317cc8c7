"""Committing a completion: its record, its row, and who is notified."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct

from chatkeep.core.forms import Form
from chatkeep.core.model.completion import Row, Status
from chatkeep.core.model.ids import CompletionId, Name, Sequencer, named, tag_of
from chatkeep.core.model.record import Record
from chatkeep.core.ports.claims import Claim
from chatkeep.core.ports.records import Records
from chatkeep.core.ports.watcher import Watcher
from chatkeep.core.proxy.call import Call
from chatkeep.core.stream.relay import StreamReader, StreamRelay
from chatkeep.core.usage.meter import Meter
from chatkeep.core.usage.prices import Prices
from chatkeep.core.wire.answer import Answer, Renamed, scrubbed
from chatkeep.core.wire.request import CreateRequest
from chatkeep.core.wire.row import asked_of, model_of, row_of
from chatkeep.errors import Refusal


class Clock(Struct, frozen=True):
    """Where times come from: `unix` and `monotonic` in seconds."""

    unix: Callable[[], float]
    monotonic: Callable[[], float]


class Draft(Struct):
    """A completion in the making. `started` and `first_token` are monotonic seconds.

    `ended` says that its stream came to an end at the upstream, whether good or bad: else it was us
    who stopped, because the client left or the server goes down.
    """

    form: Form
    call: Call
    request: CreateRequest
    name: Name
    id: CompletionId
    started: float
    claim: Claim | None
    upstream: str = ""
    first_token: float | None = None
    ended: bool = False


class Recorder:
    """Writes completions to the store. What has begun to be written is written to its end."""

    def __init__(
        self,
        records: Records,
        sequencer: Sequencer,
        clock: Clock,
        watcher: Watcher,
        meter: Meter,
        prices: Prices,
    ) -> None:
        self._records = records
        self._sequencer = sequencer
        self._clock = clock
        self._watcher = watcher
        self._meter = meter
        self._prices = prices
        self._writing: set[asyncio.Task[str | None]] = set()

    def draft(self, form: Form, call: Call, request: CreateRequest, claim: Claim | None) -> Draft:
        """Gives the completion its place in the order of arrival."""
        seq = self._sequencer.next(int(self._clock.unix()))
        name = named(seq, tag_of(call.key.project.secret, call.request_id), form.name)
        return Draft(form, call, request, name, name.id, self._clock.monotonic(), claim)

    def first_token_came(self, draft: Draft) -> None:
        draft.first_token = self._clock.monotonic()

    def not_stored(self, draft: Draft, reason: str, error: Refusal | None = None) -> None:
        self._watcher.not_stored(reason, error)
        self._meter.count(
            draft.call.key,
            draft.form.name,
            draft.request.model,
            draft.upstream,
            "unkept",
            draft.started,
        )

    def passed_not_stored(self, reason: str) -> None:
        """Says that an answer which is passed on, and counted when it ends, is not stored."""
        self._watcher.not_stored(reason, None)

    async def record(
        self, draft: Draft, answer: Renamed, status: Status = "complete"
    ) -> str | None:
        """Commits the completion. Gives why it was not stored, None when it was."""
        row = self._row(draft, answer.read, status)
        known_as = None if answer.upstream_id is None else scrubbed(answer.upstream_id)
        record = Record(asked_of(draft.request), answer.text, draft.id, known_as, answer.read.texts)
        # An answer that is not whole is no answer to a repeated call.
        claim = draft.claim if status == "complete" else None
        try:
            await self._records.insert(draft.call.key.project, row, record, claim)
        except Refusal as error:
            self.not_stored(draft, "store", error)
            return error.message
        self._watcher.stored(status)
        return None

    def record_stream(self, draft: Draft, relay: StreamRelay) -> "asyncio.Task[str | None]":
        """Commits a stream as far as it has come; gives what `record` gives.

        In a task of its own: the request's may be cancelled at any moment, and what was received is
        stored all the same.
        """
        return self._in_background(self._record_stream(draft, relay))

    async def drain(self) -> None:
        """Waits for what is being written."""
        while self._writing:
            await asyncio.wait(self._writing)

    async def _record_stream(self, draft: Draft, relay: StreamRelay) -> str | None:
        if relay.overflow:
            self.not_stored(draft, "too large")
            return "it is too large"
        answer = relay.reader.answer()
        if answer is None:
            self.not_stored(draft, "nothing came")
            return "nothing came"
        return await self.record(draft, answer, _status(relay.reader, ended=draft.ended))

    def _in_background(
        self, writing: Coroutine[Any, Any, str | None]
    ) -> "asyncio.Task[str | None]":
        task = asyncio.create_task(writing)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return task

    def _row(self, draft: Draft, read: Answer, status: Status) -> Row:
        first_token = draft.first_token
        model = model_of(draft.request, read)
        cost = self._prices.cost_micro(draft.upstream, model, read.usage, read.cost_micro)
        return row_of(
            draft.name,
            draft.call.request_id,
            draft.request,
            read,
            cost,
            status=status,
            duration_ms=_ms(self._clock.monotonic() - draft.started),
            first_token_ms=None if first_token is None else _ms(first_token - draft.started),
            upstream=draft.upstream,
            key=draft.call.key.id,
        )


def _status(reader: StreamReader, *, ended: bool) -> Status:
    if reader.failed:
        return "failed_midstream"
    if reader.complete:
        return "complete"
    return "failed_midstream" if ended and not reader.done else "partial"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
