"""The report as an SVG bar chart: ours beside the bare forwarder and peers, with the goals.

Every line has a scale of its own, from 0 to its largest value. Colours follow the reader's theme.
"""

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from bench.figures import MOCK, OURS, Figure
from bench.report import number

_WIDTH = 860
_LEFT = 230
_RIGHT = 170
_BAR = 14
_STEP = 18
_MARGIN = 16
_TITLE = 30
_GAP = 8
_SPAN = _WIDTH - _LEFT - _RIGHT

_STYLE = """\
svg { font: 13px system-ui, sans-serif; --ground: #fff; --ink: #1c1e21; --quiet: #5b616b;
  --ours: #0b6bcb; --other: #b4bac4; --goal: #b3261e }
@media (prefers-color-scheme: dark) {
  svg { --ground: #16181d; --ink: #e6e6e6; --quiet: #a0a6b0;
    --ours: #4da3ff; --other: #4d535e; --goal: #ff8a80 }
}
.ground { fill: var(--ground) }
text { fill: var(--ink) }
.quiet { fill: var(--quiet) }
.title { font-weight: 600 }
.ours { fill: var(--ours) }
.other { fill: var(--other) }
.goal { stroke: var(--goal); stroke-width: 2 }
.hollow { fill: var(--ground); stroke: var(--ours); stroke-width: 1.5 }
.join { stroke: var(--ours); stroke-width: 1.5 }
.grid { stroke: var(--other); stroke-width: 0.5 }"""


def svg(figures: Iterable[Figure]) -> str:
    body: list[str] = []
    y = _MARGIN + _STEP
    body.append(text(_MARGIN, y, "Bars: each line from 0. Red mark: the goal.", "quiet"))
    for title, group in groupby(figures, key=lambda figure: figure.title):
        y += _TITLE
        body.append(text(_MARGIN, y, title, "title"))
        for figure in group:
            y += _GAP
            body += _bars(figure, y)
            y += _STEP * len(_shown(figure))
    return frame(body, _WIDTH, y + _MARGIN, "Benchmark of chatkeep")


def frame(body: Iterable[str], width: int, height: int, label: str) -> str:
    """A whole picture; `label` is what readers hear who do not see it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img" aria-label="{escape(label)}">'
    )
    ground = f'<rect class="ground" width="{width}" height="{height}"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", ground, *body, "</svg>"]) + "\n"


def text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _shown(figure: Figure) -> dict[str, float]:
    """The mock alone would dwarf the others."""
    return {target: value for target, value in figure.values.items() if target != MOCK}


def _bars(figure: Figure, top: int) -> Iterator[str]:
    shown = _shown(figure)
    longest = max([*shown.values(), figure.goal or 0.0]) or 1.0
    yield text(_LEFT - 10, top + _STEP - 5, figure.label, "quiet", "end")
    for index, (target, value) in enumerate(shown.items()):
        y = top + index * _STEP
        width = max(value, 0.0) / longest * _SPAN
        kind = "ours" if target == OURS else "other"
        yield f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}"/>'
        yield text(_LEFT + width + 6, y + _BAR - 2, f"{number(value)} {target}")
    if figure.goal is not None:
        x = _LEFT + figure.goal / longest * _SPAN
        bottom = top + _STEP * len(shown)
        yield f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{bottom}"/>'
