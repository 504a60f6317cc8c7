"""The pure parts of `make bench`: what wrk says, figures and their ratios, table, JSON, chart."""

import json
from xml.etree import ElementTree

import pytest

from bench import goals, samples, wrk
from bench.chart import svg
from bench.figures import KINDS, Figure, Outcome, figures
from bench.ledger import Acknowledged, Check, Ledger
from bench.machine import Machine
from bench.measure import Measured
from bench.process import Broken
from bench.report import Report, number, table, to_json
from bench.scenarios import FOOTPRINT, NAMES, SCENARIOS, Scenario
from bench.streams import percentile

MACHINE = Machine("0.1", "Linux x86_64", "a processor", 2, "3.13", "pinned", 1.5, 0.1)
WRK = """\
Running 2s test @ http://127.0.0.1:1
  1 threads and 64 connections
Requests/sec:   1500.00
BENCH {"requests":3000,"duration_us":2000000,"p50_us":21000,"p99_us":43000,"max_us":50000,\
"refused":2,"connect":0,"read":1,"write":0,"timeout":3}
"""


def run(operations: int = 1000, p50_ms: float = 10.0, errors: int = 0) -> Measured:
    return Measured(
        operations=operations,
        seconds=2.0,
        server_cpu_s=1.5,
        p50_ms=p50_ms,
        p99_ms=20.0,
        errors=errors,
        server_share=0.75,
    )


def outcome(ours: Measured, bare: Measured, mock: Measured) -> Outcome:
    return Outcome("create", "Create", {"chatkeep": ours, "bare": bare, "mock": mock})


def scenario(name: str) -> Scenario:
    return next(one for one in SCENARIOS if one.name == name)


def figure(ours: float, goal: float | None, *, more_is_better: bool = True) -> Figure:
    values = {"chatkeep": ours, "bare": 50.0, "mock": 900.0}
    here = None if goal is None else goal / 1.6
    return Figure(
        "create", "Create", "rate", "requests/s", more_is_better, values, goal, goal_here=here
    )


def report(*shown: Figure, checks: tuple[Check, ...] = (), errors: int = 0) -> Report:
    runs = outcome(run(errors=errors), run(), run())
    return Report(MACHINE, 2, list(shown), [runs], list(checks), [])


def drawn(*shown: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(svg(shown))  # noqa: S314  # our own


def test_output_of_wrk_without_its_results_is_refused() -> None:
    with pytest.raises(Broken, match="unable to connect"):
        wrk.parsed("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_results_of_wrk_are_read_from_the_line_of_the_script() -> None:
    result = wrk.parsed(WRK)
    assert (result.requests, result.p99_us, result.refused) == (3000, 43000, 2)
    assert result.socket_errors == 4


def test_every_goal_belongs_to_a_figure_that_is_measured() -> None:
    known = {(one.name, name) for one in SCENARIOS for name in one.figures}
    known |= {(FOOTPRINT, name) for name in ("start", "memory", "install")}
    assert {(goal.scenario, goal.figure) for goal in goals.GOALS} <= known


def test_every_scenario_names_known_figures_and_its_name_once() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(name in KINDS for one in SCENARIOS for name in one.figures)


def test_a_goal_may_leave_room_for_the_disk() -> None:
    assert goals.limit("latency", "added", fsync_ms=2.0) == 2.5
    assert goals.limit("create", "rate", fsync_ms=2.0) == 5_000
    assert goals.limit("create", "p50", fsync_ms=2.0) is None


def test_rates_and_costs_are_read_off_the_runs() -> None:
    found = figures(scenario("create"), outcome(run(1000), run(2000), run(8000)), fsync_ms=1)
    by_name = {one.name: one for one in found}
    assert by_name["rate"].values == {"chatkeep": 500, "bare": 1000, "mock": 4000}
    assert by_name["rate"].of_bare == 0.5
    assert by_name["rate"].of_goal == 0.1
    assert by_name["cpu"].values["chatkeep"] == 1500
    assert by_name["cpu"].of_goal == pytest.approx(200 / 1500)


def test_a_goal_of_cpu_or_rate_is_scaled_by_what_the_bare_forwarder_takes_here() -> None:
    """Half as fast as where it was set: 116 µs of the bare forwarder's instead of 58."""
    ours, bare = run(operations=1000), run(operations=round(1.5e6 / 116))
    found = {one.name: one for one in figures(scenario("create"), outcome(ours, bare, bare), 1)}
    assert found["cpu"].goal_here == pytest.approx(400, rel=1e-3)
    assert found["cpu"].of_goal_here == pytest.approx(400 / 1500, rel=1e-3)
    assert found["rate"].goal_here == pytest.approx(2500, rel=1e-3)
    assert found["rate"].of_goal_here == pytest.approx(500 / 2500, rel=1e-3)


def test_a_goal_that_waits_for_the_disk_is_not_scaled() -> None:
    found = figures(scenario("latency"), outcome(run(), run(), run()), fsync_ms=2.0)[0]
    assert found.goal is not None
    assert found.goal_here is None
    assert found.of_goal_here is None


def test_without_a_reference_no_goal_is_scaled() -> None:
    nothing = Measured(operations=1, seconds=1.0, p50_ms=0.0, p99_ms=0.0, errors=0)
    found = figures(scenario("create"), outcome(run(), nothing, run()), fsync_ms=1)
    assert [one.goal_here for one in found] == [None] * 4


def test_added_latency_is_what_the_mock_alone_does_not_need() -> None:
    runs = outcome(run(p50_ms=4.0), run(p50_ms=2.0), run(p50_ms=1.5))
    added = figures(scenario("latency"), runs, fsync_ms=2.0)[0]
    assert added.values == {"chatkeep": 2.5, "bare": 0.5}
    assert added.of_bare == 5
    assert added.of_goal == 1


@pytest.mark.parametrize(("more_is_better", "of_goal"), [(True, 0.5), (False, 2.0)])
def test_a_met_goal_is_one_or_more_whichever_way_is_better(
    more_is_better: bool, of_goal: float
) -> None:
    assert figure(100, 200, more_is_better=more_is_better).of_goal == of_goal


def test_a_figure_without_goal_or_reference_has_no_ratio() -> None:
    alone = Figure(FOOTPRINT, "Before", "start", "s", False, {"chatkeep": 1.0})
    assert alone.of_goal is None
    assert alone.of_bare is None


def test_the_table_shows_values_ratios_and_the_goal() -> None:
    line = next(line for line in table(report(figure(100, 200))).splitlines() if "/s" in line)
    assert line.split() == ["requests/s", "100", "50.0", "900", "2.00", "≥", "200", "0.50", "0.80"]


def test_the_table_names_errors_and_what_others_took() -> None:
    ours = Measured(10, 1.0, 1.0, 2.0, 3, server_share=0.5, others_share=0.4, load_share=0.95)
    shown = table(report(*figures(scenario("create"), outcome(ours, run(), run()), 1)))
    assert (
        "server 50% busy, others 40%, the load 95%: it may be the limit, chatkeep: 3 ERRORS"
        in shown
    )


@pytest.mark.parametrize(
    ("value", "shown"), [(None, ""), (12345.6, "12,346"), (12.34, "12.3"), (0.456, "0.46")]
)
def test_numbers_show_three_digits_that_count(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_the_json_has_the_ratios() -> None:
    written = json.loads(to_json(report(figure(100, 200))))
    assert written["figures"][0]["of_bare"] == 2
    assert written["figures"][0]["of_goal"] == 0.5
    assert written["figures"][0]["of_goal_here"] == 0.8
    assert written["machine"]["fsync_ms"] == 1.5


@pytest.mark.parametrize(
    "check",
    [
        Check("main", acknowledged=9, missing=1, wrong=0, extra=0, unsure=5),
        Check("main", acknowledged=9, missing=0, wrong=1, extra=0, unsure=5),
        Check("main", acknowledged=9, missing=0, wrong=0, extra=6, unsure=5),
    ],
)
def test_a_record_lost_changed_or_made_up_fails_the_run(check: Check) -> None:
    assert report(checks=(check,)).failed
    assert "NOT ALL THERE" in str(check)


def test_a_wrong_answer_of_ours_fails_the_run_and_no_others() -> None:
    assert report(errors=1).failed
    of_a_peer = outcome(run(), run(errors=1), run())
    assert not Report(MACHINE, 2, [], [of_a_peer], [], []).failed


def test_requests_cut_off_in_flight_may_have_been_stored() -> None:
    check = Check("main", acknowledged=9, missing=0, wrong=0, extra=5, unsure=5)
    assert check.passed
    assert not report(checks=(check,)).failed


def test_the_ledger_takes_what_the_load_generators_write() -> None:
    ledger = Ledger()
    ledger.read("a 000000000007 -\nb 000000000008 -\n")
    ledger.read("a 000000000007 000000000055\n")
    assert ledger.records == {"a": Acknowledged(7, {"grade": 55}), "b": Acknowledged(8)}
    assert ledger.ids() == "a 7\nb 8\n"


def test_the_chart_is_xml_with_a_bar_for_each_value_but_the_mocks() -> None:
    root = drawn(figure(100, 200), figure(10, None))
    kinds = [element.get("class") for element in root]
    assert kinds.count("ours") == 2
    assert kinds.count("other") == 2
    assert kinds.count("goal") == 1


def test_the_longest_bar_of_the_chart_is_the_largest_value_or_the_goal() -> None:
    root = drawn(figure(100, 200))
    widths = {bar.get("class"): float(bar.get("width", "0")) for bar in root}
    goal = next(mark for mark in root if mark.get("class") == "goal")
    left = next(float(bar.get("x", "0")) for bar in root if bar.get("class") == "ours")
    assert float(goal.get("x1", "0")) - left == pytest.approx(2 * widths["ours"])


def test_the_chart_escapes_what_it_shows() -> None:
    odd = Figure("create", "<b> & co", "rate", "a < b", True, {"chatkeep": 0.0})
    assert "<b> & co" in [element.text for element in drawn(odd)]


def test_every_filling_of_a_request_is_as_long_as_its_head_says() -> None:
    for number_sent in (0, 7, 10**12 - 1):
        text = samples.filled(samples.plain(store=True), number_sent)
        head, _, body = text.partition("\r\n\r\n")
        assert f"content-length: {len(body)}" in head
        assert samples.marked(body) == number_sent


def test_percentiles_of_nothing_and_of_some() -> None:
    assert percentile([], 99) == 0
    assert percentile([3.0, 1.0, 2.0], 50) == 2
    assert percentile([3.0, 1.0, 2.0], 99) == 3
