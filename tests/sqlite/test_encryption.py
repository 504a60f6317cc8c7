"""A store that is encrypted, comes to be, or ceases to be: nothing plain stays, all comes back."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import apsw
import pytest
from support.backends import KEY, SqliteBackend
from support.conversations import Talks, call, message
from support.database import direct
from support.planted import PLAIN, Secrets, files, tell, whole
from support.samples import name, place, row, said

from chatkeep.core.accounts.projects import changed
from chatkeep.core.model.completion import Query, Scope
from chatkeep.core.ports.encryption import EncryptionWish, Rewritten
from chatkeep.core.records.completions import Completions
from chatkeep.core.records.filters import ListRequest
from chatkeep.errors import (
    BadSetting,
    Fault,
    RecordCorrupt,
    SearchEncrypted,
    StoreEncrypted,
    StoreLocked,
    UnusableValue,
)
from chatkeep.store.encoding.cipher import PLAIN as PLAIN_CIPHER
from chatkeep.store.encoding.cipher import is_sealed
from chatkeep.store.sqlite import accounts
from chatkeep.store.sqlite.connection import connect, migrate
from chatkeep.store.sqlite.encryption import SqliteEncryption

READ: frozenset[Scope] = frozenset({"read"})
OTHER_KEY = bytes(range(32, 64))
CONTENTS = 200


@pytest.fixture
def plain(tmp_path: Path) -> SqliteBackend:
    return SqliteBackend(tmp_path, level=PLAIN)


def with_key(backend: SqliteBackend, key: bytes | None = KEY) -> SqliteBackend:
    return SqliteBackend(backend.path.parent, level=backend.level, key=key)


def kept(backend: SqliteBackend) -> SqliteEncryption:
    return SqliteEncryption(backend.path)


def change(backend: SqliteBackend, wish: EncryptionWish, key: bytes = KEY) -> list[Rewritten]:
    kept(backend).change(wish, key)
    return list(kept(backend).rewrite(key))


@contextlib.asynccontextmanager
async def opened(backend: SqliteBackend) -> AsyncIterator[Talks]:
    store = await backend.open()
    try:
        project = await store.project("ours")
        if project is None:
            project = (await store.add_key("ours", b"digest", "sk-o", READ, 0)).project
        yield Talks(store, project)
    finally:
        await store.aclose()


async def told(backend: SqliteBackend, secrets: Secrets) -> Talks:
    async with opened(backend) as talks:
        await tell(talks, secrets)
    return talks


async def still_there(backend: SqliteBackend, before: Talks) -> None:
    """Everything comes back as it went in, and fits together."""
    async with opened(backend) as talks:
        talks.said = before.said
        await talks.check()
    assert backend.faults() == []


@pytest.mark.parametrize("key", [None, OTHER_KEY])
async def test_an_encrypted_store_opens_with_its_key_only(
    plain: SqliteBackend, key: bytes | None
) -> None:
    async with opened(with_key(plain)):
        pass
    for serving in (False, True):
        with pytest.raises(StoreEncrypted):
            await with_key(plain, key).open(serving=serving)
    async with opened(with_key(plain)):
        pass  # nothing was locked


async def test_a_plain_store_does_not_open_with_a_key(plain: SqliteBackend) -> None:
    async with opened(plain):
        pass
    with pytest.raises(BadSetting, match="chatkeep encryption on"):
        await with_key(plain).open()


@pytest.mark.parametrize("wish", ["on", "rekey", "off"])
async def test_a_change_does_not_begin_while_others_have_the_store_open(
    plain: SqliteBackend, wish: EncryptionWish
) -> None:
    key = None if wish == "on" else KEY
    async with opened(with_key(plain, key)):
        with pytest.raises(StoreLocked, match="stop that first"):
            kept(plain).change(wish, KEY)
    assert kept(plain).state() == ("off" if wish == "on" else "on")


async def test_nobody_else_opens_the_store_as_a_change_begins(plain: SqliteBackend) -> None:
    async with opened(plain):
        pass
    with contextlib.closing(apsw.Connection(str(plain.path))) as reader:
        reader.execute("SELECT * FROM project")
        with pytest.raises(StoreLocked):
            kept(plain).change("on", KEY)


@pytest.mark.parametrize("wish", ["rekey", "off"])
async def test_what_is_not_encrypted_has_no_keys_to_change(
    plain: SqliteBackend, wish: EncryptionWish
) -> None:
    async with opened(plain):
        pass
    with pytest.raises(Fault, match="encryption is off"):
        kept(plain).change(wish, KEY)
    with pytest.raises(Fault, match="encryption is off"):
        kept(plain).rotate(KEY, OTHER_KEY)


async def test_a_change_that_is_not_finished_keeps_the_next_from_beginning(
    plain: SqliteBackend,
) -> None:
    await told(plain, Secrets())
    kept(plain).change("on", KEY)
    for wish in ("on", "off", "rekey"):
        with pytest.raises(Fault, match=r"being encrypted.*chatkeep encryption resume"):
            kept(plain).change(wish, KEY)


@pytest.mark.parametrize("wish", ["rekey", "off"])
async def test_a_change_needs_the_key_the_store_has(
    plain: SqliteBackend, wish: EncryptionWish
) -> None:
    await told(with_key(plain), Secrets())
    with pytest.raises(StoreEncrypted):
        kept(plain).change(wish, OTHER_KEY)
    assert kept(plain).state() == "on"


async def test_nothing_of_an_encrypted_store_is_found_in_its_files(tmp_path: Path) -> None:
    control, secrets = SqliteBackend(tmp_path / "control", level=PLAIN), Secrets()
    await told(control, secrets)
    assert secrets.found_in(files(control)) == set(secrets.texts)
    sealed = SqliteBackend(tmp_path / "sealed", level=PLAIN, key=KEY)
    async with opened(sealed) as talks:
        await tell(talks, Secrets())  # the same
        assert secrets.found_in(files(sealed)) == set()
        assert talks.project.secret not in files(sealed)
    await still_there(sealed, talks)


async def test_nothing_plain_is_left_when_a_store_has_been_encrypted(
    plain: SqliteBackend,
) -> None:
    secrets = Secrets()
    before = await told(plain, secrets)
    assert secrets.found_in(files(plain)) == set(secrets.texts)
    change(plain, "on")
    assert secrets.found_in(whole(plain.path.parent)) == set()
    assert before.project.secret not in whole(plain.path.parent)
    assert kept(plain).state() == "on"
    await still_there(with_key(plain), before)


async def test_nothing_plain_is_left_of_many_rows_of_many_sizes(plain: SqliteBackend) -> None:
    """Rows that grow move between pages, and old pages become free."""
    secrets = Secrets()
    async with opened(plain) as before:
        for number in range(CONTENTS):
            text = secrets.text(f"question {number}") * (1 + number % 7 * 40)
            await before.keep(call([message("user", text)]), message("assistant", text[:24]))
        for number, one in enumerate(list(before.said.values())):
            if number % 3 == 0:
                await before.delete(one)
    change(plain, "on")
    assert secrets.found_in(whole(plain.path.parent)) == set()
    await still_there(with_key(plain), before)


async def test_words_are_no_longer_in_the_files_of_an_encrypted_store(
    plain: SqliteBackend,
) -> None:
    words = [f"word{number}word" for number in range(300)]
    async with opened(plain) as before:
        for number in range(0, 300, 3):
            text = " ".join(words[number : number + 3])
            await before.keep(call([message("user", text)]), message("assistant", "yes"))
    found = whole(plain.path.parent)
    assert any(word.encode() in found for word in words)
    change(plain, "on")
    found = whole(plain.path.parent)
    assert not [word for word in words if word.encode() in found]
    await still_there(with_key(plain), before)


@pytest.mark.parametrize("wishes", [["rekey"], ["rekey", "rekey"], ["off"], ["off", "on"]])
async def test_everything_comes_back_after_each_change(
    plain: SqliteBackend, wishes: list[EncryptionWish]
) -> None:
    encrypted = with_key(plain)
    before = await told(encrypted, Secrets())
    for wish in wishes:
        sealed = plain.path.read_bytes()
        done = change(plain, wish)
        assert done[-1].done == done[-1].total > 4
        assert kept(plain).left() == 0
        assert plain.path.read_bytes() != sealed
        await still_there(plain if wish == "off" else encrypted, before)


async def test_a_store_that_was_decrypted_is_plain_again(plain: SqliteBackend) -> None:
    secrets = Secrets()
    await told(with_key(plain), secrets)
    change(plain, "off")
    assert secrets.found_in(files(plain)) == set(secrets.texts)
    assert kept(plain).state() == "off"
    with pytest.raises(BadSetting):
        await with_key(plain).open()


async def test_the_store_opens_with_a_new_key_and_nothing_is_rewritten(
    plain: SqliteBackend,
) -> None:
    before = await told(with_key(plain), Secrets())
    with pytest.raises(StoreEncrypted):
        kept(plain).rotate(OTHER_KEY, KEY)
    async with opened(with_key(plain)) as serving:
        kept(plain).rotate(KEY, OTHER_KEY)  # also while others have it open
        serving.said = before.said
        await serving.check()
    with pytest.raises(StoreEncrypted):
        await with_key(plain).open()
    assert kept(plain).left() == 0
    await still_there(with_key(plain, OTHER_KEY), before)


async def many(backend: SqliteBackend) -> Talks:
    async with opened(backend) as talks:
        for number in range(CONTENTS):
            await talks.keep(call([message("user", f"{number}")]), message("assistant", "yes"))
    return talks


@pytest.mark.parametrize("wish", ["on", "rekey", "off"])
async def test_a_change_goes_on_while_others_read_write_and_delete(
    plain: SqliteBackend, wish: EncryptionWish
) -> None:
    talks = await many(with_key(plain, None if wish == "on" else KEY))
    kept(plain).change(wish, KEY)
    async with opened(with_key(plain)) as serving:
        serving.said, serving._next = talks.said, talks._next
        steps = 0
        for steps, done in enumerate(kept(plain).rewrite(KEY), start=1):
            assert done.done <= done.total
            first, *_, last = serving.said.values()
            await serving.delete(first)
            await serving.delete(last)
            asked = [message("user", f"5{steps}"), message("assistant", "yes")]
            await serving.keep(call([*asked, message("user", "more")]), asked[1])
            await serving.check()
        assert steps > 3
    assert kept(plain).left() == 0
    assert kept(plain).state() == ("off" if wish == "off" else "on")
    await still_there(plain if wish == "off" else with_key(plain), serving)


@pytest.mark.parametrize("wish", ["on", "rekey", "off"])
async def test_a_change_that_was_broken_off_goes_on_where_it_was(
    plain: SqliteBackend, wish: EncryptionWish
) -> None:
    talks = await many(with_key(plain, None if wish == "on" else KEY))
    kept(plain).change(wish, KEY)
    rewriting: Iterator[Rewritten] = kept(plain).rewrite(KEY)
    first = next(rewriting)
    del rewriting
    assert 0 < kept(plain).left() == first.total - first.done
    await still_there(with_key(plain), talks)
    assert list(kept(plain).rewrite(KEY))[-1].total == first.total - first.done
    assert kept(plain).left() == 0
    await still_there(plain if wish == "off" else with_key(plain), talks)


async def test_a_key_that_is_changed_during_a_change_stays_changed(plain: SqliteBackend) -> None:
    talks = await many(with_key(plain))
    kept(plain).change("rekey", KEY)
    rewriting = kept(plain).rewrite(KEY)
    next(rewriting)
    kept(plain).rotate(KEY, OTHER_KEY)
    list(rewriting)
    await still_there(with_key(plain, OTHER_KEY), talks)


async def test_a_finished_change_has_nothing_left_to_do(plain: SqliteBackend) -> None:
    await told(with_key(plain), Secrets())
    assert list(kept(plain).rewrite(KEY)) == []
    change(plain, "off")
    assert list(kept(plain).rewrite(None)) == []


async def test_large_contents_are_rewritten_a_few_at_a_time(plain: SqliteBackend) -> None:
    async with opened(plain) as talks:
        for number in range(6):
            text = Random(number).randbytes(400_000).hex()
            await talks.keep(call([message("user", text)]), message("assistant", "yes"))
    assert len(change(plain, "on")) >= 3


@pytest.mark.parametrize(
    "swap",
    [
        "UPDATE record SET body = (SELECT body FROM record WHERE seq <> ?1) WHERE seq = ?1",
        "UPDATE record SET seq = seq + 1000 WHERE seq = ?1",
        "UPDATE record SET body = CAST(substr(body, 1, 40) || iif(substr(body, 41, 1) = x'78',"
        " 'y', 'x') || substr(body, 42) AS BLOB)",
        "UPDATE record SET body = x'01'",
        "UPDATE record SET project = 2",
    ],
)
async def test_what_was_meddled_with_is_no_answer_and_verify_says_so(
    plain: SqliteBackend, swap: str
) -> None:
    encrypted = with_key(plain)
    async with opened(encrypted) as talks:
        await talks.store.add_key("theirs", b"theirs", "sk-t", READ, 0)
        for number in (1, 2):
            await talks.keep(call([message("user", f"{number}")]), message("assistant", "yes"))
    first = next(iter(talks.said.values())).row
    with direct(plain.path) as connection:
        connection.pragma("foreign_keys", False)
        connection.execute(swap, (first.seq,) if "?1" in swap else ())
    faults = encrypted.faults()
    assert any("encrypted" in fault for fault in faults), faults
    async with opened(encrypted) as talks:
        with contextlib.suppress(RecordCorrupt):
            assert await talks.store.get(talks.project, name(first)) is None


async def test_what_is_damaged_keeps_its_key_and_is_counted(plain: SqliteBackend) -> None:
    await told(with_key(plain), Secrets())
    with direct(plain.path) as connection:
        connection.execute(
            "UPDATE shared SET data = CAST(substr(data, 1, 30) || 'xx' || substr(data, 33) AS BLOB)"
        )
        damaged = connection.changes()
    last = change(plain, "rekey")[-1]
    assert (last.damaged, last.total - last.done) == (damaged, damaged)
    assert kept(plain).state() == "changing its data key"
    assert kept(plain).left() == damaged


async def test_nothing_is_searched_in_an_encrypted_store(plain: SqliteBackend) -> None:
    async with opened(with_key(plain)) as talks:
        assert not talks.project.full_text
        completions = Completions(talks.store)
        with pytest.raises(SearchEncrypted):
            await completions.query(talks.project, ListRequest(Query(q="hello")))
        with pytest.raises(UnusableValue, match="encrypted"):
            await talks.store.change_project(talks.project.id, changed({"full_text": True}))
        with pytest.raises(UnusableValue, match="encrypted"):
            await talks.store.add_project("new", 0, changed({"full_text": True}))
        assert await talks.store.project("new") is None
        made = await talks.store.add_project("new", 0, changed({"retain_days": 3}))
        assert made is not None
        assert not made.full_text


async def test_a_store_that_is_encrypted_stops_being_searched(plain: SqliteBackend) -> None:
    async with opened(plain) as talks:
        assert talks.project.full_text
        await talks.store.insert(talks.project, row(place(1)), said())
    change(plain, "on")
    async with opened(with_key(plain)) as talks:
        assert not talks.project.full_text
        await talks.store.delete(talks.project, name(row(place(1))))
    assert with_key(plain).faults() == []
    change(plain, "off")
    async with opened(plain) as talks:
        await talks.store.change_project(talks.project.id, changed({"full_text": True}))


def test_no_secret_of_a_project_looks_sealed(tmp_path: Path) -> None:
    path = tmp_path / "chatkeep.db"
    with contextlib.closing(connect(path)) as connection:
        migrate(connection, path)
        connection.execute("BEGIN")
        for number in range(2000):
            made = accounts.add_project(connection, PLAIN_CIPHER, f"{number}", 0, changed({}))
            assert made is not None
            assert not is_sealed(made.secret)
