"""What a server has kept of a completion, past the API: its row, and its bytes both ways."""

import re
from typing import NamedTuple

from support.chatkeep_server import Chatkeep
from support.rawhttp import PATH, asked, get

from chatkeep.core.model import ids
from chatkeep.core.model.completion import Row, Stored
from chatkeep.core.model.ids import Name
from chatkeep.core.ports.store import Store


async def stored_in(store: Store, id: str) -> Stored | None:
    """A completion of the first key's project; None when there is none."""
    name = ids.decode(id)
    assert name is not None
    return await store.get((await store.keys())[0].project, name)


async def row_of(chatkeep: Chatkeep, id: str) -> Row:
    stored = await stored_in(chatkeep.store, id)
    assert stored is not None
    return stored.row


class Kept(NamedTuple):
    """The bytes both ways, and the upstream's id."""

    request: bytes
    answer: bytes
    upstream_id: str | None


async def kept_of(chatkeep: Chatkeep, id: str) -> Kept:
    stored = await stored_in(chatkeep.store, id)
    assert stored is not None
    name = Name(stored.row.seq, stored.row.tag, stored.id)
    request = await chatkeep.store.request((await chatkeep.store.keys())[0].project, name)
    assert request is not None
    return Kept(request.whole(), stored.answer, stored.upstream_id)


async def kept_soon(chatkeep: Chatkeep, id: str) -> Row:
    """The row, as soon as it has been committed: for calls nobody waits for any more."""
    while await stored_in(chatkeep.store, id) is None:
        await asked(chatkeep.url, get("/healthz", None))
    return await row_of(chatkeep, id)


async def finished(chatkeep: Chatkeep, calls: int = 1) -> None:
    """Returns when so many create calls have ended, whoever was still there to see it."""
    while await _ended(chatkeep) < calls:
        pass


async def _ended(chatkeep: Chatkeep) -> int:
    figures = (await asked(chatkeep.url, get("/metrics", None))).body.decode()
    counts = re.findall(rf'requests_total{{method="POST",route="{PATH}"[^}}]*}} (\S+)', figures)
    return round(sum(map(float, counts)))
