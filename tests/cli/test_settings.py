"""Where settings come from, and what is said about one that cannot be used."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_data_path

from chatkeep.cli.serve import serve
from chatkeep.cli.upstreams import upstreams as upstreams_command
from chatkeep.errors import BadSetting
from chatkeep.settings import SAYS, Settings, default_store, load
from chatkeep.settings.upstreams import named_upstreams
from chatkeep.store import sqlite_path

ANY_HOST = "0.0.0.0"  # noqa: S104  # read only, nothing listens
UPSTREAM = '[[upstream]]\nname = "one"\nbase_url = "http://127.0.0.1:9/v1"\n'
# The variable without its CHATKEEP_, a value that cannot be used, and what the refusal speaks of.
BAD = [
    ("PORT", "abc", "port"),
    ("PORT", "70000", "port"),
    ("PORT", "-1", "port"),
    ("NO_AUTH", "maybe", "no_auth"),
    ("DISCOVER", "perhaps", "discover"),
    ("LOG_LEVEL", "loud", "log_level"),
    ("ON_DISCONNECT", "wait", "on_disconnect"),
    ("MAX_BODY_BYTES", "0", "max_body_bytes"),
    ("MAX_BODY_BYTES", "1.5", "max_body_bytes"),
    ("MAX_ANSWER_BYTES", "-5", "max_answer_bytes"),
    ("CLIENT_TIMEOUT_S", "0", "client_timeout_s"),
    ("CLIENT_TIMEOUT_S", "nan", "client_timeout_s"),
    ("MAX_CONNECTIONS", "0", "max_connections"),
    ("MAX_REQUESTS", "0", "max_requests"),
    ("DRAIN_S", "soon", "drain_s"),
    ("DRAIN_S", "-1", "drain_s"),
    ("DRAIN_S", "inf", "drain_s"),
    ("DRAIN_S", "nan", "drain_s"),
    ("ROOT_PATH", "keep", "root_path"),
    ("ROOT_PATH", "/keep/", "root_path"),
    ("CORS_ORIGINS", "app.example", "cors_origins"),
    ("CORS_ORIGINS", "https://app.example/chat", "cors_origins"),
    ("CORS_ORIGINS", "ftp://files.example", "cors_origins"),
    ("CORS_ORIGINS", "https://*.example", "cors_origins"),
    ("CORS_ORIGINS", "https://app.example:port", "cors_origins"),
    ("TRUSTED_PROXIES", "proxy.example", "trusted_proxies"),
    ("TRUSTED_PROXIES", "10.0.0.300", "trusted_proxies"),
    ("TRUSTED_PROXIES", "10.0.0.0/33", "trusted_proxies"),
]
# A variable that is none, and the one that was meant, if any is near.
UNKNOWN = [
    ("CHATKEEP_PROT", "CHATKEEP_PORT"),
    ("CHATKEEP_UPSTREAMURL", "CHATKEEP_UPSTREAM_URL"),
    ("CHATKEEP_TRUSTED_PROXY", "CHATKEEP_TRUSTED_PROXIES"),
    ("CHATKEEP_CONFIGS", "CHATKEEP_CONFIG"),
    ("CHATKEEP_COLOUR", None),
]
BAD_URLS = [
    *("127.0.0.1:8000/v1", "/v1", "ftp://provider/v1", "http://", "http:///v1"),
    *("http://[::1/v1", "http://provider:99999/v1", "http://provider:port/v1"),
]
BAD_STORES = [
    *("chatkeep.db", "/data/chatkeep.db", "sqlite:", "sqlite://", "sqlite:///"),
    *("sqlite://host/chatkeep.db", "postgresql://host/chatkeep", "sqlite:///a.db?mode=ro"),
    *("sqlite:///a.db#b", "sqlite://[host/a.db"),
]
BAD_FILES = [
    ("port = ", "chatkeep.toml"),
    ("prot = 8080", "Did you mean 'port'?"),
    ("cors_origin = []", "Did you mean 'cors_origins'?"),
    ('cors_origins = ["app.example"]', "app.example"),
    ('trusted_proxies = ["none"]', "none"),
    ('port = "eighty"', "port"),
    ("drain_s = inf", "drain_s"),
    ('[upstream]\nname = "one"', "upstream"),
    ('[[upstream]]\nname = "one"', "base_url"),
    (UPSTREAM + "retrys = 3", "Did you mean 'retries'?"),
    (UPSTREAM + 'stream_usage = "often"', "stream_usage"),
    (UPSTREAM + "retries = -1", "retries"),
    (UPSTREAM + "timeout_s = -1", "timeout_s"),
    (UPSTREAM + UPSTREAM, "one"),
    (UPSTREAM + 'fallbacks = ["two"]', "two"),
    ('[[price]]\nmodel = "m"\ninput = 1', "output"),
    ('[[price]]\nmodel = "m"\ninput = 1\noutput = -1', "output"),
    (UPSTREAM + 'key_env = "KEY_THAT_IS_NOT_SET"', "KEY_THAT_IS_NOT_SET"),
    (UPSTREAM + 'key_file = "no/such/file"', "no/such/file"),
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settled(environ: dict[str, str], file: Path | None = None) -> None:
    """All that is read of settings before a server opens anything."""
    settings = load({}, environ, file)
    named_upstreams(settings, environ)
    sqlite_path(settings.store)


@pytest.mark.parametrize(("name", "value", "spoken_of"), BAD)
def test_a_refused_variable_is_named(name: str, value: str, spoken_of: str) -> None:
    with pytest.raises(BadSetting, match=rf"\b{spoken_of}\b"):
        settled({f"CHATKEEP_{name}": value})


@pytest.mark.parametrize(("name", "value", "spoken_of"), BAD)
def test_a_refused_variables_value_is_shown(name: str, value: str, spoken_of: str) -> None:
    with pytest.raises(BadSetting, match=re.escape(value)):
        settled({f"CHATKEEP_{name}": value})


@pytest.mark.parametrize(("name", "meant"), UNKNOWN)
def test_a_variable_that_is_none_is_refused_and_the_near_one_named(
    name: str, meant: str | None
) -> None:
    with pytest.raises(BadSetting) as refused:
        settled({name: "1"})
    assert name in str(refused.value)
    assert ("Did you mean" in str(refused.value)) == (meant is not None)
    assert (meant or "") in str(refused.value)


@pytest.mark.parametrize(
    "origins",
    ["*", "https://app.example", "http://localhost:3000, https://app.example", "http://[::1]:80"],
)
def test_origins_of_pages_are_taken(origins: str) -> None:
    settled({"CHATKEEP_CORS_ORIGINS": origins})


@pytest.mark.parametrize("proxies", ["*", "127.0.0.1", "10.0.0.0/8, ::1", "fd00::/8"])
def test_addresses_and_networks_of_proxies_are_taken(proxies: str) -> None:
    settled({"CHATKEEP_TRUSTED_PROXIES": proxies})


@pytest.mark.parametrize(
    "variable", ["CHATKEEP_TEST_CONTRACT", "CHATKEEP_TEST_POSTGRES", "CHATKEEP_"]
)
def test_what_is_no_setting_of_a_server_is_left_alone(variable: str) -> None:
    settled({variable: "1"})


@pytest.mark.parametrize(("mark", "escaped"), [("#", "%23"), ("?", "%3F")])
def test_a_store_with_a_mark_in_its_name_is_refused_with_how_to_write_it(
    mark: str, escaped: str
) -> None:
    with pytest.raises(BadSetting, match=re.escape(f"write {escaped} for {mark}")):
        sqlite_path(f"sqlite:///run{mark}1/chatkeep.db")
    assert sqlite_path(f"sqlite:///run{escaped}1/chatkeep.db") == Path(f"run{mark}1/chatkeep.db")


@pytest.mark.parametrize("url", BAD_URLS)
@pytest.mark.parametrize("variable", ["CHATKEEP_UPSTREAM_URL", "CHATKEEP_UPSTREAM"])
def test_an_upstream_that_is_no_url_is_refused(variable: str, url: str) -> None:
    with pytest.raises(BadSetting, match="upstream"):
        settled({variable: url})


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_openai_base_url_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadSetting, match=r"upstream|OPENAI_BASE_URL"):
        settled({"OPENAI_BASE_URL": url})


@pytest.mark.parametrize("url", BAD_STORES)
def test_a_store_that_is_no_store_url_is_refused(url: str) -> None:
    with pytest.raises(BadSetting, match="store"):
        settled({"CHATKEEP_STORE": url})


@pytest.mark.parametrize(("text", "spoken_of"), BAD_FILES)
def test_a_file_with_a_mistake_is_refused(empty_folder: Path, text: str, spoken_of: str) -> None:
    (empty_folder / "chatkeep.toml").write_text(text)
    with pytest.raises(BadSetting, match=re.escape(spoken_of)):
        settled({})


def make_nothing(file: Path) -> None:
    pass


def make_latin(file: Path) -> None:
    file.write_bytes(b'root_path = "/caf\xe9"')


@pytest.mark.parametrize("make", [make_nothing, Path.mkdir, make_latin])
def test_a_file_that_cannot_be_read_is_refused(
    empty_folder: Path, make: Callable[[Path], None]
) -> None:
    file = empty_folder / "odd.toml"
    make(file)
    with pytest.raises(BadSetting, match=r"odd\.toml"):
        settled({}, file)
    with pytest.raises(BadSetting, match=r"odd\.toml"):
        settled({"CHATKEEP_CONFIG": str(file)})


@pytest.mark.parametrize("host", [ANY_HOST, "::", "192.0.2.1", "chatkeep.example", "127.0.0.1.x"])
def test_no_auth_is_refused_off_loopback(host: str) -> None:
    with pytest.raises(BadSetting, match="no_auth"):
        load({"host": host, "no_auth": True}, {})
    with pytest.raises(BadSetting, match="no_auth"):
        load({}, {"CHATKEEP_HOST": host, "CHATKEEP_NO_AUTH": "true"})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_no_auth_is_allowed_on_loopback(host: str) -> None:
    assert load({"host": host, "no_auth": True}, {}).no_auth


def test_no_setting_has_a_secret_of_its_own() -> None:
    defaults = Settings()
    assert (defaults.key, defaults.upstream_key, defaults.no_auth) == (None, None, False)
    assert named_upstreams(defaults, {}) == ()
    assert defaults.host == "127.0.0.1"


def test_an_empty_variable_is_none() -> None:
    names = [f"CHATKEEP_{name.upper()}" for name in SAYS]
    assert load({}, dict.fromkeys([*names, "CHATKEEP_CONFIG"], "")) == load({}, {})


def test_an_empty_flag_is_refused() -> None:
    with pytest.raises(BadSetting, match="upstream"):
        named_upstreams(load({"upstream_url": ""}, {}), {})
    with pytest.raises(BadSetting, match="store"):
        sqlite_path(load({"store": ""}, {}).store)
    with pytest.raises(BadSetting, match="no_auth"):
        load({"host": "", "no_auth": True}, {})


def test_flag_before_variable_before_file_before_default(empty_folder: Path) -> None:
    assert load({}, {}).port == 8787
    (empty_folder / "chatkeep.toml").write_text("port = 1")
    environ = {"CHATKEEP_PORT": "2"}
    assert load({"port": 3}, environ).port == 3
    assert load({"port": None}, environ).port == 2
    assert load({"port": None}, {}).port == 1


def test_a_named_file_is_read_in_place_of_the_folders(empty_folder: Path) -> None:
    (empty_folder / "chatkeep.toml").write_text("port = 1")
    for number, name in enumerate(("by_flag", "by_variable"), start=2):
        (empty_folder / name).write_text(f"port = {number}\ndiscover = false")
    by_variable = {"CHATKEEP_CONFIG": "by_variable"}
    assert load({}, {}).port == 1
    assert load({}, by_variable).port == 3
    assert load({}, by_variable, Path("by_flag")).port == 2
    assert load({}, {}, Path("by_flag")).discover is False


@pytest.mark.parametrize("name", sorted(set(SAYS) - {"upstream", "price"}))
def test_every_setting_has_a_variable_of_its_name(name: str) -> None:
    proxies = name == "trusted_proxies"
    value = "10.0.0.1, 10.0.0.0/8" if proxies else other_than(getattr(Settings(), name))
    given = load({}, {f"CHATKEEP_{name.upper()}": value})
    expected = tuple(value.split(", ")) if name in ("cors_origins", "trusted_proxies") else value
    assert str(getattr(given, name)) == str(expected)


def test_prices_stand_in_the_file_alone() -> None:
    with pytest.raises(BadSetting, match="price"):
        load({}, {"CHATKEEP_PRICE": "0.15"})


def other_than(default: object) -> str:
    """A usable text for a setting with that default."""
    values: dict[object, str] = {
        "127.0.0.1": ANY_HOST,
        "cancel": "finish",
        "info": "debug",
        (): "https://a.example, https://b.example",
        True: "False",
        False: "True",
    }
    if isinstance(default, (bool, tuple)) or default in values:
        return values[default]
    return f"{default + 1}" if isinstance(default, (int, float)) else "/other"


@pytest.mark.parametrize("command", [serve, upstreams_command])
def test_every_flag_is_a_setting_and_names_its_variable(command: Any) -> None:
    flags = {p.name: p.help for p in command.params if p.name not in ("config", "json_output")}
    assert set(flags) <= set(SAYS)
    unnamed = [name for name, says in flags.items() if f"[CHATKEEP_{name.upper()}" not in says]
    assert unnamed == []


def test_the_upstream_flags_have_variables_of_their_names() -> None:
    given = load({}, {"CHATKEEP_UPSTREAM": "http://a/v1", "CHATKEEP_UPSTREAM_KEY": "k"})
    assert (given.upstream_url, given.upstream_key) == ("http://a/v1", "k")


@pytest.mark.parametrize("folder", ["plain", "with a space", "Zoë", "50%", "%41", "#1", "why?"])
def test_the_default_store_is_in_the_data_directory_whatever_it_is_called(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(empty_folder / folder))
    assert sqlite_path(default_store()) == user_data_path("chatkeep") / "chatkeep.db"
