"""Plots for the docs, as SVG: the same figures give the same bytes. Colours follow the theme."""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.chart import frame, text
from bench.lists import Lists
from bench.report import number
from bench.shapes import SHAPES

_LEFT = 270
_RIGHT = 20
_WIDTH = 860
_SPAN = _WIDTH - _LEFT - _RIGHT
_STEP = 19
_MARGIN = 16
_TOP = 78
_BAR = 14
_ROW = re.compile(r"\| \**(.+?)\** \| ([\d,]+) \|[^|]*\|$")
_LESS = "less "  # of the row before
_CORPUS = re.compile(r"`(.+)`, ([\d,]+) completions:$")


def lists(found: Lists) -> str:
    """A line for each shape of page; on it a dot for each size of the store, larger for larger."""
    sizes = [f"{size.rows:,}" for size in found.sizes]
    costs = {
        shape.name: [size.costs[shape.name].least_us for size in found.sizes] for shape in SHAPES
    }
    scale = _Scale([cost for all_sizes in costs.values() for cost in all_sizes])
    height = _TOP + _STEP * len(costs) + _MARGIN
    body = [text(_MARGIN, 26, "CPU time of a page of 20 in stores of growing size", "title")]
    body += _legend(sizes)
    body += scale.grid(_TOP - 12, height - _MARGIN)
    for at, (name, all_sizes) in enumerate(costs.items()):
        y = _TOP + _STEP * at + _STEP / 2
        body.append(text(_LEFT - 12, y + 4, name, "quiet", "end"))
        places = [scale.x(cost) for cost in all_sizes]
        body.append(
            f'<line class="join" x1="{min(places):.1f}" x2="{max(places):.1f}"'
            f' y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        body += [_dot(x, y, index, len(places)) for index, x in enumerate(places)]
    return frame(body, _WIDTH, height, "CPU time of a page by the way to ask and the store's size")


def storage(tables: str) -> str:
    """What a completion takes, as the tables of bench.storage say: a bar for each of their rows."""
    body = [text(_MARGIN, 26, "Bytes a completion takes on the disk", "title")]
    y = 40.0
    for corpus, group in groupby(_bytes(tables), key=lambda row: row[0]):
        rows = list(group)
        longest = max(size for _, _, size in rows)
        y += 22
        body.append(text(_MARGIN, y, corpus, "quiet"))
        y += 8
        for _, name, size in rows:
            kind = "ours" if name.startswith(("kept", "imported")) else "other"
            width = size / longest * (_SPAN - 60)
            body.append(text(_LEFT - 12, y + _BAR - 2, name, "quiet", "end"))
            body.append(
                f'<rect class="{kind}" x="{_LEFT}" y="{y:.0f}" width="{width:.1f}"'
                f' height="{_BAR}"/>'
            )
            body.append(text(_LEFT + width + 6, y + _BAR - 2, number(size)))
            y += _STEP
    return frame(body, _WIDTH, int(y) + _MARGIN, "Bytes a completion takes on the disk")


class _Scale:
    """Logarithmic, over whole powers of ten."""

    def __init__(self, values: Sequence[float]) -> None:
        self._low = math.floor(math.log10(min(values)))
        self._high = max(math.ceil(math.log10(max(values))), self._low + 1)

    def x(self, value: float) -> float:
        return _LEFT + (math.log10(value) - self._low) / (self._high - self._low) * _SPAN

    def grid(self, top: float, bottom: float) -> Iterator[str]:
        for power in range(self._low, self._high + 1):
            x = self.x(10**power)
            anchor = "end" if power == self._high else "middle"
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
            yield text(x, top - 6, _duration(power), "quiet", anchor)


def _duration(power: int) -> str:
    for unit in ("µs", "ms"):
        if power < 3:
            return f"{10**power} {unit}"
        power -= 3
    return f"{10**power:,} s"


def _legend(sizes: Sequence[str]) -> Iterator[str]:
    x = float(_LEFT)
    for index, size in enumerate(sizes):
        yield _dot(x, 40, index, len(sizes))
        yield text(x + 12, 44, f"{size} rows")
        x += 130


def _dot(x: float, y: float, index: int, count: int) -> str:
    kind = "ours" if index == count - 1 else "hollow"
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{2.5 + 1.5 * index}"/>'


def _bytes(tables: str) -> Iterator[tuple[str, str, float]]:
    """The corpus, the name and the bytes of every row that has bytes."""
    corpus = ""
    for line in tables.splitlines():
        if head := _CORPUS.match(line):
            corpus = f"{head[1]}: {head[2]} completions"
        elif (row := _ROW.match(line)) and not row[1].startswith(_LESS):
            yield corpus, row[1], float(row[2].replace(",", ""))
