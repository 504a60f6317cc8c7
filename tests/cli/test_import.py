"""`chatkeep import`: what is refused, and that what is kept is what the lines say."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cli.shell import Ended, chatkeep
from click.testing import CliRunner
from support.backends import SqliteBackend
from support.patience import PATIENCE_S
from support.provider import Provider
from support.server import ServerProcess

from chatkeep.cli import main
from chatkeep.core.model.completion import Query, Row
from chatkeep.core.model.ids import IMPORT_NODE, compose, named, node_of, second_of
from chatkeep.core.records.completions import Completions

WRONG_USAGE, SOME_FAILED = 2, 3
CREATED = 1_600_000_000
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
SAID = {"role": "assistant", "content": "hello"}
ANSWERED = {
    "id": "chatcmpl-one",
    "object": "chat.completion",
    "created": CREATED,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}


def line(request: Any = ASKED, response: Any = ANSWERED, **answered: Any) -> str:
    if answered:
        response = {**response, **answered}
    return json.dumps({"request": request, "response": response})


def given(number: int) -> str:
    return line(id=f"chatcmpl-{number}", created=CREATED + number)


def imported(folder: Path, text: str | bytes, *arguments: str) -> Ended:
    data = text.encode() if isinstance(text, str) else text
    settings = {"CHATKEEP_STORE": f"sqlite:///{folder / 'chatkeep.db'}"}
    command = ["import", "-", *arguments]
    ended = CliRunner().invoke(main, command, input=data, env=settings)
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


async def _rows(folder: Path, project: str) -> list[Row]:
    store = await SqliteBackend(folder).open()
    try:
        found = await store.project(project)
        assert found is not None
        page = await store.page(found, Query(limit=100, order="asc"))
        return [item.row for item in page.items]
    finally:
        await store.aclose()


def rows(folder: Path, project: str = "default") -> list[Row]:
    return asyncio.run(_rows(folder, project))


async def _kept(folder: Path, ids: Sequence[str]) -> list[tuple[bytes, bytes]]:
    store = await SqliteBackend(folder).open()
    try:
        project = await store.project("default")
        assert project is not None
        completions = Completions(store)
        return [
            (await completions.raw_request(project, id), await completions.raw_answer(project, id))
            for id in ids
        ]
    finally:
        await store.aclose()


def kept(folder: Path, *ids: str) -> list[tuple[bytes, bytes]]:
    """The bytes of requests and answers."""
    return asyncio.run(_kept(folder, ids))


def sound(folder: Path) -> bool:
    return SqliteBackend(folder).faults() == []


def test_a_file_that_is_not_there_is_wrong_usage_and_makes_no_store(tmp_path: Path) -> None:
    ended = chatkeep(tmp_path, "import", "no.jsonl", "--store", "sqlite:///chatkeep.db")
    assert (ended.code, ended.out) == (WRONG_USAGE, "")
    assert "no.jsonl" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_project_can_have_is_wrong_usage(tmp_path: Path) -> None:
    ended = imported(tmp_path, line(), "--project", "a\tb")
    assert (ended.code, ended.out) == (WRONG_USAGE, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        ('{"request":{},"response":' + "[" * 100_000, "The JSON body is nested too deeply"),
        ('{"response": {}}', "request is missing; give an object"),
        (line(request=[1]), "request is an array; give an object"),
        (line(response="x"), "response is a string; give an object"),
        (line(response={"error": {"message": "no"}}), "response is no chat completion"),
        (line(request={}), "you must provide a model parameter"),
        (line(request={"model": "a"}), "Missing required parameter: 'messages'"),
        (line(request={**ASKED, "metadata": {"a": 1}}), "metadata"),
        (line(id=None), "response.id is null; give a text of 1 to 256 letters"),
        (line(id=""), "response.id is ''"),
        (line(id="a" * 257), "response.id is 'aaa"),
        (line(id="a\0b"), "response.id is 'a\\x00b'"),
        (line(id="a\ud800b"), "response.id is 'a\\ud800b'"),
        (line(created="today"), "response.created is 'today'; give a unix second"),
        (line(created=-1), "response.created is -1"),
        (line(created=1 << 32), "response.created is 4294967296"),
        (line(created=True), "response.created is True"),
        (line(created=1.5), "response.created is 1.5"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_and_the_rest_goes_on(
    tmp_path: Path, text: str | bytes, why: str
) -> None:
    odd = text.encode() if isinstance(text, str) else text
    ended = imported(tmp_path, b"\n".join([given(1).encode(), b"", odd, given(2).encode()]))
    assert ended.code == SOME_FAILED
    assert ended.out.startswith("line 3: ")
    assert why in ended.out
    assert ended.out.count("\n") == 1
    assert ended.err.startswith(f"2 added, 0 already there, 1 refused ({ended.out[:12]}")
    assert [row.id for row in rows(tmp_path)] == ["chatcmpl-1", "chatcmpl-2"]


def test_a_line_that_is_too_long_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATKEEP_MAX_BODY_BYTES", "500")
    monkeypatch.setenv("CHATKEEP_MAX_ANSWER_BYTES", "500")
    long = line(id="a" * 3000)
    ended = imported(tmp_path, "\n".join([given(1), long, given(2), long]))
    assert ended.code == SOME_FAILED
    why = "the line is too long; give a shorter one."
    assert ended.out == f"line 2: {why}\nline 4: {why}\n"
    assert ended.err == f"2 added, 0 already there, 2 refused (line 2: {why})\n"


def test_as_json_every_line_is_an_object(tmp_path: Path) -> None:
    ended = imported(tmp_path, f"{given(1)}\n{{\n", "--json")
    assert ended.code == SOME_FAILED
    assert ended.rows() == [
        {"line": 2, "error": {"message": "it is not JSON"}},
        {"added": 1, "already_there": 0, "refused": 1},
    ]


def test_what_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    text = "\n".join(map(given, range(200)))
    assert imported(tmp_path, text) == (0, "", "200 added, 0 already there, 0 refused\n")
    before = rows(tmp_path)
    other = [line(id=f"chatcmpl-{number}", model="other") for number in (0, 0, 1)]
    again = "\n".join([text, *other, given(200)])
    assert imported(tmp_path, again) == (0, "", "1 added, 203 already there, 0 refused\n")
    assert rows(tmp_path) == before
    assert sound(tmp_path)


def test_ids_times_and_figures_are_those_of_the_line(tmp_path: Path) -> None:
    request = {**ASKED, "metadata": {"task": "7"}}
    assert imported(tmp_path, line(request), "--project", "acme").code == 0
    (row,) = rows(tmp_path, "acme")
    assert (row.id, second_of(row.seq), node_of(row.seq)) == ("chatcmpl-one", CREATED, IMPORT_NODE)
    assert (row.model, row.status, row.finish_reason) == ("gpt-4o-2024-08-06", "complete", "stop")
    assert (row.usage.prompt_tokens, row.usage.total_tokens) == (7, 9)
    assert json.loads(row.metadata) == {"task": "7"}
    assert row.cost_micro is None


def test_an_id_of_our_form_keeps_its_place(tmp_path: Path) -> None:
    own = named(compose(CREATED - 9, 0, 5), bytes(range(13)))
    assert imported(tmp_path, line(id=own.id)).code == 0
    (row,) = rows(tmp_path)
    assert (row.id, row.seq, row.alias) == (own.id, own.seq, None)
    assert imported(tmp_path, line(id=own.id)).err.startswith("0 added, 1 already there")


def test_the_price_of_a_model_is_what_the_settings_say(tmp_path: Path) -> None:
    config = tmp_path / "prices.toml"
    config.write_text('[[price]]\nmodel = "gpt-4o*"\ninput = 2.0\noutput = 10.0\n')
    assert imported(tmp_path, line(), "--config", str(config)).code == 0
    (row,) = rows(tmp_path)
    assert row.cost_micro == 7 * 2 + 2 * 10


@pytest.mark.parametrize("id", ["chatcmpl-one", "hello", "a/b c", "\u00fc\u2028"])
def test_every_byte_of_request_and_answer_comes_back(tmp_path: Path, id: str) -> None:
    written = json.dumps(id).encode()
    said = b'{"role":"user","content":"\\u00e9\\ud800 \xc3\xa9"}'
    request = b'{ "model" :"m",\t"messages":[ %b ],"x":1e2 }' % said
    answer = b'{"choices":[{"message":{"content":%b}}], "created" : %d ,"id":%b,"id":%b}' % (
        written,
        CREATED,
        b'"first"',
        written,
    )
    text = b' { "response":%b ,"more":1, "request": %b }\r\n' % (answer, request)
    assert imported(tmp_path, text) == (0, "", "1 added, 0 already there, 0 refused\n")
    assert kept(tmp_path, id) == [(request, answer)]


def test_conversations_come_back_whatever_the_batch_they_came_in(tmp_path: Path) -> None:
    texts: dict[str, tuple[bytes, bytes]] = {}
    messages: list[Any] = [{"role": "system", "content": "Be brief. " * 40}]
    for turn in range(80):
        messages += [{"role": "user", "content": f"What is {turn}?"}]
        said = {"role": "assistant", "content": f"It is {turn}, " * 20}
        request = json.dumps({"model": "m", "messages": messages}).encode()
        answer = json.dumps(
            {"id": f"id-{turn}", "created": CREATED + turn, "choices": [{"message": said}]}
        ).encode()
        texts[f"id-{turn}"] = (request, answer)
        messages += [said]
    found = b"\n".join(b'{"request":%b,"response":%b}' % pair for pair in texts.values())
    assert imported(tmp_path, found).code == 0
    assert kept(tmp_path, *texts) == list(texts.values())
    assert SqliteBackend(tmp_path).size() * 10 < len(found)
    assert sound(tmp_path)


def test_a_file_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text(f"{given(1)}\n{given(2)}\n")
    ended = chatkeep(tmp_path, "import", "some.jsonl", "--store", "sqlite:///chatkeep.db")
    assert ended == (0, "", "2 added, 0 already there, 0 refused\n")


async def test_it_can_be_done_while_a_server_serves_the_store(
    tmp_path: Path, provider: Provider
) -> None:
    async with ServerProcess(tmp_path, provider.url) as server:
        (tmp_path / "some.jsonl").write_text("\n".join(map(given, range(300))))
        command = ("import", "some.jsonl", "--store", "sqlite:///chatkeep.db")
        adding = asyncio.create_task(asyncio.to_thread(chatkeep, tmp_path, *command))
        headers = {"authorization": f"Bearer {server.key}"}
        async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as http:
            made = 0
            while not adding.done() or made < 5:
                body = {**ASKED, "model": "echo-1", "store": True}
                answered = await http.post("/v1/chat/completions", json=body, headers=headers)
                assert answered.status_code == 200
                made += 1
            assert await adding == (0, "", "300 added, 0 already there, 0 refused\n")
            one = await http.get("/v1/chat/completions/chatcmpl-7", headers=headers)
            assert one.json()["created"] == CREATED + 7
    assert sound(tmp_path)
