"""Settings of the whole test run."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings
from support import contract, patience

# A deadline would fail tests for being run on a busy machine.
settings.register_profile("chatkeep", deadline=None)
settings.load_profile("chatkeep")

FORBID_SKIPS = os.environ.get("CHATKEEP_TEST_FORBID_SKIPS") == "1"


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


def pytest_itemcollected(item: pytest.Item) -> None:
    patience.bound(item)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not contract.is_there():
        reading = [item for item in items if item.get_closest_marker("recordings")]
        config.hook.pytest_deselected(items=reading)
        items[:] = [item for item in items if not item.get_closest_marker("recordings")]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not contract.is_there():
        terminalreporter.write_line(
            f"Tests marked `recordings` are deselected: there is no folder {contract.FOLDER}"
            f" (or name it in {contract.VARIABLE})"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_skipped(report)
    return report


def fail_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    expected_failure = hasattr(report, "wasxfail")  # pytest reports it as a skip, too
    if FORBID_SKIPS and report.skipped and not expected_failure:
        skip = report.longrepr
        reason = skip[-1] if isinstance(skip, tuple) else skip
        report.outcome = "failed"
        report.longrepr = f"{reason} (and CHATKEEP_TEST_FORBID_SKIPS=1)"
