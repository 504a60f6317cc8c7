"""Server-sent events: cut a byte stream into whole events, read and edit one event's data.

An event keeps its exact bytes up to and including the blank line that ends it:

    data: {"id":"a"}\\n\\n   event  → forwarded as it is
          {"id":"a"}         data   → parsed on the side
"""

import re
from itertools import pairwise

# A blank line with the line end before it, be that LF, the LF of CRLF, or CR.
_BLANK_LINE = re.compile(rb"\n(?:\r\n?|\n)")
_BLANK_LINE_CR = re.compile(rb"\n(?:\r\n?|\n)|\r\r\n?")  # four times slower, and hardly ever needed

# `data` and its value, at the start of a line; a byte order mark may open the stream.
_DATA_LINE = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n]))data(?:: ?([^\r\n]*)|(?=[\r\n]|\Z))")
_LF = 0x0A
_CR = 0x0D  # asking for an int is several times quicker than for a one-byte string


class EventTooLong(ValueError):
    """An event of the stream is longer than the limit."""


class EventSplitter:
    """Cuts reads of any size into whole events; the bytes given back are the bytes fed."""

    def __init__(self, max_event: int | None = None) -> None:
        self._max_event = max_event
        self._pending = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes.

        Raises `EventTooLong` when it completes none and more than `max_event` bytes wait; so no
        event is lost, and what waits is in `rest`.
        """
        if not self._pending:
            return self._split(data)
        self._pending += data
        if not _BLANK_LINE_CR.search(self._pending, self._searched):
            self._wait()
            return []
        whole = bytes(self._pending)
        self._pending.clear()
        return self._split(whole)

    @property
    def waiting(self) -> bool:
        return bool(self._pending)

    def rest(self) -> bytes:
        """What was fed and does not make a whole event yet."""
        return bytes(self._pending)

    def _split(self, data: bytes) -> list[bytes]:
        events, rest = _whole_events(data)
        if rest:
            self._pending += rest
            self._wait(gave=bool(events))
        return events

    def _wait(self, *, gave: bool = False) -> None:
        waiting = len(self._pending)
        self._searched = waiting - 1  # the last byte may begin the blank line
        if self._max_event is not None and waiting > self._max_event and not gave:
            raise EventTooLong(
                f"{waiting} bytes came without the end of the event;"
                f" at most {self._max_event} are taken"
            )


def event_data(event: bytes) -> bytes | None:
    """The event's `data` lines joined by LF; None when it has none."""
    data = _plain_data(event)
    if data is not None:
        return data
    values = [event[start:end] for start, end in _data_spans(event)]
    return b"\n".join(values) if values else None


def is_one_line(event: bytes) -> bool:
    """Whether the event is one `data` line and nothing else."""
    return _plain_data(event) is not None


def replace_span(event: bytes, start: int, end: int, new: bytes) -> bytes:
    """The event with `new` instead of `event_data(event)[start:end]`, all other bytes as they were.

    Raises `ValueError` when the span does not lie inside one data line.
    """
    shift = _shift(event, start, end)
    return event[: start + shift] + new + event[end + shift :]


def _whole_events(data: bytes) -> tuple[list[bytes], bytes]:
    """The events and what is left after the last one."""
    if _CR not in data:
        *events, rest = data.split(b"\n\n")
        return [event + b"\n\n" for event in events], rest
    blank_line = _BLANK_LINE_CR if b"\r\r" in data else _BLANK_LINE
    ends = [0, *(match.end() for match in blank_line.finditer(data))]
    return [data[start:end] for start, end in pairwise(ends)], data[ends[-1] :]


def _plain_data(event: bytes) -> bytes | None:
    """The data of an event of one `data` line, as nearly all are."""
    line = event.rstrip(b"\r\n")
    if line[:5] != b"data:" or _LF in line or _CR in line:
        return None
    return line[6:] if line[5:6] == b" " else line[5:]


def _data_spans(event: bytes) -> list[tuple[int, int]]:
    return [
        match.span(1) if match[1] is not None else (match.end(), match.end())
        for match in _DATA_LINE.finditer(event)
    ]


def _shift(event: bytes, start: int, end: int) -> int:
    """How far the data line that holds the span lies further back in the event than in the data."""
    offset = 0
    for line_start, line_end in _data_spans(event):
        length = line_end - line_start
        if offset <= start <= end <= offset + length:
            return line_start - offset
        offset += length + 1
    raise ValueError(f"bytes {start} to {end} do not lie inside one data line of the event")
