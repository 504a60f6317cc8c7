"""What is measured: every scenario with its load, and what its figures are held against."""

from typing import Literal

from msgspec import Struct

from bench import samples
from bench.measure import Load, Requests, Streams

Operation = Literal["request", "chunk"]
Needs = Literal["records", "rows"]

_MANY = 64
_CROWD = 500
_FEW = 8
_READ_AGAIN = 500  # few enough to be remembered, as all together are not
# The role before the content and the finish reason after it are chunks, too.
_EVENTS = samples.STREAM_CHUNKS + 2
PACED_EVENTS = samples.PACED_CHUNKS + 2


def _plain(connections: int) -> Requests:
    return Requests(connections, samples.plain(store=False))


def _stream(model: str, events: int, *, store: bool, connections: int = _MANY) -> Streams:
    return Streams(connections, samples.stream(model, store=store), events, stores=store)


class Scenario(Struct, frozen=True):
    """`reference` is the load that the mock itself and the bare forwarder are given.

    `figures` are names of figures.KINDS. Scenarios that need `rows` run on stores of a known size,
    the others on one store, one after the other. `idle` connections are held open meanwhile.
    """

    name: str
    title: str
    load: Load
    reference: Load
    figures: tuple[str, ...]
    operation: Operation = "request"
    needs: Needs = "records"
    idle: int = 0

    @property
    def forwards(self) -> bool:
        """Whether a gateway that keeps nothing can do as much as the bare forwarder."""
        return self.reference not in (_STATIC, _STATIC_FEW)


_FORWARDED = _plain(_MANY)
_ALONE = _plain(1)
_STATIC = Requests(_MANY, samples.static())
_STATIC_FEW = Requests(_FEW, samples.static())
_FAST = _stream(samples.MODEL, _EVENTS, store=False)
_PACED = _stream(samples.PACED, PACED_EVENTS, store=False)
_OF_REQUESTS = ("rate", "cpu", "p50", "p99")
_OF_STREAMS = ("rate", "cpu", "first")
_OF_PACED = ("cpu", "first_added", "gap")

SCENARIOS = (
    Scenario(
        "create",
        "Create and store a 1 KB answer, 64 connections",
        Requests(_MANY, samples.plain(store=True), stores=True),
        _FORWARDED,
        _OF_REQUESTS,
    ),
    Scenario(
        "latency",
        "Create and store a 1 KB answer, 1 connection",
        Requests(1, samples.plain(store=True), stores=True),
        _ALONE,
        ("added", "p50", "p99", "cpu"),
    ),
    Scenario(
        "forward", "Create without storing, 64 connections", _FORWARDED, _FORWARDED, _OF_REQUESTS
    ),
    Scenario(
        "stream",
        "Stored streams of 200 chunks, 64 connections",
        _stream(samples.MODEL, _EVENTS, store=True),
        _FAST,
        _OF_STREAMS,
        "chunk",
    ),
    Scenario(
        "stream-forward",
        "Streams of 200 chunks without storing, 64 connections",
        _FAST,
        _FAST,
        _OF_STREAMS,
        "chunk",
    ),
    Scenario(
        "paced",
        "Stored streams, a chunk every 20 ms, 64 connections",
        _stream(samples.PACED, PACED_EVENTS, store=True),
        _PACED,
        _OF_PACED,
        "chunk",
    ),
    Scenario(
        "paced-forward",
        "Streams without storing, a chunk every 20 ms, 64 connections",
        _PACED,
        _PACED,
        _OF_PACED,
        "chunk",
    ),
    Scenario(
        "crowd",
        "500 stored streams with pauses beside 1,000 idle connections",
        _stream(samples.PACED, PACED_EVENTS, store=True, connections=_CROWD),
        _stream(samples.PACED, PACED_EVENTS, store=False, connections=_CROWD),
        _OF_PACED,
        "chunk",
        idle=1_000,
    ),
    Scenario(
        "retrieve",
        "Retrieve for the first time, 64 connections",
        Requests(_MANY, samples.retrieve()),
        _STATIC,
        _OF_REQUESTS,
    ),
    Scenario(
        "retrieve-again",
        "Retrieve what was read before, 64 connections",
        Requests(_MANY, samples.retrieve(), many=_READ_AGAIN),
        _STATIC,
        _OF_REQUESTS,
    ),
    Scenario(
        "messages",
        "List the messages of a completion, 64 connections",
        Requests(_MANY, samples.messages()),
        _STATIC,
        _OF_REQUESTS,
    ),
    Scenario(
        "update",
        "Durable metadata update, 64 connections",
        Requests(_MANY, samples.update(), stores=True),
        _STATIC,
        _OF_REQUESTS,
    ),
    Scenario(
        "list",
        "Page of 20, newest first, 8 connections",
        Requests(_FEW, samples.page()),
        _STATIC_FEW,
        _OF_REQUESTS,
        needs="rows",
    ),
    Scenario(
        "list-filtered",
        "Page of 20 with one metadata pair, 8 connections",
        Requests(_FEW, samples.filtered_page()),
        _STATIC_FEW,
        _OF_REQUESTS,
        needs="rows",
    ),
)
FOOTPRINT = "footprint"
STORAGE = "storage"
LISTS = "lists"
NAMES = (*(scenario.name for scenario in SCENARIOS), FOOTPRINT, STORAGE, LISTS)
