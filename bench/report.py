"""The report as a table to read and as JSON to keep."""

from collections.abc import Sequence
from itertools import groupby

import msgspec
from msgspec import Struct

from bench.figures import BARE, MOCK, OURS, Figure, Outcome
from bench.ledger import Check
from bench.machine import Machine

_LEGEND = (
    "of bare: ours as a multiple of the bare forwarder's. of goal: 1 is just met, more is better.\n"
    "goal here: of goal, had that been set on this machine. Goals of CPU and rate were set where"
    " the bare\nforwarder took 58 µs, 1.2 a chunk and 42 for an answer from memory, and are scaled"
    " by what it took\nin this run.\n"
    "busy: the share of its core a server used; others: what other programs took of that core."
    " Much of\nthat, and the figures say little of chatkeep."
)
_LABEL = 34
_CELL = 11


class Report(Struct, frozen=True):
    machine: Machine
    seconds: int
    figures: list[Figure]
    outcomes: list[Outcome]
    checks: list[Check]
    notes: list[str]

    @property
    def failed(self) -> bool:
        """Whether chatkeep lost or refused anything; peers may."""
        wrong = any(outcome.runs[OURS].errors for outcome in self.outcomes)
        return wrong or not all(check.passed for check in self.checks)


def table(report: Report) -> str:
    targets = _targets(report.figures)
    lines = [str(report.machine), f"{report.seconds} s a run", ""]
    lines.append(_line("", [*targets, "of bare", "goal", "of goal", "goal here"]))
    for title, figures in groupby(report.figures, key=lambda figure: figure.title):
        lines += ["", title, *(_row(figure, targets) for figure in figures)]
    lines += ["", _LEGEND, "", *map(str, report.checks), *report.notes]
    return "\n".join(lines) + "\n"


def to_json(report: Report) -> bytes:
    """All of it, with the ratios beside the figures."""
    whole = msgspec.to_builtins(report)
    for figure, shown in zip(report.figures, whole["figures"], strict=True):
        ratios = ("of_bare", "of_goal", "of_goal_here")
        shown |= {name: getattr(figure, name) for name in ratios}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2)


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _targets(figures: Sequence[Figure]) -> list[str]:
    named = dict.fromkeys(name for figure in figures for name in figure.values)
    first = [OURS, BARE, MOCK]
    return [*first, *(name for name in named if name not in first)]


def _row(figure: Figure, targets: Sequence[str]) -> str:
    cells = [number(figure.values.get(target)) for target in targets]
    goal = "" if figure.goal is None else f"{_sign(figure)} {number(figure.goal)}"
    cells += [number(figure.of_bare), goal, number(figure.of_goal), number(figure.of_goal_here)]
    return _line(f"  {figure.label}", cells, figure.note)


def _sign(figure: Figure) -> str:
    return "≥" if figure.more_is_better else "≤"


def _line(label: str, cells: Sequence[str], note: str = "") -> str:
    shown = "".join(f"{cell:>{_CELL}}" for cell in cells)
    return f"{label:<{_LABEL}}{shown}  {note}".rstrip()
