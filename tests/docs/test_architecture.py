"""What docs about the source name is there, and every room of it is named."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "chatkeep"
PAGES = ("architecture", "storage", "performance")
TEXT, *OTHERS = ((ROOT / "docs" / f"{name}.md").read_text() for name in PAGES)
NAME = re.compile(r"`((?:[a-z_]+/)*[a-z_0-9]+(?:\.(?:py|sql)|/[a-z_]+))`")
NAMED = sorted({name for text in (TEXT, *OTHERS) for name in NAME.findall(text)})
PLANNED = {"web/pages"}


@pytest.mark.parametrize("name", NAMED)
def test_a_file_or_folder_that_is_named_is_there(name: str) -> None:
    assert (SOURCE / name).exists() or (ROOT / name).exists() or name in PLANNED


@pytest.mark.parametrize("room", sorted(path.name for path in (SOURCE / "core").iterdir()))
def test_every_room_of_core_is_named(room: str) -> None:
    assert room.startswith("__") or f"core/{room}" in TEXT
