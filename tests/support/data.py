"""Where the files are that tests read."""

from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
