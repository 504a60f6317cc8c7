"""`chatkeep upstreams`: one line an upstream, and an exit code that tells whether all are well."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest
from cli.shell import Ended, chatkeep, environment
from support.provider import Hang, Plain, Provider, nobody
from support.server import CHATKEEP

WRONG_USAGE, SOME_FAILED, INTERRUPTED = 2, 3, 130
SECRET = "sk-upstream-0123456789abcdef"


async def upstreams(folder: Path, *arguments: str, **settings: str) -> Ended:
    settings.setdefault("CHATKEEP_DISCOVER", "false")
    return await asyncio.to_thread(chatkeep, folder, "upstreams", *arguments, **settings)


def two(folder: Path, first: str, second: str) -> None:
    tables = [
        f'[[upstream]]\nname = "{name}"\nbase_url = "{url}"\nkey = "{SECRET}"\n'
        for name, url in (("first", first), ("second", second))
    ]
    (folder / "chatkeep.toml").write_text("\n".join(tables))


async def test_a_bad_setting_is_wrong_usage_also_as_json(tmp_path: Path) -> None:
    ended = await upstreams(tmp_path, "--config", "no.toml", "--json")
    assert ended.code == WRONG_USAGE
    assert ended.json_refusal().startswith("no.toml cannot be read as settings")


async def test_one_that_cannot_be_reached_is_a_failure_beside_one_that_answers(
    tmp_path: Path, provider: Provider
) -> None:
    with nobody() as url:
        two(tmp_path, provider.url, url)
        plain = await upstreams(tmp_path)
        as_json = await upstreams(tmp_path, "--json")
    assert (plain.code, plain.err, as_json.code, as_json.err) == (SOME_FAILED, "", SOME_FAILED, "")
    well, failed = (line.split("\t") for line in plain.out.splitlines())
    assert (well[0], well[2]) == ("first", "ok, 2 models")
    assert failed[0] == "second"
    assert failed[2].startswith("failed: The upstream 'second' could not be reached: ")
    first, second = as_json.rows()
    assert list(first) == ["upstream", "ok", "latency_ms", "models", "error"]
    assert (first["ok"], first["models"], first["error"]) == (True, 2, None)
    assert (second["ok"], second["models"]) == (False, 0)
    assert "could not be reached" in second["error"]
    assert SECRET not in plain.out + as_json.out


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Plain(b'{"error":{"message":"no"}}', 401), "it answers 401 to GET /models"),
        (Plain(b"<html>", headers=(("content-type", "text/html"),)), "models cannot be read"),
    ],
)
async def test_one_that_lists_no_models_says_why(
    tmp_path: Path, provider: Provider, answer: Plain, why: str
) -> None:
    provider.answer(answer)
    ended = await upstreams(tmp_path, "--upstream", provider.url, "--json")
    assert (ended.code, ended.err) == (SOME_FAILED, "")
    assert why in ended.rows()[0]["error"]


async def test_a_password_in_the_url_is_used_and_not_shown(
    tmp_path: Path, provider: Provider
) -> None:
    url = provider.url.replace("//", "//user:marker-password@")
    asked = len(provider.requests)
    ended = await upstreams(tmp_path, "--upstream", url)
    beside_a_key = await upstreams(tmp_path, "--upstream", url, "--upstream-key", SECRET)
    assert (ended.code, beside_a_key.code) == (0, 0)
    assert [request.header("authorization") for request in provider.requests[asked:]] == [
        "Basic dXNlcjptYXJrZXItcGFzc3dvcmQ=",
        f"Bearer {SECRET}",
    ]
    assert "marker" not in ended.out + ended.err + beside_a_key.out + beside_a_key.err


async def test_all_well_is_0_and_each_is_asked_with_its_key(
    tmp_path: Path, provider: Provider
) -> None:
    two(tmp_path, provider.url, provider.url)
    asked = len(provider.requests)
    ended = await upstreams(tmp_path)
    assert (ended.code, ended.err, ended.out.count("\n")) == (0, "", 2)
    requests = provider.requests[asked:]
    assert [request.target for request in requests] == ["/v1/models"] * 2
    assert {request.header("authorization") for request in requests} == {f"Bearer {SECRET}"}


async def test_the_flag_is_taken_in_place_of_the_file(tmp_path: Path, provider: Provider) -> None:
    two(tmp_path, "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1")
    asked = len(provider.requests)
    ended = await upstreams(tmp_path, "--upstream", provider.url, "--upstream-key", "sk-flag")
    assert (ended.code, ended.out.count("\n")) == (0, 1)
    assert provider.requests[asked].header("authorization") == "Bearer sk-flag"


async def test_ctrl_c_ends_it_with_130_and_no_traceback(tmp_path: Path, provider: Provider) -> None:
    hanging = provider.answer(Hang())
    process = await asyncio.create_subprocess_exec(
        *(*CHATKEEP, "upstreams", "--upstream", provider.url),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        await hanging.arrived.wait()
        os.kill(process.pid, signal.SIGINT)
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out) == (INTERRUPTED, b"")
    assert b"Traceback" not in err
