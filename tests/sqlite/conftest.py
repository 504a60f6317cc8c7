"""What is tested here holds for SQLite alone: its file, its statements, its failures."""

import pytest
from support.stores import backend, other, project, run_on, store

__all__ = ["backend", "other", "project", "store"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_on(metafunc, {"sqlite"})
