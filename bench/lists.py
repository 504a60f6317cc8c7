"""What a page costs for every way to ask for it, in stores of growing size, and what streams feel.

One store grows from size to size through its own write path. At each size every shape of page is
read in this process, where its CPU time is counted, and through a server. What was read before is
remembered: what is left is to find a page's completions, and to show them.
"""

import asyncio
import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from bench import samples, synthetic
from bench.ledger import Ledger
from bench.machine import Machine, cores, describe, folder_on_disk, on_cores
from bench.measure import Driver, Streams
from bench.process import Broken
from bench.scenarios import PACED_EVENTS
from bench.shapes import SHAPES, Shape, asked
from bench.streams import percentile
from bench.synthetic import Filled
from bench.target import Stage, Target, chatkeep, stage
from chatkeep.core.model.completion import Project
from chatkeep.core.records.completions import Completions

_STORE = "lists"
_PAGES = "/keep/v1/completions"
_ENOUGH_US = 3e6  # of one shape: the few that are slow are not repeated as often
_CONNECTIONS = 16
_ROUNDS = 2
_FLAT = 2.0
_ADDED_MS = 5.0  # DESIGN.md §8
# What a dashboard asks for, one after the other.
_LONG_READS = (
    "/keep/v1/facets",
    "/keep/v1/facets?values_of=team&metadata%5Benv%5D=prod",
    f"{_PAGES}?q=harbor&limit=100",
    f"{_PAGES}?q=cobalt&metadata%5Bteam%5D=t07",
    f"{_PAGES}?metadata%5Bside-a%5D=yes&metadata%5Bside-b%5D=yes",
    "/keep/v1/stats?group=day,model",
)


class Cost(Struct, frozen=True):
    """Of one page: the least and the median CPU µs, how long it took over HTTP, and its items."""

    least_us: float
    p50_us: float
    http_ms: float
    items: int


class Size(Struct, frozen=True):
    """`filled` is None of rows that were there before."""

    rows: int
    mb: float
    filled: Filled | None
    costs: dict[str, Cost]


class _Page(Struct):
    """A page read in this process."""

    shape: Shape
    pairs: list[tuple[str, str]]
    took_us: list[float] = []
    items: int = 0


class Gaps(Struct, frozen=True):
    """ms between a stream's chunks, p99, alone and beside long reads, and what these took."""

    rows: int
    alone_ms: float
    beside_ms: float
    reads: dict[str, float]


class Lists(Struct, frozen=True):
    machine: Machine
    sizes: list[Size]
    gaps: Gaps


class Plan(Struct, frozen=True):
    """`file` is kept, and taken up where it was left; None makes a store for this run alone.

    Each page is read so many `times` in this process and as often over HTTP; streams run for so
    many `seconds`, four times.
    """

    sizes: Sequence[int]
    seconds: int
    times: int = 60
    file: Path | None = None


def run(plan: Plan, say: synthetic.Say) -> Lists:
    """Raises Broken."""
    with folder_on_disk() as folder:
        path = plan.file or folder / "lists.db"
        machine = describe(cores(), folder)
        with stage(folder, cores()) as ground:
            sizes = [_size(path, ground, rows, plan.times, say) for rows in sorted(plan.sizes)]
            say("streams beside long reads")
            driver = Driver(ground, plan.seconds)
            return Lists(machine, sizes, _gaps(path, ground, driver, sizes[-1].rows))


def _size(path: Path, ground: Stage, rows: int, times: int, say: synthetic.Say) -> Size:
    filled, pages = asyncio.run(_in_process(path, rows, times, say))
    say(f"{rows:,} rows: over HTTP")
    with chatkeep(ground, _STORE, path) as target, _connected(target) as connection:
        costs = {
            page.shape.name: Cost(
                min(page.took_us),
                percentile(page.took_us, 50),
                _http_ms(connection, urlencode(page.pairs), times),
                page.items,
            )
            for page in pages
        }
    return Size(rows, path.stat().st_size / 1e6, filled, costs)


async def _in_process(
    path: Path, rows: int, times: int, say: synthetic.Say
) -> tuple[Filled | None, list[_Page]]:
    store, project, there = await synthetic.opened(path)
    try:
        if there > rows:
            raise Broken(f"{path} has {there:,} rows already: it cannot be measured at {rows:,}")
        filled = None
        if there < rows:
            filled = await synthetic.fill(store, project, there, rows, say)
        say(f"{rows:,} rows: in this process")
        completions = Completions(store)
        return filled, await _pages(completions, project, rows, times)
    finally:
        await store.aclose()


async def _pages(completions: Completions, project: Project, rows: int, times: int) -> list[_Page]:
    """Every shape in turn, again and again: a machine's slow minute does not meet one alone."""
    pages = [_Page(shape, asked(shape, project, rows)) for shape in SHAPES]
    for _ in range(times):
        for page in pages:
            if sum(page.took_us) < _ENOUGH_US:
                began = time.process_time_ns()
                body = await completions.records(project, page.pairs)
                page.took_us.append((time.process_time_ns() - began) / 1000)
                page.items = len(msgspec.json.decode(body)["data"])
    return pages


def _http_ms(connection: http.client.HTTPConnection, query: str, times: int) -> float:
    took: list[float] = []
    while len(took) < times and sum(took) * 1e3 < _ENOUGH_US:
        took.append(_read_ms(connection, f"{_PAGES}?{query}"))
    return percentile(took, 50)


def _gaps(path: Path, ground: Stage, driver: Driver, rows: int) -> Gaps:
    load = Streams(_CONNECTIONS, samples.stream(samples.PACED, store=False), PACED_EVENTS)
    alone, beside = [], []
    reads: dict[str, list[float]] = {path: [] for path in _LONG_READS}
    with chatkeep(ground, _STORE, path) as target:
        for _ in range(_ROUNDS):
            alone.append(driver.measure(target, load, Ledger()).gap_p99_ms)
            with _reading(target, ground, reads):
                beside.append(driver.measure(target, load, Ledger()).gap_p99_ms)
    shown = {path: percentile(took, 50) for path, took in reads.items()}
    return Gaps(rows, min(alone), min(beside), shown)


@contextmanager
def _reading(target: Target, ground: Stage, reads: dict[str, list[float]]) -> Iterator[None]:
    """Meanwhile one long read after the other."""
    over = Event()

    def read() -> None:
        with on_cores(ground.cores.load), _connected(target) as connection:
            for path in cycle(reads):
                if over.is_set():
                    return
                reads[path].append(_read_ms(connection, path))

    thread = Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _connected(target: Target) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)) as connection:
        yield connection


def _read_ms(connection: http.client.HTTPConnection, path: str) -> float:
    """Raises Broken."""
    began = time.perf_counter()
    connection.request("GET", path, headers={"authorization": f"Bearer {samples.KEY}"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.OK:
        raise Broken(f"{path} was answered {answer.status}: {body[:500].decode()}")
    return (time.perf_counter() - began) * 1000


def table(lists: Lists) -> str:
    """In Markdown: what a page costs at every size, and how much more in the largest store."""
    sizes = lists.sizes
    head = [f"{size.rows:,} rows" for size in sizes]
    lines = [str(lists.machine), "", *map(_filled, sizes), ""]
    lines.append(f"| CPU µs a page (p50 ms over HTTP) | {' | '.join(head)} | times as much |")
    lines.append(f"| --- |{' ---: |' * (len(sizes) + 1)}")
    for shape in SHAPES:
        costs = [size.costs[shape.name] for size in sizes]
        cells = [f"{cost.least_us:,.0f} ({cost.http_ms:.1f})" for cost in costs]
        lines.append(f"| {shape.name} | {' | '.join(cells)} | {_growth(shape, costs)} |")
    gaps = lists.gaps
    added = gaps.beside_ms - gaps.alone_ms
    lines += [
        "",
        f"p99 between two chunks of {_CONNECTIONS} streams at {gaps.rows:,} rows:"
        f" {gaps.alone_ms:.1f} ms, beside long reads {gaps.beside_ms:.1f} ms"
        f" ({added:+.1f}; goal ≤ {_ADDED_MS:.0f}). The reads, p50:",
        "",
        *(f"- `{path}`: {took:,.0f} ms" for path, took in gaps.reads.items()),
    ]
    return "\n".join(lines) + "\n"


def _filled(size: Size) -> str:
    filled = size.filled
    if filled is None:
        return f"{size.rows:,} rows, {size.mb:,.0f} MB, were there."
    return (
        f"{size.rows:,} rows, {size.mb:,.0f} MB: {filled.rows:,} of them written,"
        f" {filled.per_second:,.0f} rows/s, {filled.cpu_us:,.0f} µs CPU each."
    )


def _growth(shape: Shape, costs: Sequence[Cost]) -> str:
    growth = costs[-1].least_us / costs[0].least_us
    judged = "" if growth <= _FLAT else " (not flat)" if shape.flat else " (as expected)"
    return f"{growth:.1f}{judged}"
