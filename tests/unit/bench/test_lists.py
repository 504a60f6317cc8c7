"""`make bench ARGS="--only lists"`: the synthetic store, its shapes, the table and the plots."""

import re
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree

import msgspec
import pytest

from bench import lists, plots, synthetic
from bench.lists import Cost, Gaps, Lists, Size
from bench.machine import Machine
from bench.process import Broken
from bench.shapes import SHAPES, asked
from bench.synthetic import SIZES, Filled, made, ten
from chatkeep.core.model.completion import Project, ProjectId
from chatkeep.core.records.completions import Completions
from chatkeep.store import open_store

MACHINE = Machine("0.1", "Linux x86_64", "a processor", 2, "3.13", "pinned", 1.5, 0.1)
PROJECT = Project(ProjectId(1), "default", b"secret")
# How many completions of a store the page of a shape has, where that is not a full one.
FEWER = {
    "pair of 10 rows": 10,
    "pair of one row": 1,
    "pairs of 90 % and 10 rows": 8,
    "pairs of 50 % that hardly meet": 11,  # among them one of the ten of a larger store
    "word of 10 rows": 10,
    "word of 10 rows and pair of 90 %": 8,
    "word of 90 % and pair of 10 rows": 10,
}


def found(*rows: int, growth: float = 1.0) -> Lists:
    """Pages whose cost grows from size to size."""
    sizes = [
        Size(
            size,
            12.0,
            Filled(size, 900.0, 500.0) if at else None,
            {shape.name: Cost(100.0 * growth**at, 200.0, 1.5, 20) for shape in SHAPES},
        )
        for at, size in enumerate(rows)
    ]
    return Lists(MACHINE, sizes, Gaps(rows[-1], 1.0, 7.5, {"/keep/v1/facets": 120.0}))


async def test_a_store_that_others_made_is_not_gone_on_with(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path / 'other.db'}")
    project = await store.add_project("default", 0, lambda project: project)
    assert project is not None
    one = made(project, 1)
    alone = msgspec.structs.replace(one.row, metadata=b"{}")
    await store.insert(project, alone, one.record)
    await store.aclose()
    with pytest.raises(Broken, match="no store that this benchmark has made"):
        await synthetic.opened(tmp_path / "other.db")


def test_a_row_follows_from_its_number() -> None:
    assert made(PROJECT, 12345) == made(PROJECT, 12345)
    assert made(PROJECT, 12345) != made(PROJECT, 12346)


@pytest.mark.parametrize("size", SIZES)
def test_ten_rows_spread_over_a_store_of_any_size_have_its_pair(size: int) -> None:
    numbers = range(size // 20 + 1, size, size // 10)
    rows = [made(PROJECT, number).row for number in numbers]
    assert len(rows) == 10
    assert all(msgspec.json.decode(row.metadata)[ten(size)] == "yes" for row in rows)


def test_rows_come_in_the_order_of_their_numbers() -> None:
    places = [made(PROJECT, number).row.seq for number in range(100)]
    assert places == sorted(set(places))


async def test_a_store_grows_and_every_shape_finds_in_it_what_it_is_to(tmp_path: Path) -> None:
    file = tmp_path / "lists.db"
    said: list[str] = []
    for rows, before in ((700, 0), (1000, 700)):
        store, project, there = await synthetic.opened(file)
        assert there == before
        filled = await synthetic.fill(store, project, there, rows, said.append)
        assert filled.rows == rows - before
        await store.aclose()
    assert said[-1].startswith("1,000 of 1,000 rows")
    store, project, there = await synthetic.opened(file)
    assert there == 1000
    completions = Completions(store)
    for shape in SHAPES:
        page = msgspec.json.decode(await completions.records(project, asked(shape, project, 1000)))
        assert len(page["data"]) == FEWER.get(shape.name, 20), shape.name
    await store.aclose()


def test_every_shape_has_a_name_of_its_own_and_a_query_that_can_be_sent() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)
    for shape in SHAPES:
        assert "{" not in urlencode(asked(shape, PROJECT, 1000))


@pytest.mark.parametrize(("growth", "shown"), [(2.0, "2.0"), (2.1, "2.1 (not flat)"), (0.5, "0.5")])
def test_the_table_says_of_every_shape_whether_it_is_flat(growth: float, shown: str) -> None:
    line = _line(lists.table(found(1000, 10_000, growth=growth)), "newest")
    assert line == f"| newest | 100 (1.5) | {100 * growth:,.0f} (1.5) | {shown} |"


def test_what_is_not_meant_to_be_flat_is_not_blamed() -> None:
    line = _line(lists.table(found(1000, 10_000, growth=9.0)), "pairs of 50 % that hardly meet")
    assert line.endswith("| 9.0 (as expected) |")


def test_the_table_says_what_streams_felt_and_how_the_store_was_filled() -> None:
    table = lists.table(found(1000, 10_000))
    assert "1.0 ms, beside long reads 7.5 ms (+6.5; goal ≤ 5)" in table
    assert "- `/keep/v1/facets`: 120 ms" in table
    assert "1,000 rows, 12 MB, were there." in table
    assert "10,000 of them written, 900 rows/s, 500 µs CPU each." in table


def test_the_plot_of_lists_has_a_dot_for_every_shape_and_size() -> None:
    root = _drawn(plots.lists(found(1000, 10_000, growth=10.0)))
    dots = [element.get("class") for element in root if element.tag.endswith("circle")]
    assert dots.count("ours") == dots.count("hollow") == len(SHAPES) + 1  # one in the legend
    assert plots.lists(found(1000)) == plots.lists(found(1000))


def test_what_costs_ten_times_as_much_stands_one_line_of_the_grid_further() -> None:
    root = _drawn(plots.lists(found(1000, 10_000, growth=10.0)))
    grid = [float(line.get("x1", "")) for line in root if line.get("class") == "grid"]
    join = next(line for line in root if line.get("class") == "join")
    assert [float(join.get("x1", "")), float(join.get("x2", ""))] == grid


def test_the_plot_of_storage_has_a_bar_for_each_row_of_its_tables() -> None:
    tables = (
        "`calls`, 2,454 completions:\n\n| bytes a completion | | CPU µs to add it |\n"
        "| --- | ---: | ---: |\n| request and answer as they are | 2,000 |  |\n"
        "| **kept, without full text search** | 500 | 1,223 |\n\n"
        "| CPU µs, p50 (p99) | retrieve | raw request |\n"
        "| from 1 message on | 124 (144) | 9 (8) |\n"
    )
    root = _drawn(plots.storage(tables))
    bars = {
        bar.get("class"): float(bar.get("width", ""))
        for bar in root
        if bar.tag.endswith("rect") and bar.get("class") != "ground"
    }
    assert bars == {"other": pytest.approx(4 * bars["ours"]), "ours": bars["ours"]}
    assert "calls: 2,454 completions" in [element.text for element in root]


def _drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314  # our own


def _line(table: str, name: str) -> str:
    found = re.search(rf"^\| {re.escape(name)} \|.*$", table, re.MULTILINE)
    assert found
    return found[0]
