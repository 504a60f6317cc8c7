"""Beyond its limit of requests the server says so, and when to come again."""

import asyncio
from pathlib import Path

import pytest
from support import chatkeep_server
from support.provider import Hang, Plain, Provider
from support.rawhttp import PATH, asked, get, post
from support.refusals import Refusal, create, refused

BUSY = Refusal("ServerBusy", "The server is busy: 2 requests are in progress. Try again.")


@pytest.mark.parametrize("stream", [False, True])
async def test_beyond_max_requests_each_is_told_to_come_again(
    provider: Provider, tmp_path: Path, stream: bool
) -> None:
    answers = [provider.answer(Hang(then=Plain(b"{}"))) for _ in range(2)]
    body = create(stream=stream)
    async with chatkeep_server.chatkeep(tmp_path, provider.url, max_requests=2) as chatkeep:
        calls = [
            asyncio.create_task(asked(chatkeep.url, post(PATH, body, chatkeep.key)))
            for _ in answers
        ]
        for answer in answers:
            await answer.arrived.wait()
        for request in (post(PATH, body, chatkeep.key), get(PATH, chatkeep.key)):
            reply = await refused(chatkeep.url, request, BUSY)
            assert reply.head["retry-after"] == "1"
        assert (await asked(chatkeep.url, get("/healthz", None))).head.status == 200
        for answer in answers:
            answer.release()
        assert [(await call).head.status for call in calls] == [200, 200]
        assert (await asked(chatkeep.url, get(PATH, chatkeep.key))).head.status == 200
    assert len(provider.requests) == 2
