"""What a server does beside requests, as one table.

What fails is logged and done again the next time: nothing here may end the others, or the server.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from chatkeep.core.accounts.keys import Keyring, NoAuth
from chatkeep.core.ports.accounts import Accounts
from chatkeep.core.ports.store import Store
from chatkeep.core.proxy.recorder import Clock
from chatkeep.core.records import retention
from chatkeep.core.usage.meter import Meter
from chatkeep.errors import Refusal
from chatkeep.web.metrics import Metrics

_log = logging.getLogger("chatkeep")


class Job(NamedTuple):
    """`run` is awaited at the start and again `every_s` seconds after it ended.

    One with `at_end` is run once more before the server ends.
    """

    name: str
    every_s: float
    run: Callable[[], Awaitable[None]]
    at_end: bool = False


def jobs(
    store: Store, auth: Keyring | NoAuth, meter: Meter, clock: Clock, metrics: Metrics
) -> Sequence[Job]:
    """All there are."""
    return (
        Job("write the usage of calls", 1.0, lambda: meter.flush(store), at_end=True),
        Job("note when keys were used", 60.0, auth.note_uses, at_end=True),
        Job("forget keys that were changed", 0.5, lambda: _forget_changed(store, auth)),
        Job("delete what is kept no longer", 60.0, lambda: _expire(store, clock, metrics)),
        Job("keep the store in shape", 3600.0, lambda: store.upkeep(int(clock.unix()))),
    )


def start(table: Sequence[Job]) -> list[asyncio.Task[None]]:
    """Each in a task of its own, to be cancelled at the end."""
    return [asyncio.create_task(_repeat(job)) for job in table]


async def finish(table: Sequence[Job]) -> None:
    """What is left to do when no request comes any more."""
    for job in table:
        if job.at_end:
            await _attempt(job)


async def _repeat(job: Job) -> None:
    while True:
        await _attempt(job)
        await asyncio.sleep(job.every_s)


async def _attempt(job: Job) -> None:
    try:
        await job.run()
    except Refusal as error:
        _log.warning("a job failed", extra={"job": job.name, "error": error.message})
    except Exception:  # noqa: BLE001  # whatever it is, it is tried again
        _log.exception("a job failed", extra={"job": job.name})


async def _forget_changed(accounts: Accounts, auth: Keyring | NoAuth) -> None:
    """Forgets the keys that are remembered whenever any was changed, by whatever process."""
    async for _ in accounts.changes():
        auth.forget()


async def _expire(store: Store, clock: Clock, metrics: Metrics) -> None:
    swept = retention.sweep(store, store, clock.unix(), clock.monotonic)
    async for project, what, outcome in swept:
        metrics.expired(project.name, what, outcome.done, outcome.stopped_by)
