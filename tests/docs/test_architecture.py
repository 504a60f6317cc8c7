"""What docs/architecture.md names is there, and every room of the source is named."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "chatkeep"
TEXT = (ROOT / "docs" / "architecture.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:[a-z_]+/)*[a-z_0-9]+(?:\.(?:py|sql)|/[a-z_]+))`", TEXT)))
PLANNED = {"web/pages"}


@pytest.mark.parametrize("name", NAMED)
def test_a_file_or_folder_that_is_named_is_there(name: str) -> None:
    assert (SOURCE / name).exists() or (ROOT / name).exists() or name in PLANNED


@pytest.mark.parametrize("room", sorted(path.name for path in (SOURCE / "core").iterdir()))
def test_every_room_of_core_is_named(room: str) -> None:
    assert room.startswith("__") or f"core/{room}" in TEXT
