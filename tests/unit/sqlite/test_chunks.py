"""Chunks of seqs: whatever comes and goes, they hold what is there, in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model.ids import MAX_SEQ
from chatkeep.errors import RecordCorrupt
from chatkeep.store.sqlite.chunks import MOST, Chunk, appended, changed, chunk_of, seqs_in

seqs = st.integers(0, MAX_SEQ) | st.integers(0, 300) | st.integers(1 << 40, (1 << 40) + 300)


@given(st.sets(seqs, min_size=1))
def test_seqs_come_out_of_a_chunk_as_they_went_in(some: set[int]) -> None:
    chunk = chunk_of(sorted(some))
    assert chunk.first == min(some)
    assert seqs_in(chunk) == sorted(some)


@given(st.sets(seqs), st.sets(seqs), st.sets(seqs), st.booleans())
def test_a_change_leaves_what_was_added_and_not_removed(
    before: set[int], added: set[int], removed: set[int], newest: bool
) -> None:
    chunk = chunk_of(sorted(before)) if before else None
    after = changed(chunk, added - removed, removed, newest=newest)
    runs = [seqs_in(one) for one in after]
    assert [place for run in runs for place in run] == sorted((before | added) - removed)
    assert all(1 <= len(run) <= MOST for run in runs)


@given(st.sets(seqs), st.sets(seqs, min_size=1))
def test_places_behind_a_chunk_are_appended_and_no_others(before: set[int], more: set[int]) -> None:
    chunk = chunk_of(sorted(before)) if before else None
    new = appended(chunk, sorted(more))
    if before and min(more) <= max(before):
        assert new is None
    elif new is not None:
        kept = [chunk] if chunk and new[0].first != chunk.first else []
        assert [place for one in kept + new for place in seqs_in(one)] == sorted(before | more)


@pytest.mark.parametrize("many", [1, 3, MOST - 1, MOST, MOST + 1, 150])
@pytest.mark.parametrize("step", [1, 5, 700, 1 << 44])
def test_a_list_that_grows_at_its_end_has_full_chunks(step: int, many: int) -> None:
    """However many come at a time, and however far they are."""
    every = range(1 << 60, (1 << 60) + 450 * step, step)
    chunks: dict[int, Chunk] = {}
    for start in range(0, len(every), many):
        newest = chunks[max(chunks)] if chunks else None
        some = every[start : start + many]
        new = appended(newest, some) or changed(newest, some, (), newest=True)
        chunks |= {chunk.first: chunk for chunk in new}
    assert [place for chunk in chunks.values() for place in seqs_in(chunk)] == list(every)
    assert [len(seqs_in(chunk)) for chunk in chunks.values()][:-1] == [MOST] * (len(chunks) - 1)


def test_a_full_chunk_in_the_middle_parts_into_halves_that_have_room() -> None:
    chunk = chunk_of(range(0, 2 * MOST, 2))
    halves = [len(seqs_in(half)) for half in changed(chunk, [1], (), newest=False)]
    assert halves == [MOST // 2 + 1, MOST // 2]


@pytest.mark.parametrize("seqs", [[0], [7], [7, 9]])
def test_a_place_that_is_there_already_changes_nothing(seqs: list[int]) -> None:
    assert appended(chunk_of(seqs), seqs[:1]) is None
    assert changed(chunk_of(seqs), seqs[:1], (), newest=True) == [chunk_of(seqs)]


def test_places_near_each_other_take_few_bytes() -> None:
    assert len(chunk_of(range(1 << 60, (1 << 60) + MOST)).more) == MOST
    assert chunk_of([1 << 62]).more == b""


@pytest.mark.parametrize("more", [b"\0", b"\0\1", b"\2\1", b"\2\1\1\1"])
def test_a_damaged_chunk_is_refused(more: bytes) -> None:
    with pytest.raises(RecordCorrupt):
        seqs_in(Chunk(1, more))
