"""The chunks of a stream, each under our id, and the chat completion they add up to.

event ─▶ Template: like the one before? ─▶ its text is added where the last one went
      └▶ else Assembly.add, and our id in place of the upstream's
"""

import re

from chatkeep.core.json.tolerant import value
from chatkeep.core.model.ids import CompletionId
from chatkeep.core.stream.chat.assembly import Assembly
from chatkeep.core.stream.chat.template import Template
from chatkeep.core.stream.sse import event_data, replace_span
from chatkeep.core.wire.answer import Renamed
from chatkeep.core.wire.chat.renaming import IdSpan, id_span, put, under
from chatkeep.core.wire.request import CreateRequest

_DONE = b"[DONE]"
_ERROR_EVENT = re.compile(rb"^event: ?error\r?$", re.MULTILINE)
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class Chunks:
    """A StreamReader for `n` choices.

    `hide_usage` drops the usage-only chunk that was asked for by us and not by the client.
    """

    def __init__(self, id: CompletionId, n: int, *, hide_usage: bool) -> None:
        self.assembly = Assembly(n)
        self.done = False
        self._id = id
        self._ids = _ChunkIds(id)
        self._template = Template()
        self.take_alike = self._template.take_run
        self._hide_usage = hide_usage
        self._line_end_cut = False
        self._error_event = False
        self._reading = True

    @property
    def begun(self) -> bool:
        return self.assembly.has_content

    @property
    def complete(self) -> bool:
        return self.assembly.complete

    @property
    def failed(self) -> bool:
        return self._error_event or self.assembly.failed

    def take(self, events: list[bytes]) -> tuple[list[bytes], int]:
        out: list[bytes] = []
        at, end = 0, len(events)
        while at < end and not self.done:
            out.append(self._event(events[at]))
            at += 1
            if at < end and not self._line_end_cut:
                alike, taken = self._template.take_events(events, at)
                if taken:
                    out.append(alike)
                    at += taken
        return out, at

    def stop_reading(self) -> None:
        self._reading = False
        self._template.stop_reading()

    def answer(self) -> Renamed | None:
        assembly = self.assembly
        if assembly.upstream_id is None and not assembly.has_content:
            return None
        ours = under(assembly.completion(), self._id)
        return Renamed(ours.text, assembly.upstream_id, ours.read)

    def _event(self, event: bytes) -> bytes:
        if self._line_end_cut:  # the rest of the CRLF that ended a hidden event
            self._line_end_cut = False
            event = event.removeprefix(b"\n")
        alike = self._template.take(event)
        return self._other(event) if alike is None else alike

    def _other(self, event: bytes) -> bytes:
        data = event_data(event)
        if data is None:
            return event
        self._error_event = self._error_event or _ERROR_EVENT.search(event) is not None
        out = self._ids.renamed(event)
        if out is None:
            out = self._first_of_its_kind(event, data)
        else:
            self._add(data)
            self._template.learn(event, out, self._ids.length, self.assembly)
        if self._hide_usage and _is_usage_only(data):
            self._line_end_cut = event.endswith(b"\r")
            return b"\n" if event.startswith(b"\n") else b""  # it ends the line before
        return out

    def _first_of_its_kind(self, event: bytes, data: bytes) -> bytes:
        span = id_span(data)
        if span is None:
            if data.strip() == _DONE or b'"error"' in data:
                self._add(data)
            return event
        self._add(data)
        self._ids.learn(event, data, span)
        new = put(data, span, self._id)
        grown = len(new) - len(data)
        try:
            return replace_span(event, span.start, span.end, new[span.start : span.end + grown])
        except ValueError:  # an id over several lines is an object, which no reader takes for one
            return event

    def _add(self, data: bytes) -> None:
        if self._reading or data.strip() == _DONE:
            self.assembly.add(data)
            self.done = self.assembly.done


def read_stream(request: CreateRequest, id: CompletionId, *, add_usage: bool) -> Chunks:
    """`add_usage` says that the usage was asked for, where the client did not."""
    return Chunks(id, request.n, hide_usage=add_usage and not request.include_usage)


class _ChunkIds:
    """Chunks of one stream begin alike up to the end of the id: one comparison finds it again.

    A chunk takes 4.4 µs instead of 8.3 when it does not have to be read for its id as well.
    `length` is that of this beginning.
    """

    def __init__(self, id: CompletionId) -> None:
        self.length = 0
        self._id = id
        self._theirs = b""
        self._ours = b""

    def renamed(self, event: bytes) -> bytes | None:
        """The event under our id; None when it does not begin as expected."""
        if not self.length or not event.startswith(self._theirs):
            return None
        return self._ours + event[self.length :]

    def learn(self, event: bytes, data: bytes, span: IdSpan) -> None:
        beginning = b"data: " + data[: span.end]
        # A text ends where it ends; a number could go on in the next chunk.
        if beginning.endswith(b'"') and event.startswith(beginning) and span.end > span.start:
            self.length = len(beginning)
            self._theirs = beginning
            self._ours = b"data: " + put(data[: span.end], span, self._id)


def _is_usage_only(data: bytes) -> bool:
    if not _NO_CHOICES.search(data):
        return False
    chunk = value(data)
    return isinstance(chunk, dict) and chunk.get("choices") == [] and bool(chunk.get("usage"))
