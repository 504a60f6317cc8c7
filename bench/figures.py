"""Figures: what a run says in numbers, held against its references and its goals."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from bench.goals import limit, slowness
from bench.measure import Measured
from bench.scenarios import Scenario

OURS = "chatkeep"
BARE = "bare"
MOCK = "mock"

_LOAD_BOUND = 0.9
_DISTURBED = 0.1


class Kind(Struct, frozen=True):
    """A way to read a figure off a run. `over_mock` takes away what the mock alone needs."""

    label: str
    more_is_better: bool
    of: Callable[[Measured], float]
    over_mock: bool = False


KINDS: dict[str, Kind] = {
    "rate": Kind("{operation}s/s", True, lambda run: run.operations / run.seconds),
    "cpu": Kind(
        "CPU µs a {operation}", False, lambda run: run.server_cpu_s / max(run.operations, 1) * 1e6
    ),
    "p50": Kind("p50 ms", False, lambda run: run.p50_ms),
    "p99": Kind("p99 ms", False, lambda run: run.p99_ms),
    "added": Kind("p50 ms added to the mock's", False, lambda run: run.p50_ms, over_mock=True),
    "first": Kind("p50 ms to the first chunk", False, lambda run: run.first_p50_ms),
    "first_added": Kind(
        "p50 ms added to the first chunk", False, lambda run: run.first_p50_ms, over_mock=True
    ),
    "gap": Kind("p99 ms between chunks", False, lambda run: run.gap_p99_ms),
}


class Outcome(Struct, frozen=True):
    """The runs of one scenario by target. `rows` is the store's size, where it matters."""

    scenario: str
    title: str
    runs: dict[str, Measured]
    rows: int | None = None


class Figure(Struct, frozen=True):
    """One line of the report."""

    scenario: str
    title: str
    name: str
    label: str
    more_is_better: bool
    values: dict[str, float]
    goal: float | None = None
    note: str = ""
    goal_here: float | None = None  # the goal on a machine as fast as this one

    @property
    def of_bare(self) -> float | None:
        """Ours as a multiple of the bare forwarder's."""
        ours, bare = self.values.get(OURS), self.values.get(BARE)
        return ours / bare if ours is not None and bare else None

    @property
    def of_goal(self) -> float | None:
        """How well the goal is met: 1 is just so, more is better."""
        return self._of(self.goal)

    @property
    def of_goal_here(self) -> float | None:
        """The same of the goal on a machine as fast as this one."""
        return self._of(self.goal_here)

    def _of(self, goal: float | None) -> float | None:
        ours = self.values.get(OURS)
        if goal is None or ours is None:
            return None
        reached, wanted = (ours, goal) if self.more_is_better else (goal, ours)
        return reached / wanted if wanted > 0 else None


def figures(scenario: Scenario, outcome: Outcome, fsync_ms: float) -> list[Figure]:
    found = []
    for name in scenario.figures:
        kind = KINDS[name]
        goal = limit(scenario.name, name, fsync_ms)
        found.append(
            Figure(
                scenario=scenario.name,
                title=outcome.title,
                name=name,
                label=kind.label.format(operation=scenario.operation),
                more_is_better=kind.more_is_better,
                values=_values(kind, outcome.runs),
                goal=goal,
                note=_note(outcome.runs) if name == scenario.figures[0] else "",
                goal_here=None if goal is None else _here(scenario, name, goal, outcome.runs),
            )
        )
    return found


def _here(scenario: Scenario, name: str, goal: float, runs: Mapping[str, Measured]) -> float | None:
    """The goal as it would have been set here: the bare forwarder's CPU says how slow here is."""
    slower = slowness(scenario.name, name, KINDS["cpu"].of(runs[BARE]))
    if not slower:
        return None
    return goal / slower if KINDS[name].more_is_better else goal * slower


def _values(kind: Kind, runs: Mapping[str, Measured]) -> dict[str, float]:
    if not kind.over_mock:
        return {target: kind.of(run) for target, run in runs.items()}
    own = kind.of(runs[MOCK])
    return {target: kind.of(run) - own for target, run in runs.items() if target != MOCK}


def _note(runs: Mapping[str, Measured]) -> str:
    """What kept our run from being faster, and what went wrong in any."""
    ours = runs[OURS]
    said = [f"server {ours.server_share:.0%} busy"]
    if ours.others_share > _DISTURBED:
        said.append(f"others {ours.others_share:.0%}")
    if ours.load_share > _LOAD_BOUND:
        said.append(f"the load {ours.load_share:.0%}: it may be the limit")
    said += [f"{target}: {run.errors} ERRORS" for target, run in runs.items() if run.errors]
    return ", ".join(said)
