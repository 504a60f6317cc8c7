"""Settings: what is refused, who wins, and which upstreams follow from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chatkeep import settings
from chatkeep.errors import BadSetting
from chatkeep.settings import Settings
from chatkeep.settings.upstreams import UPSTREAM_SAYS, UpstreamSetting, named_upstreams

NOTHING: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "given.toml") -> Path:
    file = Path(name)
    file.write_text(text, encoding="utf-8")
    return file


def loaded(
    given: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = NOTHING,
    toml: str | None = None,
) -> Settings:
    return settings.load(given or {}, environ, None if toml is None else written(toml))


def refusal(
    given: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = NOTHING,
    toml: str | None = None,
) -> str:
    """The one line that a setting is refused with, be that on loading or on naming upstreams."""
    with pytest.raises(BadSetting) as refused:
        named_upstreams(loaded(given, environ, toml), environ)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def named(
    given: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = NOTHING,
    toml: str | None = None,
) -> tuple[UpstreamSetting, ...]:
    return named_upstreams(loaded(given, environ, toml), environ)


UPSTREAM = '[[upstream]]\nname = "one"\nbase_url = "http://one/v1"\n'


@pytest.mark.parametrize("toml", ["prot = 1", UPSTREAM + "colour = 1", "[server]\nport = 1"])
def test_an_unknown_key_in_the_file_is_refused_by_name(toml: str) -> None:
    unknown = toml.splitlines()[-1].split()[0] if "server" not in toml else "server"
    assert unknown in refusal(toml=toml)


def test_an_unknown_setting_given_is_refused_by_name() -> None:
    assert "prot" in refusal({"prot": 1})


def test_a_file_that_is_no_toml_is_refused_by_its_name() -> None:
    assert "given.toml" in refusal(toml="port = = 1")


def test_a_file_in_another_coding_is_refused_by_its_name() -> None:
    Path("latin.toml").write_bytes(b'root_path = "/caf\xe9"\n')
    with pytest.raises(BadSetting, match=r"latin\.toml"):
        settings.load({}, NOTHING, Path("latin.toml"))


@pytest.mark.parametrize("environ", [NOTHING, {"CHATKEEP_CONFIG": "absent.toml"}])
def test_a_named_file_that_is_not_there_is_refused(environ: Mapping[str, str]) -> None:
    with pytest.raises(BadSetting, match=r"absent\.toml"):
        settings.load({}, environ, None if environ else Path("absent.toml"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", "8787.5"),
        ("port", "-1"),
        ("port", "65536"),
        ("no_auth", "maybe"),
        ("discover", "2"),
        ("drain_s", "soon"),
        ("max_body_bytes", "32MiB"),
        ("max_body_bytes", "0"),
        ("max_answer_bytes", "-5"),
        ("on_disconnect", "ignore"),
        ("log_level", "loud"),
        ("root_path", "chatkeep"),
        ("root_path", "/chatkeep/"),
        ("root_path", "/a b"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_the_name_and_the_value(
    name: str, value: str
) -> None:
    message = refusal(environ={f"CHATKEEP_{name.upper()}": value})
    assert name in message
    assert value in message


@pytest.mark.parametrize("name", ["key", "upstream_key"])
def test_a_secret_that_cannot_be_used_is_refused_by_its_name_alone(name: str) -> None:
    message = refusal(toml=f'{name} = ["sk-of-somebody"]')
    assert name in message
    assert "sk-of-somebody" not in message


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "chatkeep.example"])  # noqa: S104
def test_no_auth_is_refused_where_others_can_reach_it(host: str) -> None:
    message = refusal({"no_auth": True, "host": host})
    assert "no_auth" in message
    assert host in message


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_no_auth_is_taken_on_a_loopback_address(host: str) -> None:
    assert loaded({"no_auth": True, "host": host}).no_auth


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com/v1",
        "//api.openai.com/v1",
        "ftp://api.openai.com/v1",
        "ftp://api.openai.com:21/v1",
        "//gpu:8000/v1",
        "gpu:8000/v1",
        "https://",
        "https:///v1",
        "http://[::1/v1",
        "http://localhost:port/v1",
        "http://localhost:99999/v1",
    ],
)
def test_an_address_that_is_none_is_refused_with_the_address(url: str) -> None:
    assert url in refusal({"upstream_url": url})
    assert url in refusal(toml=f'[[upstream]]\nname = "one"\nbase_url = "{url}"\n')


@pytest.mark.parametrize("url", ["localhost:8080", "http://[::1/v1", "http://localhost:port/v1"])
def test_an_address_of_openais_variables_that_is_none_is_refused_with_the_address(url: str) -> None:
    assert url in refusal(environ={"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-1"})


def test_a_key_from_a_variable_or_file_that_is_not_there_is_refused_by_name() -> None:
    assert "ONE_KEY" in refusal(toml=UPSTREAM + 'key_env = "ONE_KEY"')
    assert "ONE_KEY" in refusal(environ={"ONE_KEY": ""}, toml=UPSTREAM + 'key_env = "ONE_KEY"')
    assert "one.key" in refusal(toml=UPSTREAM + 'key_file = "one.key"')


def test_two_upstreams_of_one_name_are_refused() -> None:
    assert "one" in refusal(toml=UPSTREAM + UPSTREAM)


def test_a_fallback_that_is_no_upstream_is_refused() -> None:
    assert "two" in refusal(toml=UPSTREAM + 'fallbacks = ["two"]')


@pytest.mark.parametrize("key", ["name", "base_url"])
def test_an_upstream_without_name_or_address_is_refused(key: str) -> None:
    kept = [line for line in UPSTREAM.splitlines() if not line.startswith(key)]
    assert key in refusal(toml="\n".join(kept))


def test_without_anything_the_defaults_hold() -> None:
    found = loaded()
    assert (found.host, found.port, found.no_auth, found.key) == ("127.0.0.1", 8787, False, None)
    assert found.max_body_bytes == 32 * 1024 * 1024
    assert found.upstream == ()
    assert found.store.startswith("sqlite:///")
    assert found.store.endswith("/chatkeep.db")


# Each setting's value in the file, in the environment and given, and what is made of them.
LEVELS: dict[str, tuple[str, str, Any, list[Any]]] = {
    "host": ('"file"', "env", "given", ["127.0.0.1", "file", "env", "given"]),
    "port": ("1", "2", 3, [8787, 1, 2, 3]),
    "store": ('"file:"', "env:", "given:", [None, "file:", "env:", "given:"]),
    "upstream_url": ('"file"', "env", "given", [None, "file", "env", "given"]),
    "upstream_key": ('"file"', "env", "given", [None, "file", "env", "given"]),
    "discover": ("false", "1", False, [True, False, True, False]),
    "key": ('"file"', "env", "given", [None, "file", "env", "given"]),
    "encryption_key": ('"file"', "env", "given", [None, "file", "env", "given"]),
    "encryption_key_file": ('"file"', "env", "given", [None, "file", "env", "given"]),
    "encryption_key_command": ('"file"', "env", "given", [None, "file", "env", "given"]),
    "no_auth": ("true", "false", True, [False, True, False, True]),
    "on_disconnect": ('"finish"', "cancel", "finish", ["cancel", "finish", "cancel", "finish"]),
    "max_body_bytes": ("1", "2", 3, [32 << 20, 1, 2, 3]),
    "max_answer_bytes": ("1", "2", 3, [64 << 20, 1, 2, 3]),
    "client_timeout_s": ("1.5", "2.5", 3.5, [60.0, 1.5, 2.5, 3.5]),
    "max_connections": ("10", "20", 30, [4096, 10, 20, 30]),
    "max_requests": ("1", "2", 3, [2000, 1, 2, 3]),
    "drain_s": ("1.5", "2.5", 3.5, [30.0, 1.5, 2.5, 3.5]),
    "cors_origins": (
        '["http://a", "http://b"]',
        "http://c, http://d",
        ("http://e",),
        [(), ("http://a", "http://b"), ("http://c", "http://d"), ("http://e",)],
    ),
    "root_path": ('"/file"', "/env", "/given", ["", "/file", "/env", "/given"]),
    "trusted_proxies": (
        '["10.0.0.1"]',
        "10.0.0.2,",
        ("10.0.0.3",),
        [(), ("10.0.0.1",), ("10.0.0.2",), ("10.0.0.3",)],
    ),
    "log_level": ('"debug"', "warning", "error", ["info", "debug", "warning", "error"]),
}


@pytest.mark.parametrize("name", LEVELS)
def test_a_value_given_beats_the_environment_beats_the_file_beats_the_default(name: str) -> None:
    in_file, in_environ, given, wanted = LEVELS[name]
    toml, environ = f"{name} = {in_file}", {f"CHATKEEP_{name.upper()}": in_environ}
    found = [
        getattr(loaded(), name),
        getattr(loaded(toml=toml), name),
        getattr(loaded(environ=environ, toml=toml), name),
        getattr(loaded({name: given}, environ, toml), name),
    ]
    assert found[1:] == wanted[1:]
    assert name == "store" or found[0] == wanted[0]


def test_every_setting_can_be_given_at_every_level() -> None:
    # Tables stand in the file alone; the variable of `upstream` is another word for the URL.
    assert set(LEVELS) == set(Settings.__struct_fields__) - {"upstream", "price"}


def test_a_value_of_none_is_not_given() -> None:
    assert loaded({"port": None}, {"CHATKEEP_PORT": "9"}).port == 9


def test_other_variables_are_let_alone() -> None:
    environ = {"PORT": "1", "CHATKEEP_TEST_FORBID_SKIPS": "1", "chatkeep_port": "2"}
    assert loaded(environ=environ).port == 8787


def test_the_file_of_the_working_folder_is_read_unless_another_is_named() -> None:
    written("port = 1", "chatkeep.toml")
    other = written("host = 'x'", "other.toml")
    third = written("host = 'y'", "third.toml")
    assert settings.load({}, NOTHING).port == 1
    by_variable = settings.load({}, {"CHATKEEP_CONFIG": str(other)})
    assert (by_variable.port, by_variable.host) == (8787, "x")
    assert settings.load({}, {"CHATKEEP_CONFIG": str(other)}, third).host == "y"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        loaded().port = 1  # type: ignore[misc]  # that it is an error is what is tested


def test_every_setting_has_its_sentence_and_no_usable_secret_as_default() -> None:
    assert list(settings.SAYS) == list(Settings.__struct_fields__)
    assert list(UPSTREAM_SAYS) == list(UpstreamSetting.__struct_fields__)
    for sentence in (*settings.SAYS.values(), *UPSTREAM_SAYS.values()):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
    assert (loaded().key, loaded().upstream_key) == (None, None)


OPENAI_KEY = {"OPENAI_API_KEY": "sk-openai"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""},
        {"OPENAI_API_KEY": "sk-ck-a-key-of-ours"},
        {"OPENAI_API_KEY": "sk-ck-a-key-of-ours", "OPENAI_BASE_URL": "https://elsewhere/v1"},
    ],
)
def test_openais_variables_name_no_upstream_when_they_are_meant_for_us(
    environ: Mapping[str, str],
) -> None:
    assert named(environ=environ) == ()


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("http://127.0.0.1:8787/v1", {}),
        ("http://localhost:8787/v1/", {}),
        ("http://LocalHost:8787/v1", {}),
        ("http://[::1]:8787/v1", {}),
        ("http://localhost:9000/v1", {"port": 9000}),
        ("http://10.0.0.5:8787/v1", {"host": "10.0.0.5"}),
        ("http://0.0.0.0:8787/v1", {"host": "0.0.0.0"}),  # noqa: S104
        ("http://127.0.0.1:8787/v1", {"host": "0.0.0.0"}),  # noqa: S104
        ("http://user:secret@127.0.0.1:8787/v1", {}),
        ("http://127.0.0.1/v1", {"port": 80}),
    ],
)
def test_openais_variables_name_no_upstream_when_they_point_at_us(
    url: str, given: Mapping[str, Any]
) -> None:
    assert named(given, {"OPENAI_BASE_URL": url}) == ()
    assert named(given, OPENAI_KEY | {"OPENAI_BASE_URL": url}) == ()


@pytest.mark.parametrize(
    ("environ", "url", "key"),
    [
        (OPENAI_KEY, "https://api.openai.com/v1", "sk-openai"),
        ({"OPENAI_BASE_URL": "http://gpu:8000/v1/"}, "http://gpu:8000/v1", None),
        (OPENAI_KEY | {"OPENAI_BASE_URL": "http://gpu/v1"}, "http://gpu/v1", "sk-openai"),
        ({"OPENAI_BASE_URL": "http://localhost:8788/v1"}, "http://localhost:8788/v1", None),
        ({"OPENAI_BASE_URL": "http://other:8787/v1"}, "http://other:8787/v1", None),
    ],
)
def test_openais_variables_name_the_upstream_else(
    environ: Mapping[str, str], url: str, key: str | None
) -> None:
    (only,) = named(environ=environ)
    assert (only.base_url, only.key) == (url, key)


@pytest.mark.parametrize(
    ("given", "toml"),
    [
        ({"upstream_url": "http://mine/v1"}, None),
        ({}, 'upstream_url = "http://mine/v1"'),
        ({}, '[[upstream]]\nname = "mine"\nbase_url = "http://mine/v1"'),
    ],
)
def test_an_upstream_of_our_own_settings_beats_openais_variables(
    given: Mapping[str, Any], toml: str | None
) -> None:
    (only,) = named(given, OPENAI_KEY | {"OPENAI_BASE_URL": "http://gpu/v1"}, toml)
    assert (only.name, only.base_url, only.key) == ("mine", "http://mine/v1", None)


@pytest.mark.parametrize("variable", ["CHATKEEP_UPSTREAM", "CHATKEEP_UPSTREAM_URL"])
def test_an_address_from_the_environment_stands_alone(variable: str) -> None:
    environ = {variable: "http://user:secret@mine:81/v1/", "CHATKEEP_UPSTREAM_KEY": "k"}
    (only,) = named({}, environ, UPSTREAM)
    assert (only.name, only.key) == ("mine:81", "k")
    assert only.base_url == "http://mine:81/v1"
    assert only.headers == {"authorization": "Basic dXNlcjpzZWNyZXQ="}


def test_the_tables_of_the_file_are_the_upstreams_in_their_order_with_their_keys() -> None:
    Path("two.key").write_text("  from a file\n")
    toml = (
        UPSTREAM
        + 'key = "plain"\nmodels = ["gpt-*"]\nfallbacks = ["two"]\nquery = {api-version = "1"}\n'
        + UPSTREAM.replace("one", "two")
        + 'key_file = "two.key"\nstream_usage = "leave"\n'
        + UPSTREAM.replace("one", "three")
        + 'key_env = "THREE"\ntimeout_s = 5\n'
    )
    one, two, three = named(environ={"THREE": "from a variable"}, toml=toml)
    assert [one.name, two.name, three.name] == ["one", "two", "three"]
    assert [one.key, two.key, three.key] == ["plain", "from a file", "from a variable"]
    assert (one.models, one.fallbacks, one.query) == (("gpt-*",), ("two",), {"api-version": "1"})
    assert (two.models, two.stream_usage, three.timeout_s) == (("*",), "leave", 5.0)
