"""A stream that is being kept: forwards its events under our id and assembles the completion."""

import re

from chatkeep.core.json.spans import loads
from chatkeep.core.model.ids import CompletionId
from chatkeep.core.stream.assembly import Assembly
from chatkeep.core.stream.delta import Pieces
from chatkeep.core.stream.sse import EventSplitter, EventTooLong, event_data, replace_span
from chatkeep.core.stream.template import Shape, shape_of
from chatkeep.core.wire.renaming import IdSpan, id_span, put
from chatkeep.errors import Refusal

_DONE = b"[DONE]"
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


_TRIES = 4
_TOGETHER = 64  # events; joining them is in vain when one of them is not as expected


class _Alike:
    """What the next chunk is expected to be like, its head under our id, where its text goes."""

    __slots__ = ("head", "node", "shape", "used")

    def __init__(self, shape: Shape, head: bytes, node: Pieces) -> None:
        self.shape = shape
        self.head = head
        self.node = node
        self.used = False


class StreamRelay:
    """Takes the upstream's bytes, gives the client's; pure, so any split of them gives the same.

    `take` holds back `[DONE]` and what follows: the caller commits first and then sends `held`.
    `hide_usage` drops the usage-only chunk that was asked for by us and not by the client.
    `overflow` is set when more than `max_bytes` came; from then on nothing more is assembled.
    """

    def __init__(self, id: CompletionId, n: int, *, hide_usage: bool, max_bytes: int) -> None:
        self.assembly = Assembly(n)
        self.held = b""
        self.overflow = False
        self._id = id
        self._hide_usage = hide_usage
        self._budget = max_bytes
        self._max_event = max_bytes
        self._splitter = EventSplitter(max_event=max_bytes)
        self._line_end_cut = False
        self._prefix = b""
        self._replacement = b""
        self._alike: _Alike | None = None
        self._in_vain = 0

    def take(self, data: bytes) -> bytes:
        if self.assembly.done:
            return data
        self._budget -= len(data)
        self.overflow = self.overflow or self._budget < 0
        alike = self._alike
        if alike is None or len(data) < 2 * len(alike.head) or self._splitter.waiting:
            return self._take_events(data)
        out: list[bytes] = []  # for several events, which need not be cut apart first
        rest = self._take_run(alike, data, out)
        return b"".join(out) + self._take_events(rest)

    def _take_events(self, data: bytes) -> bytes:
        try:
            events = self._splitter.feed(data)
        except EventTooLong:
            return self._too_long()
        out: list[bytes] = []
        at, end = 0, len(events)
        while at < end and not self.assembly.done:
            out.append(self._event(events[at]))
            at += 1
            if at < end and self._alike is not None and not self._line_end_cut:
                at += self._take_together(self._alike, events[at : at + _TOGETHER], out)
        if self.assembly.done:
            self.held = b"".join((out.pop(), *events[at:], self._splitter.rest()))
        return b"".join(out)

    def _take_together(self, alike: _Alike, events: list[bytes], out: list[bytes]) -> int:
        """Takes those that are as expected before the first that is not; how many."""
        rest = len(self._take_run(alike, b"".join(events), out))
        left = 0
        while left < len(events) and rest > 0:
            left += 1
            rest -= len(events[-left])
        return len(events) - left

    def _take_run(self, alike: _Alike, data: bytes, out: list[bytes]) -> bytes:
        """Takes the events that are as expected and gives back what comes after them."""
        run = alike.shape.run(data, alike.head)
        if run is None:
            return data
        alike.used = True
        if not self.overflow:
            alike.node.extend(filter(None, run.texts))
        out.append(run.renamed)
        return run.rest

    def end(self) -> bytes:
        """Takes what is left of an event that never ended, once; it counts when it is whole."""
        rest = b"" if self.assembly.done else self._splitter.rest()
        return self._event(rest) if rest else b""

    def _too_long(self) -> bytes:
        """Lets go of an event no end of which came within bounds; its other half passes too."""
        self.overflow = True
        rest = self._splitter.rest()
        self._splitter = EventSplitter(max_event=self._max_event)
        return rest

    def _add(self, data: bytes) -> None:
        if not self.overflow or data.strip() == _DONE:
            self.assembly.add(data)

    def _event(self, event: bytes) -> bytes:
        if self._line_end_cut:  # the rest of the CRLF that ended a hidden event
            self._line_end_cut = False
            event = event.removeprefix(b"\n")
        alike = self._alike
        if alike is not None:
            text = alike.shape.text(event)
            if text is not None:
                alike.used = True
                if text and not self.overflow:
                    alike.node.append(text)
                return alike.head + event[len(alike.shape.head) :]
            self._in_vain += not alike.used
            self._alike = None
        return self._other(event)

    def _other(self, event: bytes) -> bytes:
        data = event_data(event)
        if data is None:
            return event
        # Chunks of one stream begin alike up to the end of the id: one comparison finds it again.
        if self._prefix and event.startswith(self._prefix):
            self._add(data)
            self._look_for_alike(event)
            out = self._replacement + event[len(self._prefix) :]
        else:
            out = self._first_of_its_kind(event, data)
        if self._hide_usage and _is_usage_only(data):
            self._line_end_cut = event.endswith(b"\r")
            return b"\n" if event.startswith(b"\n") else b""  # it ends the line before
        return out

    def _look_for_alike(self, event: bytes) -> None:
        """Learns the shape of this chunk, unless that was in vain too often."""
        flow = self.assembly.flow if self._in_vain < _TRIES and not self.overflow else None
        if flow is not None:
            shape = shape_of(event, flow.key, obfuscated=self.assembly.obfuscated)
            if shape is not None and shape.head.startswith(self._prefix):
                head = self._replacement + shape.head[len(self._prefix) :]
                self._alike = _Alike(shape, head, flow.node)

    def _first_of_its_kind(self, event: bytes, data: bytes) -> bytes:
        span = id_span(data)
        if span is None:
            if data.strip() == _DONE or b'"error"' in data:
                self._add(data)
            return event
        self._add(data)
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
