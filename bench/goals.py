"""The goals of DESIGN.md §8, one row a figure."""

from msgspec import Struct


class Goal(Struct, frozen=True):
    """A figure's limit in its own unit, and how many times the disk's fsync comes on top."""

    scenario: str
    figure: str
    limit: float
    fsyncs: int = 0


GOALS = (
    Goal("create", "rate", 5_000),
    Goal("create", "cpu", 200),
    Goal("latency", "added", 0.5, fsyncs=1),
    Goal("stream", "rate", 90_000),
    Goal("stream", "cpu", 12),
    Goal("retrieve", "rate", 15_000),
    Goal("update", "rate", 6_000),
    Goal("update", "p99", 50),
    Goal("list", "cpu", 300),
    Goal("list-filtered", "cpu", 300),
    Goal("footprint", "memory", 80),
    Goal("footprint", "start", 1),
    Goal("footprint", "install", 60),
)


def limit(scenario: str, figure: str, fsync_ms: float) -> float | None:
    for goal in GOALS:
        if (goal.scenario, goal.figure) == (scenario, figure):
            return goal.limit + goal.fsyncs * fsync_ms
    return None
