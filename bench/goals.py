"""The goals of DESIGN.md §8, one row a figure."""

from msgspec import Struct


class Goal(Struct, frozen=True):
    """A figure's limit in its own unit, and how many times the disk's fsync comes on top.

    `bare_us` is the CPU that an operation of the bare forwarder took where the goal was set, None
    for what depends on more than the processor.
    """

    scenario: str
    figure: str
    limit: float
    fsyncs: int = 0
    bare_us: float | None = None


# With aiohttp it took 160 and 4; with chatkeep's own client 2.75 and 3.4 times less, side by side.
_FORWARDED_US = 58  # a plain answer from the upstream
_CHUNK_US = 1.2
_STATIC_US = 42  # an answer from memory

GOALS = (
    Goal("create", "rate", 5_000, bare_us=_FORWARDED_US),
    Goal("create", "cpu", 200, bare_us=_FORWARDED_US),
    Goal("latency", "added", 0.5, fsyncs=1),
    Goal("stream", "rate", 90_000, bare_us=_CHUNK_US),
    Goal("stream", "cpu", 12, bare_us=_CHUNK_US),
    Goal("retrieve", "rate", 15_000, bare_us=_STATIC_US),
    Goal("retrieve-again", "rate", 15_000, bare_us=_STATIC_US),
    Goal("update", "rate", 6_000, bare_us=_STATIC_US),
    Goal("update", "p99", 50),
    Goal("list", "cpu", 300, bare_us=_STATIC_US),
    Goal("list-filtered", "cpu", 300, bare_us=_STATIC_US),
    Goal("footprint", "memory", 80),
    Goal("footprint", "start", 1),
    Goal("footprint", "install", 60),
)


def limit(scenario: str, figure: str, fsync_ms: float) -> float | None:
    goal = _goal(scenario, figure)
    return None if goal is None else goal.limit + goal.fsyncs * fsync_ms


def slowness(scenario: str, figure: str, bare_us: float) -> float | None:
    """How many times the CPU of where the goal was set this machine takes, by the bare forwarder's.

    None when the goal is no matter of CPU.
    """
    goal = _goal(scenario, figure)
    return None if goal is None or goal.bare_us is None else bare_us / goal.bare_us


def _goal(scenario: str, figure: str) -> Goal | None:
    named = (goal for goal in GOALS if (goal.scenario, goal.figure) == (scenario, figure))
    return next(named, None)
