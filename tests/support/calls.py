"""Create calls through a server, and what it has kept of them."""

from typing import Any

from support.chatkeep_server import Chatkeep
from support.rawhttp import PATH, Reply, asked, post
from support.refusals import create

from chatkeep.core.model.completion import Query, Row
from chatkeep.settings.upstreams import UpstreamSetting


def named(name: str, url: str, **fields: Any) -> UpstreamSetting:
    return UpstreamSetting(name=name, base_url=url, **fields)


async def called(chatkeep: Chatkeep, model: str = "m", **fields: Any) -> Reply:
    """The answer to a create request with these fields."""
    body = create(model=model, **fields)
    return await asked(chatkeep.url, post(PATH, body, chatkeep.key))


async def kept(chatkeep: Chatkeep) -> list[Row]:
    """The rows of the project `default`, newest first."""
    project = next(key.project for key in await chatkeep.store.keys())
    return [item.row for item in (await chatkeep.store.page(project, Query(limit=100))).items]
