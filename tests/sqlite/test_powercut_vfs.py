"""The power-cut recorder itself, with SQLite alone: a harness that never fails proves nothing."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import apsw
import pytest
from support.powercut import SECTOR, Inode, Recorder, Truncate, Write, problems

SEEDS = (None, 1, 2, 3)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    folder = tmp_path / "before"
    folder.mkdir()
    with Recorder(folder) as recorder:
        yield recorder


def open_database(recorder: Recorder, *pragmas: str) -> apsw.Connection:
    connection = apsw.Connection(str(recorder.folder / "db"), vfs=recorder.vfs)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def insert_rows(
    recorder: Recorder, connection: apsw.Connection, numbers: range, size: int = 300
) -> dict[int, int]:
    """Inserts row by row; for each, the mark after its COMMIT returned."""
    connection.execute("CREATE TABLE IF NOT EXISTS kept (number INTEGER PRIMARY KEY, filler)")
    marks = {}
    for number in numbers:
        connection.execute("INSERT INTO kept VALUES (?, randomblob(?))", (number, size))
        marks[number] = recorder.mark()
    return marks


def found_rows(folder: Path) -> set[int]:
    connection = apsw.Connection(str(folder / "db"))
    connection.execute("PRAGMA synchronous=OFF")  # a copy to look at, not to keep
    try:
        return {int(row[0]) for row in connection.execute("SELECT number FROM kept")}
    except apsw.SQLError:
        return set()  # the cut came before the table
    finally:
        connection.close()


def promised(marks: dict[int, int], at: int) -> set[int]:
    return {number for number, mark in marks.items() if mark <= at}


def assert_nothing_promised_is_lost(
    recorder: Recorder, scratch: Path, marks: dict[int, int], step: int = 1
) -> None:
    for cut in recorder.cuts(scratch, step=step, seeds=SEEDS):
        assert promised(marks, cut.at) <= found_rows(cut.folder), cut
        assert problems(cut.folder / "db") == [], cut


def lost_rows(recorder: Recorder, scratch: Path, marks: dict[int, int]) -> set[int]:
    cut = recorder.cut(scratch)
    return promised(marks, cut.at) - found_rows(cut.folder)


def test_wal_full_keeps_every_acknowledged_row(recorder: Recorder, tmp_path: Path) -> None:
    connection = open_database(recorder, "journal_mode=WAL", "synchronous=FULL")
    marks = insert_rows(recorder, connection, range(30))
    connection.close()
    assert_nothing_promised_is_lost(recorder, tmp_path / "after", marks)


def test_wal_full_keeps_rows_across_checkpoints(recorder: Recorder, tmp_path: Path) -> None:
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=6")
    connection = open_database(recorder, *pragmas)
    marks = insert_rows(recorder, connection, range(20), size=2000)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    marks |= insert_rows(recorder, connection, range(20, 30), size=2000)
    assert_nothing_promised_is_lost(recorder, tmp_path / "after", marks, step=2)


def test_wal_full_keeps_acknowledged_deletes(recorder: Recorder, tmp_path: Path) -> None:
    connection = open_database(recorder, "journal_mode=WAL", "synchronous=FULL")
    insert_rows(recorder, connection, range(20), size=2000)
    connection.execute("DELETE FROM kept WHERE number < 10")
    deleted = recorder.mark()
    connection.execute("VACUUM")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    for cut in recorder.cuts(tmp_path / "after", since=deleted, step=2, seeds=SEEDS):
        assert found_rows(cut.folder) == set(range(10, 20)), cut
        assert problems(cut.folder / "db") == [], cut


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST"])
def test_rollback_journals_keep_rows_with_extra(
    recorder: Recorder, tmp_path: Path, mode: str
) -> None:
    connection = open_database(recorder, f"journal_mode={mode}", "synchronous=EXTRA")
    marks = insert_rows(recorder, connection, range(5))
    assert_nothing_promised_is_lost(recorder, tmp_path / "after", marks, step=2)


def test_delete_journal_with_full_can_lose_the_last_row(recorder: Recorder, tmp_path: Path) -> None:
    """SQLite's documentation says so: the journal's removal is not synced below EXTRA."""
    connection = open_database(recorder, "journal_mode=DELETE", "synchronous=FULL")
    marks = insert_rows(recorder, connection, range(5))
    assert lost_rows(recorder, tmp_path / "after", marks) == {4}


@pytest.mark.parametrize("level", ["OFF", "NORMAL"])
def test_wal_below_full_loses_acknowledged_rows(
    recorder: Recorder, tmp_path: Path, level: str
) -> None:
    connection = open_database(recorder, "journal_mode=WAL", f"synchronous={level}")
    marks = insert_rows(recorder, connection, range(30))
    assert lost_rows(recorder, tmp_path / "after", marks)


def test_off_can_leave_a_broken_database(recorder: Recorder, tmp_path: Path) -> None:
    pragmas = ("journal_mode=WAL", "synchronous=OFF", "wal_autocheckpoint=6")
    connection = open_database(recorder, *pragmas)
    insert_rows(recorder, connection, range(30), size=2000)
    cuts = recorder.cuts(tmp_path / "after", since=recorder.mark(), seeds=range(20))
    assert any(problems(cut.folder / "db") for cut in cuts)


def test_several_connections_share_a_wal(recorder: Recorder) -> None:
    writer = open_database(recorder, "journal_mode=WAL", "synchronous=FULL")
    reader = open_database(recorder)
    insert_rows(recorder, writer, range(3))
    assert reader.pragma("journal_mode") == "wal"
    assert reader.execute("SELECT count(*) FROM kept").fetchall() == [(3,)]
    assert (recorder.folder / "db-shm").exists()


def test_recording_continues_on_a_database_made_before(tmp_path: Path) -> None:
    folder = tmp_path / "before"
    folder.mkdir()
    with Recorder(folder) as first:
        insert_rows(first, open_database(first, "journal_mode=WAL"), range(5))
    with Recorder(folder) as second:
        marks = insert_rows(second, open_database(second, "synchronous=FULL"), range(5, 10))
        everything = dict.fromkeys(range(5), 0) | marks
        assert_nothing_promised_is_lost(second, tmp_path / "after", everything)


def test_a_file_written_behind_the_recorder_is_refused(recorder: Recorder) -> None:
    (recorder.folder / "db").write_bytes(b"SQLite format 3")
    with pytest.raises(apsw.CantOpenError, match="without the recorder"):
        open_database(recorder, "user_version")


def test_an_empty_file_may_be_created_by_the_store(recorder: Recorder, tmp_path: Path) -> None:
    (recorder.folder / "db").touch(mode=0o600)
    connection = open_database(recorder, "journal_mode=WAL", "synchronous=FULL")
    marks = insert_rows(recorder, connection, range(3))
    assert_nothing_promised_is_lost(recorder, tmp_path / "after", marks)


def test_a_database_outside_the_folder_is_refused(recorder: Recorder, tmp_path: Path) -> None:
    with pytest.raises(apsw.CantOpenError, match="not recorded"):
        apsw.Connection(str(tmp_path / "db"), vfs=recorder.vfs)


def test_a_folder_behind_a_symlink_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    with Recorder(link) as recorder:
        connection = apsw.Connection(str(link / "db"), vfs=recorder.vfs)
        insert_rows(recorder, connection, range(1))
        assert recorder.mark() > 0


def test_the_same_seed_finds_the_same_files(recorder: Recorder, tmp_path: Path) -> None:
    insert_rows(recorder, open_database(recorder, "journal_mode=WAL", "synchronous=OFF"), range(9))
    cuts = [recorder.cut(tmp_path / name, seed=seed) for name, seed in (("a", 5), ("b", 5))]
    one, other = ({p.name: p.read_bytes() for p in cut.folder.iterdir()} for cut in cuts)
    assert one == other


def test_seeds_keep_different_sectors_of_unsynced_writes() -> None:
    def leaves(seed: int) -> bytes:
        inode = Inode(bytearray(4 * SECTOR), [Write(0, 0, b"new!" * SECTOR)])
        return inode.after_cut(Random(seed))

    assert len({leaves(seed) for seed in range(40)}) > 5
    for left in map(leaves, range(40)):
        sectors = {left[at : at + SECTOR] for at in range(0, 4 * SECTOR, SECTOR)}
        assert sectors <= {bytes(SECTOR), b"new!" * (SECTOR // 4)}


def test_a_truncation_lasts_whole_or_not_at_all() -> None:
    def leaves(seed: int) -> bytes:
        inode = Inode(bytearray(b"old!" * SECTOR), [Truncate(0, 0)])
        return inode.after_cut(Random(seed))

    assert {leaves(seed) for seed in range(20)} == {b"", b"old!" * SECTOR}


def test_a_file_whose_name_was_not_synced_is_gone(recorder: Recorder, tmp_path: Path) -> None:
    insert_rows(recorder, open_database(recorder, "synchronous=OFF"), range(1))
    assert list(recorder.cut(tmp_path / "after").folder.iterdir()) == []
