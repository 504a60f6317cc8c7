"""Chooses the upstream of a model."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from chatkeep.core.ports import Route, Upstream
from chatkeep.settings import UpstreamSetting


class Router:
    """Upstreams in their order with what was set for each; the first whose patterns fit serves."""

    def __init__(self, upstreams: Sequence[tuple[Upstream, UpstreamSetting]]) -> None:
        self._upstreams = upstreams

    def route(self, model: str) -> Route:
        upstream, setting = next(
            (entry for entry in self._upstreams if _serves(entry[1], model)), self._upstreams[0]
        )
        return Route(
            upstream,
            model=setting.model_names.get(model),
            keep_store=setting.keep_store,
            add_usage=setting.stream_usage == "add",
        )

    def all(self) -> Sequence[Upstream]:
        return [upstream for upstream, _ in self._upstreams]

    async def aclose(self) -> None:
        for upstream, _ in self._upstreams:
            await upstream.aclose()


def _serves(setting: UpstreamSetting, model: str) -> bool:
    return any(fnmatchcase(model, pattern) for pattern in setting.models)
