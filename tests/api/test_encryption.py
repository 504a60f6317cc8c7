"""A server at an encrypted store: all works as at a plain one, but for finding words."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import chatkeep_server
from support.chatkeep_server import Chatkeep
from support.planted import whole
from support.provider import Provider
from support.rawhttp import get, post
from support.refusals import Refusal, refused

KEY = "c0ffee11" + "0123456789abcdef" * 3 + "8badf00d"
SAID = "what-nobody-else-is-to-read"
MESSAGES = [{"role": "user", "content": SAID}]
LATER = [*MESSAGES, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": SAID}]
BULK = "/keep/v1/completions/bulk"
WANTED = Refusal(
    "SearchEncrypted",
    "The parameter 'q' cannot be used: this store is encrypted, and has no index of the words in"
    " it.",
    "q",
)


@pytest.fixture
async def chatkeep(provider: Provider, tmp_path: Path) -> AsyncIterator[Chatkeep]:
    async with chatkeep_server.chatkeep(tmp_path, provider.url, encryption_key=KEY) as running:
        yield running


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/keep/v1/completions"])
async def test_a_search_is_refused_with_the_reason(chatkeep: Chatkeep, path: str) -> None:
    await refused(chatkeep.url, get(f"{path}?q=hello", chatkeep.key), WANTED)


async def test_so_is_a_delete_of_what_a_search_finds(chatkeep: Chatkeep) -> None:
    body = b'{"filter":{"q":"hello"},"delete":true}'
    await refused(chatkeep.url, post(BULK, body, chatkeep.key), WANTED)


async def test_what_is_kept_is_served_and_nothing_of_it_is_in_the_files(
    chatkeep: Chatkeep, provider: Provider, tmp_path: Path
) -> None:
    async with chatkeep.client() as client, chatkeep.http() as http:
        ids = []
        for messages, number in zip((MESSAGES, LATER), itertools.count()):
            done = await client.chat.completions.create(
                model="gpt-4o",
                messages=messages,  # type: ignore[arg-type]  # plain dictionaries will do
                store=True,
                metadata={"number": str(number)},
                extra_headers={"idempotency-key": f"key-{number}"},
            )
            ids.append(done.id)
        found = [one.id async for one in client.chat.completions.list(metadata={"number": "1"})]
        assert found == ids[1:]
        listed = client.chat.completions.messages.list(ids[1])
        assert [message.content async for message in listed] == [m["content"] for m in LATER]
        raw = await http.get(f"/keep/v1/completions/{ids[0]}/raw/request")
        assert SAID in raw.text
        again = await client.chat.completions.create(
            model="gpt-4o",
            messages=MESSAGES,  # type: ignore[arg-type]
            store=True,
            metadata={"number": "0"},
            extra_headers={"idempotency-key": "key-0"},
        )
        assert again.id == ids[0]
        await client.chat.completions.delete(ids[0])
        assert SAID in (await http.get(f"/keep/v1/completions/{ids[1]}/raw/request")).text
    files = whole(tmp_path)
    assert b"gpt-4o" in files
    assert SAID.encode() not in files
