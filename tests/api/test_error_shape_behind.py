"""Every way an error can leave the server: failing upstreams, failing stores, and no HTTP."""

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.database import direct
from support.faultyvfs import Call, FaultyVfs
from support.provider import (
    Answer,
    CutAfter,
    Hang,
    Plain,
    Provider,
    Raw,
    Refuse,
    nobody,
)
from support.rawhttp import PATH, asked, get, head_of, post
from support.refusals import Refusal, create, refused

pytestmark = pytest.mark.usefixtures("nothing_left_open")

SORRY = Refusal(
    "ServerError", "The server had an error while processing your request. Sorry about that!"
)
UNREACHABLE = Refusal(
    "UpstreamUnreachable", r"The upstream 'provider' could not be reached: .+\.", pattern=True
)
FAILED = Refusal(
    "UpstreamFailed", r"The upstream 'provider' broke off its answer: .+\.", pattern=True
)
TIMEOUT = Refusal(
    "UpstreamTimeout", r"The upstream 'provider' did not answer in time: .+\.", pattern=True
)
CUT = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"
BODIES = pytest.mark.parametrize(
    "body",
    [create(), create(store=True), create(store=True, stream=True)],
    ids=["not stored", "stored", "streamed"],
)


@BODIES
async def test_an_upstream_nobody_listens_at(tmp_path: Path, body: bytes) -> None:
    with nobody() as url:
        async with chatkeep_server.chatkeep(tmp_path, url) as chatkeep:
            await refused(chatkeep.url, post(PATH, body, chatkeep.key), UNREACHABLE)
            await refused(chatkeep.url, get("/v1/models", chatkeep.key), UNREACHABLE)


async def test_an_upstream_that_does_not_take_the_connection(tmp_path: Path) -> None:
    with socket.socket() as busy, socket.socket() as waiting:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        waiting.connect(busy.getsockname())  # fills the queue: the next one gets no answer
        url = f"http://127.0.0.1:{busy.getsockname()[1]}/v1"
        setting = {"connect_timeout_s": 0.2}
        async with chatkeep_server.chatkeep(tmp_path, url, upstream=setting) as chatkeep:
            await refused(chatkeep.url, post(PATH, create(), chatkeep.key), TIMEOUT)


@BODIES
async def test_an_upstream_that_says_nothing(
    provider: Provider, tmp_path: Path, body: bytes
) -> None:
    hang = provider.answer(Hang())
    setting = {"timeout_s": 0.2}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=setting) as chatkeep:
        await refused(chatkeep.url, post(PATH, body, chatkeep.key), TIMEOUT)
        await hang.ended.wait()
    assert hang.disconnected


async def test_an_upstream_that_stops_in_the_middle_of_a_stored_answer(
    provider: Provider, tmp_path: Path
) -> None:
    provider.answer(Raw(CUT, close=False))
    setting = {"timeout_s": 0.2}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=setting) as chatkeep:
        request = post(PATH, create(store=True), chatkeep.key)
        await refused(chatkeep.url, request, TIMEOUT)


@BODIES
@pytest.mark.parametrize(
    "answer",
    [
        Refuse(),
        Refuse(reset=True),
        Raw(b"nonsense\r\n\r\n"),
        Raw(b"HTTP/1.1 200 OK\r\ncontent-ty"),
        Raw(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n"),
    ],
    ids=["closes", "resets", "no HTTP", "half a head", "endless head"],
)
async def test_an_upstream_that_breaks_off_before_its_answer(
    chatkeep: Chatkeep, provider: Provider, answer: Answer, body: bytes
) -> None:
    provider.always(answer)  # a kept connection that closes may be tried once more
    await refused(chatkeep.url, post(PATH, body, chatkeep.key), FAILED)


@pytest.mark.parametrize(
    "answer",
    [
        Raw(CUT),
        CutAfter([b'{"id":"x",', b'"choices":[]}'], 12, headers=(("content-type", "text/x"),)),
        Raw(
            CUT.replace(
                b"length: 500\r\n\r\n", b"length: 7\r\ncontent-encoding: gzip\r\n\r\nno gzip"
            )
        ),
    ],
    ids=["length", "chunks", "coding"],
)
async def test_an_upstream_that_breaks_off_in_a_stored_answer(
    chatkeep: Chatkeep, provider: Provider, answer: Answer
) -> None:
    provider.answer(answer)
    await refused(chatkeep.url, post(PATH, create(store=True), chatkeep.key), FAILED)


@pytest.mark.parametrize("answer", [Raw(b"nonsense\r\n\r\n"), Refuse(), Raw(CUT)])
async def test_an_error_does_not_tell_the_upstreams_address(
    provider: Provider, tmp_path: Path, answer: Answer
) -> None:
    provider.always(answer)
    setting = {"query": {"key": "upstream-secret"}}
    async with chatkeep_server.chatkeep(tmp_path, provider.url, upstream=setting) as chatkeep:
        request = post(PATH, create(store=True), chatkeep.key)
        reply = await refused(chatkeep.url, request, FAILED)
    assert provider.requests[0].target.endswith("?key=upstream-secret")
    assert b"upstream-secret" not in reply.body


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (500, b"{}", "it answers 500 to GET /models"),
        (302, b"", "it answers 302 to GET /models"),
        (200, b"<html>", "its list of models cannot be read"),
        (200, b'{"data":[{"id":"a"}', "its list of models cannot be read"),
        (200, b'{"data":{}}', "its list of models cannot be read"),
    ],
    ids=["error", "redirect", "HTML", "cut", "no list"],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/m"])
async def test_an_upstream_without_a_list_of_models(
    chatkeep: Chatkeep, provider: Provider, path: str, status: int, body: bytes, detail: str
) -> None:
    provider.answer(Plain(body, status))
    message = f"The upstream 'provider' broke off its answer: {detail}."
    await refused(chatkeep.url, get(path, chatkeep.key), Refusal("UpstreamFailed", message))


@pytest.mark.parametrize("model", ["nobodys-model", "meta/fake-8b", "\u6771", "{0}", 'a"b'])
async def test_an_unknown_model_is_named(chatkeep: Chatkeep, model: str) -> None:
    wanted = Refusal("ModelNotFound", f"The model '{model}' does not exist", "model")
    path = "/v1/models/" + "".join(f"%{byte:02X}" for byte in model.encode())
    await refused(chatkeep.url, get(path, chatkeep.key), wanted)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", PATH), ("GET", "/v1/models"), ("GET", "/v1/models/m")]
)
async def test_a_call_that_comes_back_is_a_loop(chatkeep: Chatkeep, method: str, path: str) -> None:
    message = "The upstream 'chatkeep.test' is this server itself. Give --upstream another address."
    # As it comes back from another server in between, which added its own name.
    headers = {"x-chatkeep-hop": "first, test-instance, other", "content-length": "0"}
    request = head_of(method, path, chatkeep.key, headers)
    await refused(chatkeep.url, request, Refusal("LoopDetected", message))


async def test_a_call_of_another_server_is_no_loop(chatkeep: Chatkeep, provider: Provider) -> None:
    request = post(PATH, create(), chatkeep.key, {"x-chatkeep-hop": "other-instance"})
    assert (await asked(chatkeep.url, request)).head.status == 200
    assert provider.requests[0].header("x-chatkeep-hop") == "other-instance, test-instance"


@pytest.fixture
def disk() -> Iterator[FaultyVfs]:
    with FaultyVfs() as disk:
        yield disk


@pytest.fixture
async def on_disk(provider: Provider, tmp_path: Path, disk: FaultyVfs) -> AsyncIterator[Chatkeep]:
    async with chatkeep_server.chatkeep(tmp_path, provider.url, vfs=disk.name) as running:
        yield running


async def stored(chatkeep: Chatkeep) -> str:
    reply = await asked(chatkeep.url, post(PATH, create(store=True), chatkeep.key))
    return f"{PATH}/{reply.head['x-chatkeep-id']}"


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (apsw.FullError, "the disk is full"),
        (apsw.IOError, "the disk reports an error"),
    ],
)
@pytest.mark.parametrize("call", ["write", "sync"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_store_that_cannot_write(
    on_disk: Chatkeep,
    disk: FaultyVfs,
    method: str,
    call: Call,
    error: type[apsw.Error],
    detail: str,
) -> None:
    path = await stored(on_disk)
    body = b'{"metadata":{"a":"b"}}' if method == "POST" else b""
    headers = {"content-length": str(len(body))}
    request = head_of(method, path, on_disk.key, headers) + body
    message = f"The store failed: {detail}. Nothing of this request was changed."
    with disk.failing("wal", call, error):
        await refused(on_disk.url, request, Refusal("StoreFailed", message))
    retrieved = await asked(on_disk.url, get(path, on_disk.key))
    assert (retrieved.head.status, b'"metadata":{}' in retrieved.body) == (200, True)
    assert (await asked(on_disk.url, request)).head.status == 200


@pytest.mark.parametrize("ending", ["", "/{id}", "/{id}/messages"])
async def test_a_store_that_cannot_read(on_disk: Chatkeep, disk: FaultyVfs, ending: str) -> None:
    path = await stored(on_disk)
    request = get(PATH + ending.format(id=path.rpartition("/")[2]), on_disk.key)
    message = "The store failed: the disk reports an error. Nothing of this request was changed."
    with disk.failing("wal", "read", apsw.IOError):
        await refused(on_disk.url, request, Refusal("StoreFailed", message))
    assert (await asked(on_disk.url, request)).head.status == 200


async def test_a_readiness_probe_that_cannot_read(on_disk: Chatkeep, disk: FaultyVfs) -> None:
    await stored(on_disk)  # so that what the connection remembers is out of date
    message = "The store failed: the disk reports an error. Nothing of this request was changed."
    with disk.failing("wal", "read", apsw.IOError):
        await refused(on_disk.url, get("/readyz", None), Refusal("StoreFailed", message))


async def test_a_store_another_process_holds_is_busy(chatkeep: Chatkeep, tmp_path: Path) -> None:
    path = await stored(chatkeep)
    message = "The store is busy: another process is writing to it. Try again."
    with direct(tmp_path / "chatkeep.db") as other:
        other.execute("BEGIN IMMEDIATE")
        request = head_of("DELETE", path, chatkeep.key, {})
        reply = await refused(chatkeep.url, request, Refusal("StoreBusy", message))
        assert reply.head["retry-after"] == "1"
        other.execute("ROLLBACK")
        assert (await asked(chatkeep.url, request)).head.status == 200


@pytest.mark.parametrize("ending", ["", "/{id}", "/{id}/messages"])
async def test_a_damaged_record_is_an_error_and_no_answer(
    chatkeep: Chatkeep, tmp_path: Path, ending: str
) -> None:
    path = await stored(chatkeep)
    with direct(tmp_path / "chatkeep.db") as other:
        other.execute("UPDATE record SET body = zeroblob(length(body))")
    request = get(PATH + ending.format(id=path.rpartition("/")[2]), chatkeep.key)
    await refused(chatkeep.url, request, SORRY)
