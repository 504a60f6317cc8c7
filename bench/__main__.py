"""`python -m bench`: runs the scenarios and reports."""

import os
import sys
from pathlib import Path

import click

from bench import storage, wrk
from bench.chart import svg
from bench.process import Broken, end_in_peace
from bench.report import Report, table, to_json
from bench.scenarios import NAMES, STORAGE
from bench.suite import Plan, run

_QUICK_S, _FULL_S = 2, 8
_QUICK_ROWS, _FULL_ROWS = (1_000,), (1_000, 20_000)
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
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Files of requests and answers for `storage`.  [BENCH_DATA]",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="Draw a chart.")
def main(
    quick: bool,
    only: tuple[str, ...],
    seconds: int | None,
    rows: tuple[int, ...],
    data: Path | None,
    json_file: Path | None,
    svg_file: Path | None,
) -> None:
    """Measure chatkeep over HTTP on loopback, beside a bare forwarder and the mock upstream.

    BENCH_PEERS=litellm measures a peer too, installed from PyPI into .venv-bench-litellm.
    """
    wanted = frozenset(only or NAMES)
    served = wanted - {STORAGE}
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
            _storage(data)
        if not served:
            return
        report = run(plan, _say)
    except Broken as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    _write(report, json_file, svg_file)
    click.echo(table(report), nl=False)
    sys.exit(1 if report.failed else 0)


def _storage(given: Path | None) -> None:
    data = storage.data_folder(given)
    if data is None:
        _say("storage: left out, there are no data; give a folder with --data")
    else:
        click.echo(storage.run(data, _say), nl=False)


def _say(text: str) -> None:
    click.echo(f"... {text}", err=True)


def _write(report: Report, json_file: Path | None, svg_file: Path | None) -> None:
    if json_file is not None:
        json_file.write_bytes(to_json(report))
    if svg_file is not None:
        svg_file.write_text(svg(report.figures))


if __name__ == "__main__":
    main()
