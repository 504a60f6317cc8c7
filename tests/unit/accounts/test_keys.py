"""API keys: what is refused, what may be shown of them, and how a request's key is found."""

import string
from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.accounts import keys
from chatkeep.core.accounts.keys import Keyring, NoAuth
from chatkeep.core.model.completion import SCOPES, Key, KeyId, Project, ProjectId, Scope
from chatkeep.core.ports.store import Store
from chatkeep.errors import (
    MissingKey,
    ProjectNotFound,
    Refusal,
    ScopeMissing,
    StoreBusy,
    WrongKey,
)

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PROJECT = Project(ProjectId(1), "default", b"0" * 32)


def key(
    *scopes: Scope, revoked_unix: int | None = None, expires_unix: int | None = None, id: int = 1
) -> Key:
    return Key(
        KeyId(id),
        PROJECT,
        "sk-ck-…",
        frozenset(scopes),
        0,
        revoked_unix,
        expires_unix=expires_unix,
    )


class KeysOnly:
    """As much of a store as a keyring asks."""

    def __init__(self, known: dict[str, Key]) -> None:
        self.known = known
        self.asked = 0
        self.noted: list[dict[KeyId, int]] = []
        self.failing = False

    async def key(self, digest: bytes) -> Key | None:
        self.asked += 1
        return next(
            (self.known[secret] for secret in self.known if keys.digest(secret) == digest), None
        )

    async def project(self, name: str) -> Project | None:
        return PROJECT if name == PROJECT.name else None

    async def note_used(self, used: Mapping[KeyId, int]) -> None:
        if self.failing:
            raise StoreBusy(detail="locked")
        self.noted.append(dict(used))


class Hand:
    """A clock that a test sets."""

    def __init__(self, unix: float = 1000.0) -> None:
        self.unix = unix

    def __call__(self) -> float:
        return self.unix


def ring(store: KeysOnly, clock: Hand | None = None) -> Keyring:
    return Keyring(cast(Store, store), clock or Hand())


async def wrong(keyring: Keyring, secret: str) -> Refusal:
    with pytest.raises(WrongKey) as refused:
        await keyring.verify(f"Bearer {secret}")
    return refused.value


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer    ",
        "sk-ck-secret",
        "Basic dXNlcjpwYXNz",
        "Token sk-ck-secret",
        "Bearersk-ck-secret",
        " Bearer sk-ck-secret",
    ],
)
def test_a_header_without_a_bearer_key_is_refused(header: str) -> None:
    with pytest.raises(MissingKey) as refused:
        keys.bearer(header)
    assert (refused.value.status, refused.value.param, refused.value.code) == (401, None, None)


@pytest.mark.parametrize("header", ["Bearer sk-ck-a", "bearer sk-ck-a", "BEARER  sk-ck-a "])
def test_the_bearer_key_is_read(header: str) -> None:
    assert keys.bearer(header) == "sk-ck-a"


async def test_an_unknown_key_is_refused_and_only_its_ends_are_shown() -> None:
    error = await wrong(ring(KeysOnly({})), "not-a-real-key-of-anybody")
    assert error.message == (
        "Incorrect API key provided: not-a-re*************body. Create one with: chatkeep keys add"
    )
    assert (error.status, error.param, error.code) == (401, None, "invalid_api_key")


async def test_a_revoked_key_is_refused_like_an_unknown_one() -> None:
    store = KeysOnly({"sk-ck-revoked-long-ago": key("root", revoked_unix=1)})
    revoked = await wrong(ring(store), "sk-ck-revoked-long-ago")
    unknown = await wrong(ring(KeysOnly({})), "sk-ck-revoked-long-ago")
    assert (revoked.message, revoked.code) == (unknown.message, unknown.code)


async def test_a_missing_key_is_refused_without_asking_the_store() -> None:
    store = KeysOnly({})
    with pytest.raises(MissingKey):
        await ring(store).verify("")
    assert store.asked == 0


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_without_the_scope_may_not(scope: Scope) -> None:
    others: set[Scope] = {other for other in SCOPES if other not in (scope, "root")}
    with pytest.raises(ScopeMissing):
        keys.allow(key(*others), scope)
    with pytest.raises(ScopeMissing) as refused:
        keys.allow(key(), scope)
    assert (refused.value.status, refused.value.code) == (403, "insufficient_permissions")
    assert refused.value.message == f"This key may not do that: it needs the scope '{scope}'."


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_with_the_scope_or_root_may(scope: Scope) -> None:
    keys.allow(key(scope), scope)
    keys.allow(key("root"), scope)


async def test_a_known_key_is_found_and_remembered_until_forgotten() -> None:
    holder = key("read")
    store = KeysOnly({"sk-ck-one": holder})
    keyring = ring(store)
    assert [await keyring.verify("Bearer sk-ck-one") for _ in range(3)] == [holder] * 3
    assert store.asked == 1
    keyring.forget()
    assert await keyring.verify("bearer sk-ck-one") == holder
    assert store.asked == 2


async def test_headers_without_end_are_not_remembered() -> None:
    store = KeysOnly({"sk-ck-one": key("read")})
    keyring = ring(store)
    for _ in range(2):
        await keyring.verify("Bearer" + " " * 60_000 + "sk-ck-one")
    assert store.asked == 2


async def test_a_key_revoked_meanwhile_is_refused_after_forgetting() -> None:
    store = KeysOnly({"sk-ck-one-that-goes": key("root")})
    keyring = ring(store)
    await keyring.verify("Bearer sk-ck-one-that-goes")
    store.known["sk-ck-one-that-goes"] = key("root", revoked_unix=1)
    keyring.forget()
    await wrong(keyring, "sk-ck-one-that-goes")


async def test_a_refused_key_is_not_remembered() -> None:
    store = KeysOnly({})
    keyring = ring(store)
    await wrong(keyring, "sk-ck-comes-later")
    store.known["sk-ck-comes-later"] = key("read")
    assert (await keyring.verify("Bearer sk-ck-comes-later")).scopes == {"read"}


async def test_more_keys_than_are_remembered_are_all_found() -> None:
    store = KeysOnly({})
    keyring = ring(store)
    for number in range(5000):
        store.known = {f"sk-ck-{number}": key("read")}
        assert (await keyring.verify(f"Bearer sk-ck-{number}")).scopes == {"read"}
    store.known = {}
    await keyring.verify("Bearer sk-ck-4999")
    assert store.asked == 5000


async def test_an_expired_key_is_refused_like_an_unknown_one() -> None:
    store = KeysOnly({"sk-ck-ended-long-ago": key("root", expires_unix=1000)})
    expired = await wrong(ring(store), "sk-ck-ended-long-ago")
    unknown = await wrong(ring(KeysOnly({})), "sk-ck-ended-long-ago")
    assert (expired.message, expired.code) == (unknown.message, unknown.code)


async def test_a_remembered_key_ends_when_the_clock_says_so() -> None:
    store, clock = KeysOnly({"sk-ck-for-a-while": key("read", expires_unix=2000)}), Hand()
    keyring = ring(store, clock)
    await keyring.verify("Bearer sk-ck-for-a-while")
    clock.unix = 1999.9
    await keyring.verify("Bearer sk-ck-for-a-while")
    clock.unix = 2000.0
    await wrong(keyring, "sk-ck-for-a-while")
    assert store.asked == 1


async def test_a_key_read_before_a_change_is_not_remembered_after_it() -> None:
    class ChangedMeanwhile(KeysOnly):
        async def key(self, digest: bytes) -> Key | None:
            found = await super().key(digest)
            keyring.forget()
            return found

    store = ChangedMeanwhile({"sk-ck-one": key("read")})
    keyring = ring(store)
    await keyring.verify("Bearer sk-ck-one")
    await keyring.verify("Bearer sk-ck-one")
    assert store.asked == 2


async def test_uses_are_written_only_when_asked_for_and_once() -> None:
    store, clock = KeysOnly({"sk-ck-a": key("read"), "sk-ck-b": key("read", id=2)}), Hand()
    keyring = ring(store, clock)
    for unix, secret in ((1000.5, "sk-ck-a"), (1001.5, "sk-ck-b"), (1002.5, "sk-ck-a")):
        clock.unix = unix
        await keyring.verify(f"Bearer {secret}")
    assert store.noted == []
    await keyring.note_uses()
    await keyring.note_uses()
    assert store.noted == [{1: 1002, 2: 1001}]


async def test_a_refused_key_was_not_used() -> None:
    store = KeysOnly(
        {"sk-ck-ended": key("read", expires_unix=1), "sk-ck-gone": key(revoked_unix=1)}
    )
    keyring = ring(store)
    for secret in ("sk-ck-ended", "sk-ck-gone", "sk-ck-unknown"):
        await wrong(keyring, secret)
    await keyring.note_uses()
    assert store.noted == []


async def test_uses_that_could_not_be_written_are_written_later() -> None:
    store, clock = KeysOnly({"sk-ck-a": key("read"), "sk-ck-b": key("read", id=2)}), Hand()
    keyring = ring(store, clock)
    await keyring.verify("Bearer sk-ck-a")
    await keyring.verify("Bearer sk-ck-b")
    store.failing = True
    with pytest.raises(StoreBusy):
        await keyring.note_uses()
    clock.unix = 2000.0
    await keyring.verify("Bearer sk-ck-a")
    store.failing = False
    await keyring.note_uses()
    assert store.noted == [{1: 2000, 2: 1000}]


async def test_no_auth_needs_its_project() -> None:
    with pytest.raises(ProjectNotFound):
        await NoAuth(cast(Store, KeysOnly({})), "nobody's").verify("")


async def test_no_auth_lets_everybody_do_everything() -> None:
    auth = NoAuth(cast(Store, KeysOnly({})), "default")
    for header in ("", "Basic x", "Bearer sk-ck-anything"):
        auth.forget()
        holder = await auth.verify(header)
        assert holder.project == PROJECT
        for scope in SCOPES:
            keys.allow(holder, scope)


@given(st.binary(min_size=32, max_size=32))
def test_a_new_key_holds_all_its_256_random_bits(random: bytes) -> None:
    asked: list[int] = []

    def token_bytes(count: int) -> bytes:
        asked.append(count)
        return random

    secret = keys.new_secret(token_bytes)
    assert asked == [32]
    assert secret.startswith("sk-ck-")
    digits = secret.removeprefix("sk-ck-")
    assert len(digits) == 43
    assert sum(ALPHABET.index(digit) * 62**place for place, digit in enumerate(digits[::-1])) == (
        int.from_bytes(random)
    )


def test_keys_have_different_digests_that_do_not_show_them() -> None:
    digests = {
        keys.digest(secret) for secret in ("sk-ck-a", "sk-ck-b", "sk-ck-A", "", "é", "\udcff")
    }
    assert len(digests) == 6
    assert all(len(digest) == 32 for digest in digests)


def test_a_long_key_is_masked_as_openai_does() -> None:
    assert keys.masked("mistaken" + "-" * 26 + "over") == "mistaken" + "*" * 26 + "over"


@pytest.mark.parametrize(("secret", "shown"), [("", ""), ("a", "*"), ("fake_key", "fa******")])
def test_a_short_key_is_masked_too(secret: str, shown: str) -> None:
    assert keys.masked(secret) == shown


@given(st.text(string.ascii_letters, min_size=1, max_size=300))
def test_what_is_shown_of_a_key_leaves_most_of_it_unknown(secret: str) -> None:
    shown = keys.masked(secret).replace("*", "")
    assert len(shown) <= min(12, 0.75 * len(secret))
    assert len(keys.masked(secret)) <= 76


def test_a_real_keys_mask_leaves_enough_to_know_it_by_and_too_little_to_guess() -> None:
    secret = keys.new_secret(lambda count: bytes(range(count)))
    shown = keys.masked(secret)
    assert shown.startswith("sk-ck-")
    assert len(secret) - len(shown.replace("*", "")) > 30
