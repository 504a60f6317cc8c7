"""The calls of a soak that go wrong: upstreams that fail, and clients that leave, stall, or err."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp

from bench import samples
from bench.calls import left
from bench.mix import Answer, Kind, Mix

_IMPATIENT = aiohttp.ClientTimeout(total=1)
_STALL_S = 2.0


async def _upstream_fails(mix: Mix) -> None:
    answer = await _posted(mix, samples.FAILING)
    if answer.status != 500 or b"The mock failed." not in answer.body:
        mix.counted.odd[f"upstream's error as {answer.status}"] += 1


async def _upstream_cuts(mix: Mix) -> None:
    answer = await _posted(mix, samples.CUT)
    if answer.status != 502 or b"upstream_failed" not in answer.body:
        mix.counted.odd[f"an answer cut off as {answer.status}"] += 1


async def _upstream_answers_with_a_page(mix: Mix) -> None:
    answer = await _posted(mix, samples.PAGE)
    if not answer.headers.get("x-chatkeep-stored", "").startswith("no;"):
        mix.counted.odd[f"a page was stored, as {answer.status}"] += 1


async def _upstream_breaks(mix: Mix) -> None:
    mix.ledger.unsure += 1
    with suppress(aiohttp.ClientPayloadError):
        await _posted(mix, samples.BREAKING, stream=True)
        mix.counted.odd["a broken stream that looked whole"] += 1


async def _upstream_never_ends(mix: Mix) -> None:
    await left(mix, samples.ENDLESS)


async def _upstream_says_nothing(mix: Mix) -> None:
    body = samples.filled(samples.create_body(store=True, model=samples.SILENT), mix.number())
    url = mix.server.url + samples.COMPLETIONS
    with suppress(TimeoutError):
        async with mix.http.post(url, data=body, timeout=_IMPATIENT) as answer:
            mix.counted.odd[f"nothing answered as {answer.status}"] += 1


async def _client_stops_in_its_request(mix: Mix) -> None:
    """In its head, or in its body."""
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\n"
    length = f"authorization: Bearer {samples.KEY}\r\ncontent-length: 100\r\n\r\n{{"
    await _spoken(mix, head + mix.random.choice(("", length)), reads=False)


async def _client_does_not_read(mix: Mix) -> None:
    mix.ledger.unsure += 1
    text = samples.filled(samples.stream(samples.PACED, store=True), mix.number())
    await _spoken(mix, text, reads=False)


async def _client_speaks_no_http(mix: Mix) -> None:
    said = await _spoken(mix, "nonsense\r\n\r\n", reads=True)
    if not said:
        raise ConnectionResetError("the server ended before it answered")
    if not said.startswith(b"HTTP/1.1 400 "):
        mix.counted.odd[f"nonsense answered {said[:80]!r}"] += 1


async def _spoken(mix: Mix, text: str, *, reads: bool) -> bytes:
    """Sends the text; then reads what is answered, or stays for a while and goes."""
    where = urlsplit(mix.server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(text.encode())
        if reads:
            return await reader.read()
        await asyncio.sleep(_STALL_S)
        return b""
    finally:
        writer.transport.abort()


async def _posted(mix: Mix, model: str, *, stream: bool = False) -> Answer:
    body = samples.create_body(store=True, model=model, stream=stream)
    return await mix.ask("POST", samples.COMPLETIONS, samples.filled(body, mix.number()))


FAULTS = (
    Kind("upstream fails", 2, _upstream_fails),
    Kind("upstream cuts its answer off", 2, _upstream_cuts),
    Kind("upstream answers with a page", 1, _upstream_answers_with_a_page),
    Kind("upstream breaks a stream off", 2, _upstream_breaks),
    Kind("upstream never ends", 2, _upstream_never_ends),
    Kind("upstream says nothing", 1, _upstream_says_nothing),
    Kind("client stops in its request", 1, _client_stops_in_its_request),
    Kind("client does not read", 1, _client_does_not_read),
    Kind("client speaks no HTTP", 2, _client_speaks_no_http),
)
