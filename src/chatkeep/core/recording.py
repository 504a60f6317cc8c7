"""A stream that is being kept: forwards its events under our id and assembles the completion."""

import re

from chatkeep.core.answerid import IdSpan, id_span, put
from chatkeep.core.ids import CompletionId
from chatkeep.core.jsonspan import loads
from chatkeep.core.sse import EventSplitter, EventTooLong, event_data, replace_span
from chatkeep.core.stream import Assembly
from chatkeep.errors import Refusal

_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class Recording:
    """Takes the upstream's bytes, gives the client's; pure, so any split of them gives the same.

    `take` holds back `[DONE]` and what follows: the caller commits first and then sends `held`.
    `hide_usage` drops the usage-only chunk that was asked for by us and not by the client.
    `overflow` is set when more than `max_bytes` came; from then on bytes pass as they are.
    """

    def __init__(self, id: CompletionId, n: int, *, hide_usage: bool, max_bytes: int) -> None:
        self.assembly = Assembly(n)
        self.held = b""
        self.overflow = False
        self._id = id
        self._hide_usage = hide_usage
        self._budget = max_bytes
        self._splitter = EventSplitter(max_event=max_bytes)
        self._line_end_cut = False
        self._prefix = b""
        self._replacement = b""

    def take(self, data: bytes) -> bytes:
        self._budget -= len(data)
        if self.overflow or self.assembly.done:
            return data
        try:
            events = self._splitter.feed(data)
        except EventTooLong:
            events = []
            self._budget = -1
        if self._budget < 0:
            self.overflow = True
            return b"".join((*events, self._splitter.rest()))
        for index, event in enumerate(events):
            events[index] = self._event(event)
            if self.assembly.done:
                self.held = b"".join((*events[index:], self._splitter.rest()))
                return b"".join(events[:index])
        return b"".join(events)

    def rest(self) -> bytes:
        """What is left of an event that never ended."""
        if self.overflow or self.assembly.done:
            return b""
        rest = self._splitter.rest()
        return rest.removeprefix(b"\n") if self._line_end_cut else rest

    def _event(self, event: bytes) -> bytes:
        if self._line_end_cut:  # the rest of the CRLF that ended a hidden event
            self._line_end_cut = False
            event = event.removeprefix(b"\n")
        data = event_data(event)
        if data is None:
            return event
        # Chunks of one stream begin alike up to the end of the id: one comparison finds it again.
        if self._prefix and event.startswith(self._prefix):
            self.assembly.add(data)
            out = self._replacement + event[len(self._prefix) :]
        else:
            out = self._first_of_its_kind(event, data)
        if self._hide_usage and _is_usage_only(data):
            self._line_end_cut = event.endswith(b"\r")
            return b"\n" if event.startswith(b"\n") else b""  # it ends the line before
        return out

    def _first_of_its_kind(self, event: bytes, data: bytes) -> bytes:
        span = id_span(data)
        if span is None:
            if data.strip() == b"[DONE]" or b'"error"' in data:
                self.assembly.add(data)
            return event
        self.assembly.add(data)
        self._learn(event, data, span)
        new = put(data, span, self._id)
        grown = len(new) - len(data)
        try:
            return replace_span(event, span.start, span.end, new[span.start : span.end + grown])
        except ValueError:  # an id over several lines is an object, which no reader takes for one
            return event

    def _learn(self, event: bytes, data: bytes, span: IdSpan) -> None:
        head = b"data: " + data[: span.end]
        # A text ends where it ends; a number could go on in the next chunk.
        if head.endswith(b'"') and event.startswith(head) and span.end > span.start:
            self._prefix = head
            self._replacement = b"data: " + put(data[: span.end], span, self._id)


def _is_usage_only(data: bytes) -> bool:
    if not _NO_CHOICES.search(data):
        return False
    try:
        chunk = loads(data)
    except Refusal:
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and bool(chunk.get("usage"))
