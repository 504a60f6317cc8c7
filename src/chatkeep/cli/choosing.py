"""Chooses the upstreams of a server: named ones, one that runs here, or the built-in model."""

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence

import msgspec

from chatkeep.core.ports.upstream import Upstream, Upstreams
from chatkeep.core.proxy.models import Health, Models
from chatkeep.errors import BadSetting, Fault, Refusal
from chatkeep.settings import Settings
from chatkeep.settings.upstreams import LOOPBACK, UpstreamSetting, named_upstreams
from chatkeep.upstream.discovery import KNOWN, LocalServer, discover
from chatkeep.upstream.http.client import HttpUpstream
from chatkeep.upstream.local import MODEL_ID, LocalModel
from chatkeep.upstream.router import Router

_ASK_S = 0.5
_log = logging.getLogger("chatkeep")


class Chosen:
    """The upstreams, and how `serve` names them. The built-in model begins to start at once."""

    def __init__(self, upstreams: Upstreams, said: str) -> None:
        self.upstreams = upstreams
        self.said = said
        self._starting = [
            asyncio.create_task(_start(upstream))
            for upstream in upstreams.all()
            if isinstance(upstream, LocalModel)
        ]

    async def aclose(self) -> None:
        for starting in self._starting:
            starting.cancel()
        await self.upstreams.aclose()

    async def example_model(self) -> str:
        """A model for the banner's examples, looked up only as long as nobody notices."""
        if any(isinstance(upstream, LocalModel) for upstream in self.upstreams.all()):
            return MODEL_ID
        try:
            listed = await asyncio.wait_for(Models(self.upstreams).list(), _ASK_S)
        except (Refusal, TimeoutError):
            return "gpt-4o-mini"
        models = msgspec.json.decode(listed)["data"]
        return str(models[0]["id"]) if models else "gpt-4o-mini"


async def choose(settings: Settings, instance: str) -> Chosen:
    """Raises BadSetting when there is nothing to forward calls to."""
    named = named_upstreams(settings)
    if named:
        entries = [(_http(setting, instance), setting) for setting in named]
        said = ", ".join(f"{setting.name} ({setting.base_url})" for setting in named)
        return Chosen(Router(entries), said)
    if settings.discover and (found := await discover(_others(settings))):
        setting = UpstreamSetting(name=found.name, base_url=found.base_url)
        said = f"{found.name} ({found.base_url}), found running here"
        return Chosen(Router([(_http(setting, instance), setting)]), said)
    if not LocalModel.available():
        raise BadSetting(
            "no upstream: give --upstream URL or set OPENAI_API_KEY, or install the built-in model"
            " (extra 'local')"
        )
    return _built_in()


async def _start(model: LocalModel) -> None:
    try:
        await model.start()
    except (Refusal, Fault) as error:
        _log.warning("the built-in model does not start", extra={"error": str(error)})


async def health(settings: Settings) -> Sequence[Health]:
    chosen = await choose(settings, secrets.token_hex(8))
    try:
        return await Models(chosen.upstreams).health(time.monotonic)
    finally:
        await chosen.aclose()


def _built_in() -> Chosen:
    model = LocalModel()
    setting = UpstreamSetting(name=model.name, base_url="")
    said = f"built-in model {MODEL_ID} (it shows that all works; it is no good model)"
    return Chosen(Router([(model, setting)]), said)


def _http(setting: UpstreamSetting, instance: str) -> Upstream:
    return HttpUpstream(setting, instance)


def _others(settings: Settings) -> tuple[LocalServer, ...]:
    own = settings.host in LOOPBACK
    return tuple(server for server in KNOWN if not (own and server.port == settings.port))
