"""What a server does beside requests: again and again, whatever fails, and once more at the end."""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from support.memory.store import MemoryStore
from support.samples import SECOND, keep, listed, place, row

from chatkeep.core.accounts.keys import Keyring, digest
from chatkeep.core.accounts.projects import changed
from chatkeep.core.model.completion import Scope
from chatkeep.core.model.usage import StatsQuery
from chatkeep.core.proxy.recorder import Clock
from chatkeep.core.records.retention import DAY_S
from chatkeep.core.usage.meter import Meter
from chatkeep.core.usage.prices import Prices
from chatkeep.errors import StoreFailed, WrongKey
from chatkeep.web import background
from chatkeep.web.background import Job
from chatkeep.web.metrics import Metrics

READ: frozenset[Scope] = frozenset({"read"})
SECRET = "sk-ck-a-secret"
NOW = SECOND + 10 * DAY_S


class Server:
    """A store in memory and the jobs beside it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        clock = Clock(lambda: NOW, lambda: 0.0)
        self.auth = Keyring(self.store, clock.unix)
        self.meter = Meter(clock.unix, clock.monotonic, Prices(()))
        self.metrics = Metrics()
        self.jobs = background.jobs(self.store, self.auth, self.meter, clock, self.metrics)

    def job(self, name: str) -> Job:
        return next(job for job in self.jobs if job.name == name)


class Twice:
    """Fails, and says when it has been run again."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.again = asyncio.Event()

    async def __call__(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.again.set()


@pytest.fixture
def tasks() -> Iterator[list[asyncio.Task[None]]]:
    started: list[asyncio.Task[None]] = []
    yield started
    for task in started:
        task.cancel()


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (StoreFailed(detail="the disk is full"), logging.WARNING),
        (ValueError("a mistake of ours"), logging.ERROR),
    ],
)
async def test_what_fails_is_logged_and_run_again(
    tasks: list[asyncio.Task[None]],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    level: int,
) -> None:
    twice = Twice(error)
    tasks += background.start([Job("a job", 0.0, twice)])
    await twice.again.wait()
    (logged,) = caplog.records
    assert (logged.levelno, logged.__dict__["job"]) == (level, "a job")


async def test_at_the_end_only_what_must_be_written_is_run_and_all_of_it() -> None:
    run: list[str] = []

    def job(name: str, fails: bool = False, at_end: bool = True) -> Job:
        async def act() -> None:
            run.append(name)
            if fails:
                raise StoreFailed(detail="x")

        return Job(name, 1.0, act, at_end)

    await background.finish([job("a", fails=True), job("b"), job("c", at_end=False)])
    assert run == ["a", "b"]


async def test_usage_and_uses_are_written_before_a_server_ends() -> None:
    server = Server()
    key = await server.store.add_key("ours", digest(SECRET), "hint", READ, 0)
    await server.auth.verify(f"Bearer {SECRET}")
    server.meter.count(key, "chat.completion", "m", "u", "passed", 0.0)
    await background.finish(server.jobs)
    (found,) = await server.store.usage(key.project, StatsQuery(0, 1 << 40), 10)
    assert found.figures.calls == 1
    assert [one.last_used_unix for one in await server.store.keys()] == [NOW]


async def test_a_key_that_another_process_revokes_is_forgotten(
    tasks: list[asyncio.Task[None]],
) -> None:
    server = Server()
    key = await server.store.add_key("ours", digest(SECRET), "hint", READ, 0)
    tasks += background.start([server.job("forget keys that were changed")])
    await asyncio.sleep(0)
    await server.auth.verify(f"Bearer {SECRET}")
    await server.store.revoke_key(key.id, NOW)
    await asyncio.sleep(0)
    with pytest.raises(WrongKey):
        await server.auth.verify(f"Bearer {SECRET}")


async def test_what_is_kept_no_longer_is_deleted_and_counted() -> None:
    server = Server()
    project = (await server.store.add_key("ours", b"digest", "hint", READ, 0)).project
    await keep(server.store, project, *(row(place(n)) for n in range(3)))
    await server.store.change_project(project.id, changed({"retain_days": 5}))
    await server.job("delete what is kept no longer").run()
    assert await listed(server.store, project) == []
    assert b"chatkeep_completions_expired_total 3.0" in server.metrics.text()
