"""What is logged and counted: JSON lines and figures, and no word of what was said."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from support import echo, rawhttp
from support.patience import PATIENCE_S
from support.provider import CutAfter, Plain, Provider, Raw, Refuse, Stream
from support.server import ServerProcess

PATH = "/v1/chat/completions"
MARKER = "MARKER"
KEY = f"sk-ck-{MARKER}-root-0123456789"
SECRETS = {
    "CHATKEEP_KEY": KEY,
    "CHATKEEP_UPSTREAM_KEY": f"sk-{MARKER}-upstream",
    "CHATKEEP_LOG_LEVEL": "debug",
    "CHATKEEP_MAX_ANSWER_BYTES": "20000",
}


@pytest.fixture(scope="module")
async def server(
    tmp_path_factory: pytest.TempPathFactory, provider: Provider
) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(
        tmp_path_factory.mktemp("logs"), provider.url, key=KEY, environment=SECRETS
    ) as server:
        yield server


@pytest.fixture
async def http(server: ServerProcess) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S, headers=headers) as http:
        yield http


def asked(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"{MARKER} prompt"}]
    return {"model": f"{MARKER}-model", "messages": messages, "store": True} | fields


async def figures(http: httpx2.AsyncClient) -> dict[str, float]:
    """All counters by name and labels, as Prometheus would read them without a key."""
    text = (await http.get("/metrics", headers={"authorization": ""})).text
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def counted(http: httpx2.AsyncClient, name: str, before: dict[str, float]) -> None:
    """Waits until the counter is one more than it was."""
    while (await figures(http)).get(name, 0) != before.get(name, 0) + 1:
        pass


def kept(status: str) -> str:
    return f'chatkeep_completions_kept_total{{status="{status}"}}'


def not_kept(reason: str) -> str:
    return f'chatkeep_completions_not_kept_total{{reason="{reason}"}}'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b'["no completion"]', "no completion", id="no completion"),
        pytest.param(b'{"choices":[],"x":"' + b"x" * 30000 + b'"}', "too large", id="too large"),
    ],
)
async def test_what_was_not_kept_is_counted_and_logged(
    http: httpx2.AsyncClient, provider: Provider, server: ServerProcess, body: bytes, reason: str
) -> None:
    before = await figures(http)
    provider.answer(Plain(body))
    answer = await http.post(PATH, json=asked())
    assert answer.content == body
    assert answer.headers["x-chatkeep-stored"].startswith("no; ")
    await counted(http, not_kept(reason), before)
    line = await logged(http, server, '"event":"a completion was not kept"', f'"{reason}"')
    assert line["level"] == "warning"


async def logged(http: httpx2.AsyncClient, server: ServerProcess, *words: str) -> dict[str, Any]:
    """The log line with these words, waited for: it comes through a pipe."""
    while True:
        for line in server.stderr.splitlines():
            if all(word in line for word in words):
                found: dict[str, Any] = json.loads(line)
                return found
        await http.get("/healthz")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_kept_is_counted(http: httpx2.AsyncClient, stream: bool) -> None:
    before = await figures(http)
    await http.post(PATH, json=asked(stream=stream))
    await counted(http, kept("complete"), before)


async def test_what_an_upstream_broke_off_is_counted_apart(
    http: httpx2.AsyncClient, provider: Provider
) -> None:
    before = await figures(http)
    events = echo.events(asked(), 1)
    provider.answer(CutAfter(events, len(b"".join(events[:3]))))
    with pytest.raises(httpx2.RemoteProtocolError):
        await http.post(PATH, json=asked(stream=True))
    await counted(http, kept("failed_midstream"), before)


async def test_what_a_client_left_is_counted_apart(
    http: httpx2.AsyncClient, provider: Provider
) -> None:
    before = await figures(http)
    provider.answer(Stream(echo.events(asked(), 1), stepped=True)).step(3)
    async with http.stream("POST", PATH, json=asked(stream=True)) as answer:
        async for text in answer.aiter_text():
            if "said" in text:
                break
    await counted(http, kept("partial"), before)


async def test_what_was_not_to_be_kept_is_counted_as_neither(http: httpx2.AsyncClient) -> None:
    before = await figures(http)
    await http.post(PATH, json=asked(store=False))
    after = await figures(http)
    names = {name for name in after if name.startswith("chatkeep_completions_")}
    assert {name: after[name] for name in names} == {name: before.get(name, 0) for name in names}


async def test_requests_are_counted_by_route_and_not_by_url(http: httpx2.AsyncClient) -> None:
    before = await figures(http)
    await http.get(f"{PATH}/{MARKER}")
    await http.get(f"/{MARKER}")
    requests = 'chatkeep_requests_total{method="GET",route="%s",status="404"}'
    await counted(http, requests % (PATH + "/{completion_id}"), before)
    await counted(http, requests % "unknown", before)


async def test_a_request_is_logged_under_its_id(
    http: httpx2.AsyncClient, server: ServerProcess
) -> None:
    answer = await http.post(PATH, json=asked())
    line = await logged(http, server, answer.headers["x-request-id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line.pop("ms") > 0
    assert line == {
        "level": "debug",
        "event": "request",
        "request_id": answer.headers["x-request-id"],
        "route": PATH,
        "method": "POST",
        "status": 200,
    }


async def test_nothing_of_what_was_said_and_no_key_is_logged_or_counted(
    http: httpx2.AsyncClient, server: ServerProcess, provider: Provider
) -> None:
    await say_it_everywhere(http, provider)
    await rawhttp.asked(server.url, f"{MARKER} /{MARKER}\r\n{MARKER}\r\n\r\n".encode())
    shown = (await http.get("/metrics")).text
    last = await http.get("/healthz")
    await logged(http, server, last.headers["x-request-id"])
    lines = [json.loads(line) for line in server.stderr.splitlines()]
    assert all({"time", "level", "event"} <= set(line) for line in lines)
    assert len([line for line in lines if line["event"] == "request"]) > 10
    assert MARKER not in server.stderr.upper() + server.stdout.upper() + shown.upper()


async def say_it_everywhere(http: httpx2.AsyncClient, provider: Provider) -> None:
    """The marker in everything a client and an upstream can say, also where that fails."""
    tagged = asked(metadata={MARKER: MARKER}, user=MARKER)
    id = (await http.post(PATH, json=tagged)).json()["id"]
    await http.post(PATH, json=tagged | {"stream": True})
    await http.post(f"{PATH}/{id}", json={"metadata": {MARKER: f"{MARKER} 2"}})
    await http.get(PATH, params={f"metadata[{MARKER}]": MARKER, "model": MARKER})
    await http.get(PATH, params={MARKER: MARKER})
    await http.get(f"/v1/models/{MARKER}", headers={"user-agent": MARKER, "cookie": MARKER})
    await http.get(PATH, headers={"authorization": f"Bearer sk-ck-{MARKER}-wrong"})
    await http.post(PATH, content=f'{{"{MARKER}"')
    await http.post(PATH, json=tagged, headers={"x-chatkeep-metadata": MARKER})
    await http.post(PATH, json=tagged | {"metadata": {MARKER: "x" * 513}})
    for answer in (
        Plain(f'{{"error":{{"message":"{MARKER}"}}}}'.encode(), 400),
        Plain(f'["{MARKER}"]'.encode()),
        Plain(MARKER.encode() * 5000),
        Raw(f"HTTP/1.1 {MARKER} {MARKER}\r\n{MARKER}\r\n\r\n".encode()),
        Raw(f"HTTP/1.1 200 OK\r\nset-cookie: {MARKER}\r\ncontent-length: 9\r\n\r\n".encode()),
        Refuse(),
    ):
        provider.answer(answer)
        await http.post(PATH, json=tagged)
    broken = f'data: {{"id":"{MARKER}","choices":[{{"delta":{{"content":"{MARKER}"}}}}]}}\n\n'
    provider.answer(CutAfter([broken.encode(), b"data: more"], len(broken) + 3))
    with pytest.raises(httpx2.RemoteProtocolError):
        await http.post(PATH, json=tagged | {"stream": True})
    await http.delete(f"{PATH}/{id}")
