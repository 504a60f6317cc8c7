"""The key of an encrypted store: how it is given, what is refused, and that nobody sees it."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from chatkeep.errors import BadSetting
from chatkeep.settings import Settings, encryption_key, load

KEY = "c0ffee11" + "0123456789abcdef" * 3 + "8badf00d"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(**given: Any) -> str:
    with pytest.raises(BadSetting) as refused:
        encryption_key(Settings(**given))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def printing(text: str) -> str:
    return shlex.join([sys.executable, "-c", f"print({text!r})"])


def test_two_ways_at_once_are_refused() -> None:
    said = refusal(encryption_key=KEY, encryption_key_file="key")
    assert said == "encryption_key and encryption_key_file are given; give one of them"


def test_a_key_that_is_none_is_refused_and_not_repeated() -> None:
    for given in ({"encryption_key": KEY[1:]}, {"encryption_key_command": printing(KEY[1:])}):
        said = refusal(**given)
        assert "64 hex digits" in said
        assert KEY[1:] not in said


def test_a_file_that_cannot_be_read_or_holds_no_key_is_refused() -> None:
    assert "No such file" in refusal(encryption_key_file="key")
    Path("key").write_bytes(bytes(range(128, 160)))
    assert "that encryption_key_file gives" in refusal(encryption_key_file="key")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-command", "No such file"),
        (shlex.join([sys.executable, "-c", "raise SystemExit(7)"]), "status 7"),
        ("'never closed", "No closing quotation"),
        (" ", "encryption_key_command gives no key"),
    ],
)
def test_a_command_that_fails_is_refused_with_its_reason(command: str, says: str) -> None:
    assert says in refusal(encryption_key_command=command)


def test_a_command_that_fails_does_not_show_what_it_printed() -> None:
    script = f"print({KEY!r}); raise SystemExit(1)"
    said = refusal(encryption_key_command=f"{sys.executable} -c {shlex.quote(script)}")
    assert "status 1" in said


def test_without_a_key_there_is_none() -> None:
    assert encryption_key(load({}, {"CHATKEEP_ENCRYPTION_KEY": ""})) is None


def test_each_way_gives_the_key() -> None:
    Path("key").write_text(f"{KEY}\n")
    ways = [
        load({}, {"CHATKEEP_ENCRYPTION_KEY": KEY}),
        load({}, {"CHATKEEP_ENCRYPTION_KEY_FILE": "key"}),
        load({}, {"CHATKEEP_ENCRYPTION_KEY_COMMAND": printing(KEY)}),
    ]
    assert [encryption_key(way) for way in ways] == [bytes.fromhex(KEY)] * 3


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(Settings(encryption_key=KEY, key="sk-ck-one", upstream_key="sk-two"))
    assert shown == "Settings(store='')"
