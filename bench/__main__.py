"""`python -m bench`: runs the scenarios and reports."""

import os
import sys
from pathlib import Path

import click

from bench import lists, plots, storage, synthetic, wrk
from bench.chart import svg
from bench.process import Broken, end_in_peace
from bench.report import Report, table, to_json
from bench.scenarios import LISTS, NAMES, STORAGE
from bench.suite import Plan, run

_QUICK_S, _FULL_S = 2, 8
_QUICK_ROWS, _FULL_ROWS = (1_000,), (1_000, 20_000)
_QUICK_LISTS, _FULL_LISTS = (1_000, 10_000), (1_000, 100_000, 1_000_000)
_QUICK_TIMES, _FULL_TIMES = 15, 60
_WRONG_USAGE = 2


@click.command()
@click.option("--quick", is_flag=True, help="Two minutes: shorter runs, no large store.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Only this; repeatable.")
@click.option("--seconds", type=click.IntRange(1), help="Seconds a run.  [8; 2 with --quick]")
@click.option(
    "--rows",
    multiple=True,
    type=click.IntRange(1),
    help="Size of a store that lists are measured on; repeatable.  [1000 20000; 1000 with --quick]",
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.Choice(list(map(str, synthetic.SIZES))),
    help="Rows of the store that `lists` makes; repeatable, it grows from one to the next."
    "  [1000 100000 1000000; 1000 10000 with --quick]",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the store of `lists` in this file, or go on with the one that is there.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Files of requests and answers for `storage`.  [BENCH_DATA]",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Draw a chart.")
@click.option(
    "--plots",
    "plots_folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Draw lists.svg and storage.svg, of those that are measured, in this folder.",
)
def main(
    quick: bool,
    only: tuple[str, ...],
    seconds: int | None,
    rows: tuple[int, ...],
    sizes: tuple[str, ...],
    keep: Path | None,
    data: Path | None,
    json_file: Path | None,
    svg_file: Path | None,
    plots_folder: Path | None,
) -> None:
    """Measure chatkeep over HTTP on loopback, beside a bare forwarder and the mock upstream.

    BENCH_PEERS=litellm,ferrogw,ogx measures peers too, each installed from PyPI into a
    .venv-bench-*.
    """
    wanted = frozenset(only or NAMES)
    served = wanted - {STORAGE, LISTS}
    if served and wrk.installed() is None:
        click.echo(wrk.INSTALL, err=True)
        sys.exit(_WRONG_USAGE)
    end_in_peace()
    plan = Plan(
        seconds=seconds or (_QUICK_S if quick else _FULL_S),
        rows=rows or (_QUICK_ROWS if quick else _FULL_ROWS),
        scenarios=served,
        peers=tuple(filter(None, os.environ.get("BENCH_PEERS", "").split(","))),
    )
    try:
        if STORAGE in wanted:
            _storage(data, plots_folder)
        if LISTS in wanted:
            grown = tuple(map(int, sizes)) or (_QUICK_LISTS if quick else _FULL_LISTS)
            times = _QUICK_TIMES if quick else _FULL_TIMES
            _lists(lists.Plan(grown, plan.seconds, times, keep), plots_folder)
        if not served:
            return
        report = run(plan, _say)
    except Broken as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    _write(report, json_file, svg_file)
    click.echo(table(report), nl=False)
    sys.exit(1 if report.failed else 0)


def _storage(given: Path | None, plots_folder: Path | None) -> None:
    data = storage.data_folder(given)
    if data is None:
        _say("storage: left out, there are no data; give a folder with --data")
        return
    tables = storage.run(data, _say)
    click.echo(tables, nl=False)
    if plots_folder is not None:
        (plots_folder / "storage.svg").write_text(plots.storage(tables))


def _lists(plan: lists.Plan, plots_folder: Path | None) -> None:
    found = lists.run(plan, _say)
    click.echo(lists.table(found), nl=False)
    if plots_folder is not None:
        (plots_folder / "lists.svg").write_text(plots.lists(found))


def _say(text: str) -> None:
    click.echo(f"... {text}", err=True)


def _write(report: Report, json_file: Path | None, svg_file: Path | None) -> None:
    if json_file is not None:
        json_file.write_bytes(to_json(report))
    if svg_file is not None:
        svg_file.write_text(svg(report.figures))


if __name__ == "__main__":
    main()
