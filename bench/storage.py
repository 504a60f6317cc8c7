"""What a completion takes on the disk and of the CPU, for files of requests and answers.

Each file is imported as `chatkeep import` does it, and its completions are kept as if they had been
created here. What is read is read again at once, so that it comes from memory: the figures are CPU
time.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import cast

import apsw
import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from bench.machine import folder_on_disk
from bench.process import ROOT, Broken
from bench.streams import percentile
from chatkeep.core.accounts.projects import changed
from chatkeep.core.model import ids
from chatkeep.core.model.completion import Project, Row
from chatkeep.core.model.ids import REQUEST_ID_BYTES, Sequencer, named, tag_of
from chatkeep.core.ports.records import Import, Records
from chatkeep.core.ports.store import Store
from chatkeep.core.records.completions import Completions
from chatkeep.core.records.importing import Importer, Line, batches
from chatkeep.core.usage.prices import Prices
from chatkeep.core.wire.chat.renaming import under
from chatkeep.store import open_store
from chatkeep.store.encoding.chain import MAX_AGE_S
from chatkeep.store.encoding.frames import zstd

# From how many messages on a request counts as so deep.
_DEPTHS = (1, 8, 16, 32)
_SAMPLE = 150
_TIMES = 5
_LONG: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 19,
    zstd.CompressionParameter.window_log: 27,
    zstd.CompressionParameter.enable_long_distance_matching: 1,
}


class _Messages(Struct):
    messages: list[Raw] = []


class _Named(Struct):
    id: str


class _Call(Struct):
    request: Raw
    response: Raw


class Corpus(Struct):
    """A file's lines, and its completions as id and number of messages."""

    name: str
    lines: list[bytes]
    raw: int
    single: int  # bytes of all, each compressed alone
    whole: int  # bytes of all, compressed in one
    found: list[tuple[str, int]]


class Kept(Struct):
    """Bytes and µs of CPU time a completion; reads as p50 and p99 by depth.

    `net` is less what an empty store takes, `aged` less what can be used again after a day.
    """

    gross: float
    net: float
    aged: float
    ingest_us: float
    retrieve: dict[int, tuple[float, float]] = {}
    request: dict[int, tuple[float, float]] = {}


def data_folder(given: Path | None) -> Path | None:
    """Where the files are; None when there are none."""
    said = os.environ.get("BENCH_DATA")
    folder = given or (Path(said) if said else ROOT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def run(data: Path, say: Callable[[str], None]) -> str:
    """The tables, in Markdown. Raises Broken."""
    files = sorted([*data.glob("*.jsonl"), *data.glob("*.jsonl.zst")])
    if not files:
        raise Broken(f"{data} has no *.jsonl or *.jsonl.zst")
    parts = []
    for file in files:
        say(f"storage: {file.name}")
        corpus = _corpus(file)
        kept = {}
        for here, full_text in product((True, False), (False, True)):
            with folder_on_disk() as folder:
                kept[here, full_text] = asyncio.run(
                    _measure(corpus, folder, here=here, full_text=full_text)
                )
        parts.append(_table(corpus, kept))
    return "\n".join(parts)


def _corpus(file: Path) -> Corpus:
    raw = file.read_bytes()
    if file.suffix == ".zst":
        raw = zstd.decompress(raw)
    corpus = Corpus(file.name.partition(".")[0], [], 0, 0, 0, [])
    whole = zstd.ZstdCompressor(options=_LONG)
    for line in raw.splitlines():
        call = msgspec.json.decode(line, type=_Call)
        both = bytes(call.request) + bytes(call.response)
        corpus.lines.append(line)
        corpus.raw += len(both)
        corpus.single += len(zstd.compress(both, 3))
        corpus.whole += len(whole.compress(both))
        id = msgspec.json.decode(call.response, type=_Named).id
        count = len(msgspec.json.decode(call.request, type=_Messages).messages)
        corpus.found.append((id, count))
    corpus.whole += len(whole.flush())
    return corpus


class _Here:
    """Keeps what is imported as if it had been created here, under an id of ours."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sequencer = Sequencer(store.node, None, secrets.randbelow)

    async def import_many(self, project: Project, imports: Sequence[Import]) -> list[Row]:
        return await asyncio.gather(*(self._insert(project, one) for one in imports))

    async def _insert(self, project: Project, one: Import) -> Row:
        id, created_unix, row, record = one
        request_id = ids.request_id(secrets.token_bytes(REQUEST_ID_BYTES // 2))
        name = named(self._sequencer.next(created_unix), tag_of(project.secret, request_id))
        answer = under(record.answer, name.id).text
        ours = replace(record, answer=answer, id=name.id, upstream_id=id)
        made = replace(row, seq=name.seq, tag=name.tag, request_id=request_id)
        await self._store.insert(project, made, ours)
        return made


async def _measure(corpus: Corpus, folder: Path, *, here: bool, full_text: bool) -> Kept:
    empty = folder / "empty.db"
    store, _ = await _opened(empty, full_text)
    await store.aclose()
    path = folder / "full.db"
    store, project = await _opened(path, full_text)
    began = time.process_time()
    # Of all records an importer uses nothing else.
    into = cast("Records", _Here(store)) if here else store
    importer = Importer(into, project, Prices(()))
    for batch in batches(Line(at, text) for at, text in enumerate(corpus.lines, start=1)):
        await importer.add(batch)
    await store.aclose()
    spent = time.process_time() - began
    count = importer.tally.added
    if count != len(corpus.lines):
        raise Broken(f"{corpus.name}: {importer.tally}")
    size = path.stat().st_size
    net = size - empty.stat().st_size
    aged = size - await _free_after_a_day(path, full_text)
    kept = Kept(size / count, net / count, aged / count, spent / count * 1e6)
    if not here:
        await _reads(corpus, path, full_text, kept)
    return kept


async def _free_after_a_day(path: Path, full_text: bool) -> int:
    """Bytes of pages that are empty when nothing goes on from these completions any more."""
    store, _ = await _opened(path, full_text)
    await store.upkeep(int(time.time()) + 2 * MAX_AGE_S)
    await store.aclose()
    with closing(apsw.Connection(str(path))) as connection:
        return int(connection.pragma("freelist_count")) * int(connection.pragma("page_size"))


async def _reads(corpus: Corpus, path: Path, full_text: bool, kept: Kept) -> None:
    store, project = await _opened(path, full_text)
    completions = Completions(store)
    for depth, some in _by_depth(corpus.found):
        kept.retrieve[depth] = await _read(some, lambda id: completions.retrieve(project, id))
        kept.request[depth] = await _read(some, lambda id: completions.raw_request(project, id))
    await store.aclose()


async def _opened(path: Path, full_text: bool) -> tuple[Store, Project]:
    store = await open_store(f"sqlite:///{path}")
    made = await store.add_project("bench", 0, changed({"full_text": full_text}))
    project = made or await store.project("bench")
    if project is None:
        raise Broken(f"{path} has no project")
    return store, project


def _by_depth(found: Sequence[tuple[str, int]]) -> Iterator[tuple[int, list[str]]]:
    for depth, end in zip(_DEPTHS, (*_DEPTHS[1:], 1 << 60), strict=True):
        deep = [id for id, count in found if depth <= count < end]
        if deep:
            yield depth, deep[:: max(len(deep) // _SAMPLE, 1)]


async def _read(
    ids: Sequence[str], read: Callable[[str], Awaitable[object]]
) -> tuple[float, float]:
    """p50 and p99 of the least µs that reading each took."""
    least = []
    for id in ids:
        took = []
        for _ in range(_TIMES):
            began = time.process_time_ns()
            await read(id)
            took.append((time.process_time_ns() - began) / 1000)
        least.append(min(took))
    return percentile(least, 50), percentile(least, 99)


def _table(corpus: Corpus, kept: dict[tuple[bool, bool], Kept]) -> str:
    count = len(corpus.lines)
    rows = [
        ("request and answer as they are", corpus.raw / count, ""),
        ("each compressed alone, zstd -3", corpus.single / count, ""),
        ("all in one, zstd -19 --long", corpus.whole / count, ""),
    ]
    for full_text, how in ((False, "without"), (True, "with")):
        created, imported = kept[True, full_text], kept[False, full_text]
        rows += [
            (f"**kept, {how} full text search**", created.gross, f"{created.ingest_us:,.0f}"),
            ("less what an empty store takes", created.net, ""),
            ("less what goes after a day", created.aged, ""),
            (f"**imported, {how} full text search**", imported.gross, f"{imported.ingest_us:,.0f}"),
            ("less what an empty store takes", imported.net, ""),
        ]
    lines = [f"`{corpus.name}`, {count:,} completions:", ""]
    lines += ["| bytes a completion | | CPU µs to add it |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {size:,.0f} | {cpu} |" for name, size, cpu in rows]
    lines += ["", "| CPU µs, p50 (p99) | retrieve | raw request |", "| --- | ---: | ---: |"]
    read = kept[False, True]
    for depth in read.retrieve:
        reads = (read.retrieve[depth], read.request[depth])
        cells = " | ".join(f"{p50:,.0f} ({p99:,.0f})" for p50, p99 in reads)
        lines.append(f"| from {depth} message{'s' * (depth > 1)} on | {cells} |")
    return "\n".join(lines) + "\n"
