"""What a server has stored, through its API: filled before a run, checked after it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from bench import samples
from bench.process import Broken

_PAGE = 100
_LOOKED_AT = 300
_LOADERS = 32
_HEADERS = {"authorization": f"Bearer {samples.KEY}", "content-type": "application/json"}


class Acknowledged(Struct):
    """A record somebody was told is stored.

    `marks` are numbers in its metadata that only grow, as an update last acknowledged them;
    `asked` is the digest of the request, where it is known, and `messages` how many it has.
    """

    number: int
    marks: dict[str, int] = {}
    asked: bytes | None = None
    messages: int = 2


class Ledger:
    """Every acknowledged record by its id, and how many more there may be.

    A request that was in flight when its load ended may have been stored or not: `unsure` counts
    them. `deleted` must be gone; of `doubtful` ones it is not known.
    """

    def __init__(self) -> None:
        self.records: dict[str, Acknowledged] = {}
        self.deleted: set[str] = set()
        self.doubtful: set[str] = set()
        self.unsure = 0

    def created(self, id: str, number: int, asked: bytes | None = None, messages: int = 2) -> None:
        self.records[id] = Acknowledged(number, {}, asked, messages)

    def gone(self, id: str, *, surely: bool) -> None:
        """A delete was acknowledged, or its answer never came."""
        del self.records[id]
        (self.deleted if surely else self.doubtful).add(id)

    def read(self, lines: str) -> None:
        """Takes the lines "id number grade" that the load generators write."""
        for line in lines.splitlines():
            id, number, grade = line.split()
            if grade == "-":
                self.created(id, int(number))
            else:
                self.records[id].marks["grade"] = int(grade)

    def ids(self, most: int | None = None) -> str:
        """The records as lines "id number"; the first so many of them."""
        some = islice(self.records.items(), most)
        return "".join(f"{id} {record.number}\n" for id, record in some)


class Check(Struct, frozen=True):
    """What became of the acknowledged records. `extra` are stored ones nobody was told of."""

    store: str
    acknowledged: int
    missing: int
    wrong: int
    extra: int
    unsure: int

    @property
    def passed(self) -> bool:
        return not self.missing and not self.wrong and self.extra <= self.unsure

    def __str__(self) -> str:
        verdict = "all there" if self.passed else "NOT ALL THERE"
        return (
            f"{self.store}: {self.acknowledged:,} acknowledged, {verdict}: {self.missing} missing,"
            f" {self.wrong} wrong, {self.extra} unacknowledged of {self.unsure} cut off in flight"
        )


def fill(url: str, ledger: Ledger, numbers: Iterable[int]) -> None:
    """Creates a record for every number. Raises Broken when one is not stored."""
    asyncio.run(_fill(url, ledger, iter(numbers)))


def check(store: str, url: str, ledger: Ledger) -> Check:
    """Compares all that the server lists with all that was acknowledged."""
    return asyncio.run(_check(store, url, ledger))


def missing(url: str, ledger: Ledger) -> int:
    """How many acknowledged records a server does not list, whatever else it knows of them."""
    return asyncio.run(_missing(url, ledger))


async def _missing(url: str, ledger: Ledger) -> int:
    async with session() as http:
        listed = {item["id"] async for item in _everything(http, url)}
    return len(ledger.records.keys() - listed)


async def _fill(url: str, ledger: Ledger, numbers: Iterator[int]) -> None:
    body = samples.create_body(store=True)

    async def loader(http: aiohttp.ClientSession) -> None:
        for number in numbers:
            data = samples.filled(body, number)
            async with http.post(url + samples.COMPLETIONS, data=data) as answer:
                if answer.headers.get("x-chatkeep-stored") != "yes":
                    raise Broken(f"a record was not stored: {await answer.text()}")
                ledger.created(answer.headers["x-chatkeep-id"], number)

    async with session() as http:
        await asyncio.gather(*(loader(http) for _ in range(_LOADERS)))


async def _check(store: str, url: str, ledger: Ledger) -> Check:
    found: set[str] = set()
    wrong = extra = 0
    async with session() as http:
        async for item in _everything(http, url):
            id = item["id"]
            record = ledger.records.get(id)
            if record is not None:
                found.add(id)
                wrong += not as_acknowledged(item, record)
            elif id in ledger.deleted:
                wrong += 1
            elif id not in ledger.doubtful:
                extra += 1
        wrong += await _wrong_requests(http, url, ledger)
    missing = len(ledger.records) - len(found)
    return Check(store, len(ledger.records), missing, wrong, extra, ledger.unsure)


async def _everything(http: aiohttp.ClientSession, url: str) -> AsyncIterator[dict[str, Any]]:
    query: dict[str, str | int] = {"limit": _PAGE}
    while True:
        page = await _json(http, url + samples.COMPLETIONS, query)
        for item in page["data"]:
            yield item
        if not page["has_more"]:
            return
        query["after"] = page["last_id"]


def as_acknowledged(item: dict[str, Any], record: Acknowledged) -> bool:
    metadata, expected = item["metadata"], samples.expected_texts(record.number)
    return (
        all(choice["message"]["content"] in expected for choice in item["choices"])
        and metadata.get("n") == f"{record.number:012d}"
        # A later update may have been committed whose answer was cut off.
        and all(int(metadata.get(key, -1)) >= value for key, value in record.marks.items())
    )


async def _wrong_requests(http: aiohttp.ClientSession, url: str, ledger: Ledger) -> int:
    """Lists do not show requests, so some are looked at one by one."""
    step = max(1, len(ledger.records) // _LOOKED_AT)
    wrong = 0
    for id, record in islice(ledger.records.items(), 0, None, step):
        query: dict[str, str | int] = {"limit": _PAGE, "order": "asc"}
        page = await _json(http, f"{url}{samples.COMPLETIONS}/{id}/messages", query)
        said = [item["content"] for item in page.get("data", [])]
        good = len(said) == record.messages and samples.marked(said[-1]) == record.number
        if good and record.asked is not None:
            async with http.get(f"{url}{samples.RECORDS}/{id}/raw/request") as answer:
                good = digest(await answer.read()) == record.asked
        wrong += not good
    return wrong


def digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()


async def _json(http: aiohttp.ClientSession, url: str, query: dict[str, str | int]) -> Any:
    async with http.get(url, params=query) as answer:
        body = await answer.read()
        # What is not there says so in an error's envelope; anything else ends the check.
        if answer.status not in (200, 404):
            raise Broken(f"{url} answers {answer.status}: {body[:500].decode()}")
        return msgspec.json.decode(body)


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers=_HEADERS)
