"""A running server deletes what its projects keep no longer, and says how much that was."""

import re
from pathlib import Path

from support.chatkeep_server import add_key, chatkeep_before
from support.rawhttp import asked, get
from support.samples import SECOND, keep, listed, place, row

from chatkeep.core.accounts.projects import changed
from chatkeep.core.proxy.recorder import Clock
from chatkeep.core.records.retention import DAY_S
from chatkeep.settings.upstreams import UpstreamSetting
from chatkeep.store.sqlite import open_sqlite
from chatkeep.web.app import SYSTEM_CLOCK


async def test_what_is_too_old_when_the_server_starts_is_soon_gone(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "chatkeep.db")
    await add_key(store, "sk-ck-any", "default")
    project = await store.project("default")
    assert project is not None
    await store.change_project(project.id, changed({"retain_days": 7}))
    await keep(store, project, *(row(place(n)) for n in range(20)))
    await keep(store, project, row(place(0, SECOND + 2 * DAY_S)))
    await store.aclose()

    clock = Clock(unix=lambda: SECOND + 8.0 * DAY_S, monotonic=SYSTEM_CLOCK.monotonic)
    upstream = UpstreamSetting(name="none", base_url="http://127.0.0.1:9/v1")
    async with chatkeep_before(tmp_path, [upstream], clock=clock) as chatkeep:
        while "chatkeep_completions_expired_total 20.0" not in await figures(chatkeep.url):
            pass
        assert await listed(chatkeep.store, project) == [place(0, SECOND + 2 * DAY_S)]


async def test_bodies_that_are_too_old_are_soon_gone_and_counted(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "chatkeep.db")
    await add_key(store, "sk-ck-any", "default")
    project = await store.project("default")
    assert project is not None
    await store.change_project(project.id, changed({"retain_body_days": 7}))
    await keep(store, project, *(row(place(n)) for n in range(20)))
    await store.aclose()

    clock = Clock(unix=lambda: SECOND + 8.0 * DAY_S, monotonic=SYSTEM_CLOCK.monotonic)
    upstream = UpstreamSetting(name="none", base_url="http://127.0.0.1:9/v1")
    async with chatkeep_before(tmp_path, [upstream], clock=clock) as chatkeep:
        while "chatkeep_bodies_expired_total 20.0" not in await figures(chatkeep.url):
            pass
        assert len(await listed(chatkeep.store, project)) == 20


async def figures(url: str) -> str:
    text = (await asked(url, get("/metrics", None))).body.decode()
    assert re.search("^chatkeep_completions_expired_total ", text, re.MULTILINE)
    return text
