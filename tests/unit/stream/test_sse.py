"""Server-sent events: where they end, what their data is, and what may be replaced in it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.streams import ALL, stream_of

from chatkeep.core.stream.sse import EventSplitter, EventTooLong, event_data, replace_span

# Bytes of which most combinations mean something to the parser.
pieces = st.sampled_from(
    (
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b"data",
        b"data:",
        b"data: x",
        b" ",
        b":",
        b"id: 7",
    )
)
streams = st.lists(pieces, max_size=30).map(b"".join)


def split(stream: bytes, reads: list[bytes] | None = None) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for read in reads or [stream] for event in splitter.feed(read)]
    return events, splitter.rest()


def all_data(events: list[bytes]) -> list[bytes]:
    return [data for event in events if (data := event_data(event)) is not None]


def by_the_standard(stream: bytes) -> list[bytes]:
    """The data of the stream's events, parsed line by line as the HTML standard words it."""
    found: list[bytes] = []
    values: list[bytes] = []
    *lines, _unfinished = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for line in lines:
        field, _, value = line.partition(b":")
        if field == b"data":
            values.append(value.removeprefix(b" "))
        elif not line and values:
            found.append(b"\n".join(values))
            values = []
    return found


@st.composite
def cut_up(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> list[bytes]:
    stream = draw(whole)
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    return [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]


def test_an_event_that_does_not_end_is_refused_beyond_the_limit_and_not_lost() -> None:
    splitter = EventSplitter(max_event=10)
    assert splitter.feed(b"data: 1234") == []
    with pytest.raises(EventTooLong, match=r"11 bytes .* at most 10"):
        splitter.feed(b"5")
    assert splitter.rest() == b"data: 12345"


def test_the_limit_is_refused_in_one_read_too() -> None:
    splitter = EventSplitter(max_event=10)
    with pytest.raises(EventTooLong):
        splitter.feed(b"data: 123456789")
    assert splitter.rest() == b"data: 123456789"


def test_events_that_came_whole_are_given_before_the_limit_is_refused() -> None:
    splitter = EventSplitter(max_event=10)
    assert splitter.feed(b"data: 1\n\ndata: 123456789") == [b"data: 1\n\n"]
    with pytest.raises(EventTooLong):
        splitter.feed(b"0")


@pytest.mark.parametrize(("start", "end"), [(0, 2), (1, 3), (-1, 0), (3, 4), (1, 0)])
def test_a_span_outside_one_data_line_cannot_be_replaced(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="do not lie inside one data line"):
        replace_span(b"data: a\ndata: b\n\n", start, end, b"x")


@pytest.mark.parametrize(
    "event",
    [
        b"\n",
        b"\n\n",
        b": comment\n\n",
        b"event: ping\nid: 1\n\n",
        b"database: 1\n\n",
        b" data: x\n\n",
    ],
)
def test_an_event_without_a_data_line_has_no_data(event: bytes) -> None:
    assert event_data(event) is None


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"data:  {}\n\n", b" {}"),
        (b"data: {}\r\n\r\n", b"{}"),
        (b"data: {}\r\r", b"{}"),
        (b"data: {}", b"{}"),
        (b"data\n\n", b""),
        (b"data:\n\n", b""),
        (b"data: a\ndata\ndata: b\n\n", b"a\n\nb"),
        (b"data: a\r\ndata: b\rdata: c\n\n", b"a\nb\nc"),
        (b"\ndata: a\n\n", b"a"),
        (b"\xef\xbb\xbfdata: a\n\n", b"a"),
        (b"event: x\ndata: a: b\nid: 1\n\n", b"a: b"),
    ],
)
def test_data_is_read_as_the_standard_says(event: bytes, data: bytes) -> None:
    assert event_data(event) == data


@pytest.mark.parametrize(
    ("stream", "events", "rest"),
    [
        (b"data: a\n\ndata: b\n\nda", [b"data: a\n\n", b"data: b\n\n"], b"da"),
        (b"data: a\r\n\r\nda", [b"data: a\r\n\r\n"], b"da"),
        (b"data: a\r\rdata: b\n\r\n", [b"data: a\r\r", b"data: b\n\r\n"], b""),
        (b"data: a\r\r\nda", [b"data: a\r\r\n"], b"da"),
        (b"data: a\r\ndata: b\r\n\r\n", [b"data: a\r\ndata: b\r\n\r\n"], b""),
        (b"data: a\n\n\ndata: b\n\n", [b"data: a\n\n", b"\ndata: b\n\n"], b""),
        (b"data: a\r\n", [], b"data: a\r\n"),
    ],
)
def test_a_blank_line_of_any_kind_ends_an_event(
    stream: bytes, events: list[bytes], rest: bytes
) -> None:
    assert split(stream) == (events, rest)


def test_an_event_is_given_without_waiting_for_the_second_half_of_its_line_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r\n\r") == [b"data: a\r\n\r"]
    assert splitter.feed(b"\ndata: b\r\n\r\n") == [b"\ndata: b\r\n\r\n"]


def test_a_line_end_cut_in_two_is_no_blank_line() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r") == []
    assert splitter.feed(b"\ndata: b\r") == []
    assert splitter.feed(b"\n\r\n") == [b"data: a\r\ndata: b\r\n\r\n"]


def test_one_event_may_come_in_very_many_reads() -> None:
    # Searching or copying what waits at each read would take minutes here.
    splitter = EventSplitter()
    reads = 300_000
    assert not any(splitter.feed(b"\rx") for _ in range(reads))
    assert splitter.feed(b"\n\n") == [b"\rx" * reads + b"\n\n"]


@given(cut_up(streams))
def test_every_byte_comes_out_again_however_the_stream_is_cut(reads: list[bytes]) -> None:
    events, rest = split(b"", reads)
    assert b"".join(events) + rest == b"".join(reads)


@given(cut_up(streams))
def test_the_data_is_that_of_the_standard_however_the_stream_is_cut(reads: list[bytes]) -> None:
    events, _ = split(b"", reads)
    assert all_data(events) == by_the_standard(b"".join(reads))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_whole_streams_have_the_same_data_with_any_line_end(name: str, line_end: bytes) -> None:
    stream = stream_of(name)
    events, rest = split(stream.replace(b"\n", line_end))
    assert rest == b""
    assert all_data(events) == by_the_standard(stream)


@given(st.data(), streams.filter(lambda stream: event_data(stream) is not None))
def test_replacing_a_span_of_the_data_leaves_all_other_bytes(
    given_data: st.DataObject, event: bytes
) -> None:
    data = event_data(event)
    assert data is not None
    line = given_data.draw(st.integers(0, data.count(b"\n")))
    first = sum(len(before) + 1 for before in data.split(b"\n")[:line])
    last = first + len(data.split(b"\n")[line])
    start = given_data.draw(st.integers(first, last))
    end = given_data.draw(st.integers(start, last))
    # An empty value may have no colon to stand behind.
    new = b"-new-" if last > first else b""
    replaced = replace_span(event, start, end, new)
    assert event_data(replaced) == data[:start] + new + data[end:]
    assert len(replaced) == len(event) + len(new) - (end - start)
