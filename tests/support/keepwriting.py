"""A process that keeps completions until it is killed, and says what it has been promised.

    python keepwriting.py DATABASE     {"id": ..., "metadata": ..., "done": false}   before a write
                                       {"id": ..., "metadata": ..., "done": true}    after it

`metadata` is null for a deletion. Eight at a time, so that kills fall between writes that share a
commit.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

from support.samples import name, replacing, row, said

from chatkeep.core.model.completion import Project, Scope
from chatkeep.core.model.ids import Sequencer
from chatkeep.core.ports.store import Store
from chatkeep.store.sqlite import open_sqlite

WORKERS = 8
TURNS = 20  # of a conversation; each says the ids of its turns
MANY = 10_000  # more than anybody waits for
READ: frozenset[Scope] = frozenset({"read"})

Pairs = dict[str, str] | None


async def write(id: str, pairs: Pairs, work: Awaitable[object]) -> None:
    _say(id, pairs, done=False)
    await work
    _say(id, pairs, done=True)


def _say(id: str, pairs: Pairs, *, done: bool) -> None:
    line = json.dumps({"id": id, "metadata": pairs, "done": done}) + "\n"
    os.write(sys.stdout.fileno(), line.encode())  # at once and whole, or not at all


async def keep_writing(store: Store, project: Project, sequencer: Sequencer) -> None:
    conversation: list[str] = []
    for number in range(MANY):
        new = row(sequencer.next(int(time.time())), {"step": "new"})
        conversation = [*conversation, new.id] if number % TURNS else [new.id]
        await write(new.id, {"step": "new"}, store.insert(project, new, said(*conversation)))
        changed = {"step": "changed", "number": str(number)}
        change = store.change_metadata(project, name(new), replacing(changed))
        await write(new.id, changed, change)
        if number % 3 == 0:
            await write(new.id, None, store.delete(project, name(new)))


async def main(path: Path) -> None:
    store = await open_sqlite(path, serving=True)
    keys = await store.keys() or [await store.add_key("ours", b"digest", "sk-o", READ, 0)]
    sequencer = Sequencer(store.node, await store.high_water(), random.randrange)
    work = [keep_writing(store, keys[0].project, sequencer) for _ in range(WORKERS)]
    await asyncio.gather(*work)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
