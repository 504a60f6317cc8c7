"""Whatever bytes come in, each parser returns or refuses, and raises nothing else.

CHATKEEP_TEST_FUZZ_ROUNDS=1000000 makes it try for longer; each number of rounds tries the same
bytes.
"""

import contextlib
import gzip
import json
import os
import random
from collections.abc import Callable
from urllib.parse import parse_qsl

import pytest
from support import contract
from support.exchanges import DELETED, plain_answer
from support.mutation import mutants
from support.refusals import UNKNOWN, create
from support.streams import STREAMS

from chatkeep.core.json import spans
from chatkeep.core.model import ids
from chatkeep.core.model.ids import CompletionId
from chatkeep.core.records import filters
from chatkeep.core.stream.chat.chunks import Chunks
from chatkeep.core.stream.relay import StreamRelay
from chatkeep.core.wire import etag, metadata
from chatkeep.core.wire.chat import answer, renaming, request
from chatkeep.core.wire.request import StoreHeaders, store_headers
from chatkeep.errors import Refusal
from chatkeep.upstream.http.coding import Undecodable, decoder

ROUNDS = int(os.environ.get("CHATKEEP_TEST_FUZZ_ROUNDS", "1000"))
ID = CompletionId(UNKNOWN)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
BODIES = [
    create(store=True, metadata={"a": "b", "c": "\ud83d"}, stream_options={"include_usage": True}),
    create(tools=[TOOL], n=2, temperature=1e-3, stop=["\0"], seed=-0),
    b'{"metadata":{"k":"v"}}',
    b' { "model" : "m" , "messages" : [ { "content" : [ { "text" : "\\u00e9" } ] } ] } ',
]
SHORT = ("a refusal", "cut by max_tokens", "logprobs beside each piece", "a tool call in fragments")
ANSWERS = [plain_answer(DELETED), b'{"id":"x","choices":[{}]}']
QUERIES = [b"limit=20&order=asc&after=" + UNKNOWN.encode(), b"metadata[a]=b&metadata%5Bc%5D=d&x"]


def body(given: bytes) -> None:
    request.read_request(given, StoreHeaders())


def members(given: bytes) -> None:
    for member in spans.members(given):
        assert 0 <= member.start <= member.value <= member.end <= len(given)
    spans.fields(given)


def elements(given: bytes) -> None:
    spans.elements(b"[" + given + b"]")


def pairs(given: bytes) -> None:
    metadata.checked(spans.loads(given))


def headers(given: bytes) -> None:
    text = given.decode("latin-1")
    store_headers({b"x-chatkeep-store": b"true", b"x-chatkeep-metadata": given})
    etag.holds(text, '"x"')


def query(given: bytes) -> None:
    found = parse_qsl(given.decode("latin-1"), keep_blank_values=True, errors="surrogateescape")
    filters.list_request(found)


def identifier(given: bytes) -> None:
    text = given.decode("latin-1")
    name = ids.decode(text)
    assert name is None or ids.encode(name.seq, name.tag) == text


def whole_answer(given: bytes) -> None:
    answer.opened(given)
    renaming.renamed(given, ID)


def coded(given: bytes) -> None:
    for coding in (b"gzip", b"deflate"):
        inflater = decoder(coding)
        assert inflater is not None
        with contextlib.suppress(Undecodable):
            inflater.decode(given)
            while inflater.waiting():
                inflater.decode(b"")
            inflater.end()


def stream(given: bytes) -> None:
    """However it is cut into reads, the same goes out and the same is kept."""
    source = random.Random(given)
    cuts = sorted(source.randint(0, len(given)) for _ in range(3))
    reads = [given[a:b] for a, b in zip([0, *cuts], [*cuts, len(given)], strict=True)]
    assert _recorded([given]) == _recorded(reads)


def _recorded(reads: list[bytes]) -> tuple[bytes, bytes]:
    chunks = Chunks(ID, 1, hide_usage=True)
    relay = StreamRelay(chunks, 1 << 20)
    sent = b""
    for read in reads:
        was_done = chunks.done
        sent += relay.take(read)
        sent += relay.held if chunks.done and not was_done else b""
    return sent + relay.end(), chunks.assembly.completion()


Target = Callable[[bytes], None]
TARGETS: dict[str, tuple[Target, list[bytes]]] = {
    "body": (body, BODIES),
    "members": (members, BODIES),
    "elements": (elements, BODIES),
    "metadata": (pairs, [b'{"k":"v","\\u00e9":""}', json.dumps({"k" * 60: "v" * 500}).encode()]),
    "headers": (headers, [b'{"k":"v"}', b'W/"a", "b"', b"*"]),
    "query": (query, QUERIES),
    "id": (identifier, [UNKNOWN.encode(), b"chatcmpl-123"]),
    "answer": (whole_answer, [*ANSWERS, *BODIES]),
    "coding": (coded, [gzip.compress(BODIES[0]), gzip.compress(b"") * 3]),
    "stream": (stream, [STREAMS[name] for name in SHORT]),
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_returns_or_refuses(name: str) -> None:
    attack(*TARGETS[name])


@pytest.mark.recordings
def test_streams_that_were_recorded_are_returned_or_refused() -> None:
    attack(stream, [contract.stream(name) for name in SHORT])


def attack(target: Target, seeds: list[bytes]) -> None:
    for given in mutants(seeds, seed=7, rounds=ROUNDS):
        try:
            with contextlib.suppress(Refusal):
                target(given)
        except BaseException as error:
            error.add_note(f"given {given!r}")
            raise
