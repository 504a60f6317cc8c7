"""Full text search: which completions are found, with which filters, and when no more."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any, get_args

import msgspec
import pytest
from support.backends import Backend
from support.samples import (
    SECOND,
    import_one,
    keep,
    listed,
    name,
    place,
    replacing,
    row,
    said,
    spoken,
)

from chatkeep.core.model.completion import Order, Project, Query
from chatkeep.core.model.ids import Seq
from chatkeep.core.model.record import Record, cut
from chatkeep.core.ports.store import Store


async def say(
    store: Store, project: Project, number: int, *texts: Any, answer: str = "ok", **fields: Any
) -> Seq:
    await store.insert(project, row(place(number), **fields), spoken(*texts, answer=answer))
    return place(number)


async def found(store: Store, project: Project, q: str, **filters: Any) -> list[int]:
    """The numbers of the places, oldest first."""
    query = Query(q=q, order="asc", limit=100, **filters)
    return [seq - place(0) for seq in await listed(store, project, query)]


@pytest.mark.parametrize(
    ("q", "numbers"),
    [
        ("hello", [0, 1]),
        ("HELLO,", [0, 1]),
        ("world", [0, 1, 2]),
        ("hello world", [0, 1]),
        ("world hello", [0, 1]),
        ('"hello world"', [0]),
        ('"hello world', [0]),
        ('"world hello"', []),
        ("hello there", [1]),
        ("hell", []),
        ("creme", [3]),
        ("crème brûlée", [3]),
        ("BRULE\u0301E", [3]),
        ("e-mail", [4]),
        ('"mail me"', [4]),
        ("mail-e", []),
        ("京都", [5]),
        ("東京都", [5]),
        ('"東京都 is"', [5]),
        ("京東", []),
        ("hello AND world", []),
        ("hello NOT there", []),
        ("absent", []),
        ("hello absent", []),
    ],
)
async def test_words_must_all_be_there_and_phrases_in_their_order(
    store: Store, project: Project, q: str, numbers: list[int]
) -> None:
    texts = [
        "Hello world!",
        "hello there, wide world",
        "world, goodbye",
        "une crème brûlée",
        "e-mail me",
        "東京都 is Tokyo",
    ]
    for number, text in enumerate(texts):
        await say(store, project, number, text)
    assert await found(store, project, q) == numbers


@pytest.mark.parametrize("q", ["", " ", "?!", '"', '""', "*", "\U0001f600", "-", "()", "' OR 1=1"])
async def test_without_a_word_in_it_a_search_finds_nothing(
    store: Store, project: Project, q: str
) -> None:
    await say(store, project, 1, "? ! * \U0001f600")
    page = await store.page(project, Query(q=q))
    assert (page.items, page.has_more) == ([], False)


async def test_questions_and_answers_are_searched_and_instructions_are_not(
    store: Store, project: Project
) -> None:
    system = {"role": "system", "content": "instructed"}
    tool = {"role": "tool", "tool_call_id": "call_1", "content": "resulting"}
    call = {"type": "function", "function": {"name": "look_up", "arguments": '{"word":"argued"}'}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    await say(store, project, 1, system, "asked", called, tool, answer="answered")
    for word in ("asked", "answered", "argued", '"look up"'):
        assert await found(store, project, word) == [1], word
    for word in ("instructed", "resulting", "user", "role"):
        assert await found(store, project, word) == [], word


async def test_a_phrase_does_not_run_from_one_message_into_the_next(
    store: Store, project: Project
) -> None:
    await say(store, project, 1, "yes", "please", answer="thanks")
    assert await found(store, project, '"yes please"') == []
    assert await found(store, project, '"please thanks"') == []
    assert await found(store, project, "yes please thanks") == [1]


async def test_another_projects_words_are_never_found(
    store: Store, project: Project, other: Project
) -> None:
    await say(store, other, 1, "secret of theirs")
    await say(store, project, 2, "secret of ours")
    for q in ("secret", '"secret of"', "secret of"):
        assert await found(store, project, q) == [2]
        assert await found(store, other, q) == [1]
    for q in (f"{other.id}xsecret", f"x{other.id}xsecret", f'{other.id}xsecret" OR "secret'):
        assert await found(store, project, q) == []


async def test_found_completions_page_in_both_orders(store: Store, project: Project) -> None:
    for number in range(9):
        await say(store, project, number, "even" if number % 2 == 0 else "odd")
    for order in get_args(Order):
        expected = [place(n) for n in (0, 2, 4, 6, 8)]
        if order == "desc":
            expected.reverse()
        pages: list[Seq] = []
        after: Seq | None = None
        more = True
        while more:
            page = await store.page(project, Query(q="even", order=order, after=after, limit=2))
            assert page.items
            pages += [item.row.seq for item in page.items]
            after, more = pages[-1], page.has_more
        assert pages == expected


async def test_a_search_holds_together_with_every_filter(store: Store, project: Project) -> None:
    for number in range(12):
        words = f"all {'third' if number % 3 == 0 else 'not'}"
        pairs = {"half": str(number % 2)}
        await say(store, project, number, words, metadata=pairs, model=f"m{number % 4 // 2}")
    assert await found(store, project, "third") == [0, 3, 6, 9]
    assert await found(store, project, "third", metadata={"half": "1"}) == [3, 9]
    assert await found(store, project, "all third", model="m1") == [3, 6]
    assert await found(store, project, "third", model="m1", metadata={"half": "1"}) == [3]
    assert await found(store, project, "third", metadata={"half": "2"}) == []
    assert await found(store, project, "third", created_after=SECOND + 1) == []
    assert await found(store, project, "third", created_before=SECOND) == [0, 3, 6, 9]
    assert await found(store, project, "third", after=place(3)) == [6, 9]


async def test_a_new_metadata_map_leaves_the_words(store: Store, project: Project) -> None:
    seq = await say(store, project, 1, "word")
    await store.change_metadata(project, name(row(seq)), replacing({"a": "1"}))
    assert await found(store, project, "word", metadata={"a": "1"}) == [1]


async def test_a_deleted_completion_is_no_longer_found(
    store: Store, project: Project, backend: Backend
) -> None:
    for number in range(3):
        await say(store, project, number, f"common word{number}")
    assert await store.delete(project, name(row(place(1))))
    assert await found(store, project, "common") == [0, 2]
    assert await found(store, project, "word1") == []
    assert await found(store, project, "word2") == [2]
    assert backend.faults() == []


async def test_an_import_is_found_in_its_place(store: Store, project: Project) -> None:
    await say(store, project, 5, "word new")
    await import_one(store, project, "imported", SECOND - 9, row(), spoken("word old"))
    page = await store.page(project, Query(q="word"))
    assert [item.row.id for item in page.items][1:] == ["imported"]
    again = await import_one(store, project, "imported", SECOND, row(), spoken("other"))
    assert again is None
    assert await found(store, project, "other") == []


async def test_what_is_kept_while_full_text_is_off_is_not_found_and_can_be_deleted(
    store: Store, project: Project, backend: Backend
) -> None:
    off = msgspec.structs.replace(project, full_text=False)
    await say(store, off, 1, "word")
    await say(store, project, 2, "word")
    assert await found(store, project, "word") == [2]
    assert await store.delete(project, name(row(place(1))))
    assert await found(store, project, "word") == [2]
    assert await store.delete(off, name(row(place(2))))
    assert await found(store, project, "word") == []
    assert backend.faults() == []


async def test_what_says_nothing_is_kept_and_deleted_all_the_same(
    store: Store, project: Project
) -> None:
    await store.insert(project, row(place(1)), Record(cut(b"", ()), b"", "", None))
    assert await store.delete(project, name(row(place(1))))


async def test_the_same_words_twice_are_one_find(store: Store, project: Project) -> None:
    await say(store, project, 1, "word word", "word", answer="word")
    assert await found(store, project, "word word") == [1]
    assert await found(store, project, '"word word" "word word"') == [1]


async def test_searches_with_filters_are_what_looking_at_every_row_gives(
    store: Store, project: Project
) -> None:
    """Frequent words, rare ones, and words that hardly meet, out of order, with deletions."""
    luck = Random(7)
    said = {number: set(luck.sample(WORDS, 5)) for number in range(600)}
    pairs = {number: {"n": str(luck.randrange(3)), "b": str(number // 100)} for number in said}
    order = luck.sample(sorted(said), len(said))
    await asyncio.gather(
        *(
            say(store, project, number, " ".join(said[number]), metadata=pairs[number])
            for number in order
        )
    )
    for number in luck.sample(sorted(said), 100):
        await store.delete(project, name(row(place(number))))
        del said[number]
    for _ in range(150):
        words = luck.sample(WORDS, luck.choice([1, 1, 2, 3]))
        wanted: Mapping[str, str] = dict(
            luck.sample(sorted(pairs[luck.choice(order)].items()), luck.randrange(3))
        )
        expected = [
            number
            for number in sorted(said)
            if said[number].issuperset(words) and wanted.items() <= pairs[number].items()
        ]
        got = await found(store, project, " ".join(words), metadata=wanted)
        assert got == expected[:100], (words, wanted)


WORDS = [*"abcdefgh", *(f"rare{number}" for number in range(60))]


async def test_rows_that_were_never_searched_are_kept_as_before(
    store: Store, project: Project
) -> None:
    await keep(store, project, row(place(1)))
    await store.insert(project, row(place(2)), said("hello again"))
    assert await found(store, project, "again") == [2]
