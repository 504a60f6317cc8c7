"""A stream that is stored: its events go on to the client and are read on the side.

upstream's bytes ─▶ StreamRelay.take ─▶ EventSplitter ─▶ StreamReader.take ─▶ client's bytes
                                                        └▶ answer()
"""

from typing import Protocol

from chatkeep.core.stream.sse import EventSplitter, EventTooLong
from chatkeep.core.wire.answer import Renamed


class StreamReader(Protocol):
    """One stream's events as its wire format reads them: pure, so any split of them gives the same.

    `done` is set by the event that ends the stream. What the client gets has our id in it.
    """

    done: bool

    @property
    def begun(self) -> bool:
        """Whether some of the answer's content has come."""
        ...

    @property
    def complete(self) -> bool:
        """Whether all of the answer's content has come; the end of the stream may be missing."""
        ...

    @property
    def failed(self) -> bool:
        """Whether an event brought an error."""
        ...

    def take(self, events: list[bytes]) -> tuple[list[bytes], int]:
        """What the client gets, and of how many events: those up to one that ends the stream."""
        ...

    def take_alike(self, data: bytes) -> tuple[bytes, bytes]:
        """Takes whole events that data begins with and that are like the one before.

        They need not be cut apart first. Gives what the client gets for them and what comes after
        them; may take none.
        """
        ...

    def stop_reading(self) -> None:
        """From now on no content is collected, but the end of the stream is still noticed."""
        ...

    def answer(self) -> Renamed | None:
        """The answer under our id as far as it has come; None when nothing of it has."""
        ...


class StreamRelay:
    """Takes the upstream's bytes, gives the client's.

    `take` holds back the event that ends the stream and what follows it: the caller commits first
    and then sends `held`. `overflow` is set when more than `max_bytes` came; then nothing more is
    read.
    """

    def __init__(self, reader: StreamReader, max_bytes: int) -> None:
        self.reader = reader
        self.held = b""
        self.overflow = False
        self._left = max_bytes
        self._max_event = max_bytes
        self._splitter = EventSplitter(max_event=max_bytes)

    def take(self, data: bytes) -> bytes:
        if self.reader.done:
            return data
        self._left -= len(data)
        if self._left < 0:
            self._overflow()
        alike = b""
        if not self._splitter.waiting:
            alike, data = self.reader.take_alike(data)
            if not data:
                return alike
        try:
            return alike + self._take_events(self._splitter.feed(data))
        except EventTooLong:
            return alike + self._too_long()

    def end(self) -> bytes:
        """Takes what is left of an event that never ended, once; it counts when it is whole."""
        rest = b"" if self.reader.done else self._splitter.rest()
        return b"".join(self.reader.take([rest])[0]) if rest else b""

    def _take_events(self, events: list[bytes]) -> bytes:
        out, taken = self.reader.take(events)
        if self.reader.done:
            self.held = b"".join((out.pop(), *events[taken:], self._splitter.rest()))
        return b"".join(out)

    def _too_long(self) -> bytes:
        """Lets go of an event no end of which came within bounds; its other half passes too."""
        self._overflow()
        rest = self._splitter.rest()
        self._splitter = EventSplitter(max_event=self._max_event)
        return rest

    def _overflow(self) -> None:
        if not self.overflow:
            self.overflow = True
            self.reader.stop_reading()
