"""Answers that are no whole completion, however their status and labels read."""

import json
from typing import Any

import pytest
from support.chatkeep_server import Chatkeep
from support.kept import row_of, stored_in
from support.provider import Answer, Plain, Provider, Stream
from support.rawhttp import PATH, Reply, asked, post
from support.refusals import create

pytestmark = pytest.mark.usefixtures("nothing_left_open")

SAID = {"role": "assistant", "content": "hello"}
CHOICE = {"index": 0, "message": SAID, "finish_reason": "stop"}
ERROR = {"message": "out of memory", "code": 500}
CHUNK = b'data: {"id":"theirs","object":"chat.completion.chunk","model":"m","choices":'
TEXT = CHUNK + b'[{"index":0,"delta":{"role":"assistant","content":"one"}}]}\n\n'
STOP = CHUNK + b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def plain(*choices: Any, **more: Any) -> Plain:
    answer = {"id": "theirs", "object": "chat.completion", "model": "m", "choices": [*choices]}
    return Plain(json.dumps({**answer, **more}).encode())


# Nothing of a completion is in these.
NOTHING: dict[str, Answer] = {
    "an empty body": Plain(b""),
    "a blank body": Plain(b" \n"),
    "no choices beside an error": plain(error=ERROR),
    "null choices beside an error": plain(choices=None, error=ERROR),
}
# What came of these is stored, and called what it is.
PARTS: dict[str, tuple[Answer, str]] = {
    "JSON cut short": (Plain(plain(CHOICE).body[:-20]), "partial"),
    "no choices": (plain(), "partial"),
    "an error beside a choice": (plain(CHOICE, error=ERROR), "failed_midstream"),
    "an error in a choice": (plain({**CHOICE, "error": ERROR}), "failed_midstream"),
    "a finish_reason that is an error": (
        plain({**CHOICE, "finish_reason": "error"}),
        "failed_midstream",
    ),
    "an error event": (Stream([TEXT, b"event: error\ndata: {}\n\n", DONE]), "failed_midstream"),
    "an error object": (
        Stream([TEXT, b'data: {"object":"error","message":"no"}\n\n', DONE]),
        "failed_midstream",
    ),
    "an error in a choice of a chunk": (
        Stream([TEXT, CHUNK + b'[{"index":0,"delta":{},"error":{"code":5}}]}\n\n', STOP, DONE]),
        "failed_midstream",
    ),
    "a chunk whose finish_reason is an error": (
        Stream([TEXT, STOP.replace(b"stop", b"error"), DONE]),
        "failed_midstream",
    ),
    "[DONE] without a finish_reason": (Stream([TEXT, DONE]), "partial"),
}


def body(answer: Answer) -> bytes:
    return create(store=True, stream=isinstance(answer, Stream))


async def call(chatkeep: Chatkeep, answer: Answer) -> Reply:
    return await asked(
        chatkeep.url, post(PATH, body(answer), chatkeep.key, {"idempotency-key": "once"})
    )


@pytest.mark.parametrize("name", NOTHING)
async def test_what_holds_no_completion_is_passed_on_and_not_stored(
    chatkeep: Chatkeep, provider: Provider, name: str
) -> None:
    answer = NOTHING[name]
    assert isinstance(answer, Plain)
    provider.answer(answer)
    reply = await call(chatkeep, answer)
    assert (reply.head.status, reply.body) == (200, answer.body)
    assert reply.head["x-chatkeep-stored"].startswith("no; ")


@pytest.mark.parametrize("name", PARTS)
async def test_what_is_no_whole_completion_is_not_called_complete(
    chatkeep: Chatkeep, provider: Provider, name: str
) -> None:
    answer, status = PARTS[name]
    provider.answer(answer)
    reply = await call(chatkeep, answer)
    assert (await row_of(chatkeep, reply.head["x-chatkeep-id"])).status == status


@pytest.mark.parametrize("name", [*NOTHING, *PARTS])
async def test_a_repeated_call_is_made_again_when_the_first_was_not_answered_whole(
    chatkeep: Chatkeep, provider: Provider, name: str
) -> None:
    answer = NOTHING[name] if name in NOTHING else PARTS[name][0]
    provider.answer(answer)
    await call(chatkeep, answer)
    whole: Answer = plain(CHOICE)
    provider.answer(Stream([TEXT, STOP, DONE]) if isinstance(answer, Stream) else whole)
    again = await call(chatkeep, answer)
    assert again.head.all("x-chatkeep-idempotency") == []
    stored = await stored_in(chatkeep.store, again.head["x-chatkeep-id"])
    assert stored is not None
    assert stored.row.status == "complete"
