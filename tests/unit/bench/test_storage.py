"""`make bench ARGS="--only storage"` on a few lines."""

import json
from pathlib import Path

import pytest

from bench import storage
from bench.process import Broken
from chatkeep.store.encoding.frames import zstd


def line(number: int, messages: int) -> bytes:
    asked = [{"role": "user", "content": f"question {at}"} for at in range(messages)]
    said = {"role": "assistant", "content": f"answer {number}"}
    answer = {"id": f"id-{number}", "created": 1_700_000_000, "choices": [{"message": said}]}
    return json.dumps({"request": {"model": "m", "messages": asked}, "response": answer}).encode()


def test_a_folder_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert storage.data_folder(tmp_path / "none") is None
    assert storage.data_folder(tmp_path) == tmp_path


def test_a_folder_without_such_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="has no"):
        storage.run(tmp_path, lambda _: None)


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.jsonl.zst"])
def test_each_file_gets_its_tables(tmp_path: Path, name: str) -> None:
    lines = b"\n".join(line(number, 1 + 9 * (number % 2)) for number in range(6))
    data = zstd.compress(lines) if name.endswith(".zst") else lines
    (tmp_path / name).write_bytes(data)
    said: list[str] = []
    table = storage.run(tmp_path, said.append)
    assert said == [f"storage: {name}"]
    assert table.startswith("`calls`, 6 completions:\n")
    assert "| request and answer as they are | " in table
    for what in ("kept", "imported"):
        for how in ("without", "with"):
            assert f"| **{what}, {how} full text search** | " in table
    assert table.count("| less what an empty store takes | ") == 4
    assert table.count("| less what goes after a day | ") == 2
    assert "| from 1 message on | " in table
    assert "| from 8 messages on | " in table
    assert "| from 16 " not in table


def test_lines_that_cannot_be_kept_end_it(tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").write_bytes(line(1, 0))
    with pytest.raises(Broken, match="refused=1"):
        storage.run(tmp_path, lambda _: None)
