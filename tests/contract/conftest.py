"""Every test here that asks for `store` or `backend` runs once on each backend there is.

Those marked `also_encrypted` run on an encrypted one as well, those marked `on_disk` only on ones
that are kept on a disk.
"""

import pytest
from support.backends import BACKENDS
from support.stores import backend, other, project, run_on, store

__all__ = ["backend", "other", "project", "store"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    run_on(metafunc, set(BACKENDS))
