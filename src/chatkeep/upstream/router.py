"""Chooses where a model's calls go: the upstream that serves it, its retries, its fallbacks."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from chatkeep.core.ports.upstream import Route, Upstream
from chatkeep.settings.upstreams import UpstreamSetting

_FIRST_PAUSE_S = 0.25
_REMEMBERED = 1000  # models; callers choose the names, so there is an end to it


class Router:
    """Upstreams in their order with what was set for each; the first whose patterns fit serves."""

    def __init__(self, upstreams: Sequence[tuple[Upstream, UpstreamSetting]]) -> None:
        self._upstreams = upstreams
        self._known: dict[str, Sequence[Route]] = {}
        self._named = {setting.name: (upstream, setting) for upstream, setting in upstreams}

    def routes(self, model: str) -> Sequence[Route]:
        routes = self._known.get(model)
        if routes is None:
            routes = self._routes(model)
            if len(self._known) < _REMEMBERED:
                self._known[model] = routes
        return routes

    def all(self) -> Sequence[Upstream]:
        return [upstream for upstream, _ in self._upstreams]

    async def aclose(self) -> None:
        for upstream, _ in self._upstreams:
            await upstream.aclose()

    def _routes(self, model: str) -> Sequence[Route]:
        upstream, setting = next(
            (entry for entry in self._upstreams if _serves(entry[1], model)), self._upstreams[0]
        )
        routes = list(_attempts(upstream, setting, model))
        for fallback in setting.fallbacks:
            routes += _attempts(*self._named[fallback], model)
        return routes


def _attempts(upstream: Upstream, setting: UpstreamSetting, model: str) -> Iterator[Route]:
    pause_s = 0.0
    for _ in range(1 + setting.retries):
        yield Route(
            upstream,
            model=setting.model_names.get(model),
            keep_store=setting.keep_store,
            add_usage=setting.stream_usage == "add",
            forward_headers=tuple(name.lower().encode() for name in setting.forward_headers),
            pause_s=pause_s,
        )
        pause_s = max(_FIRST_PAUSE_S, 2 * pause_s)


def _serves(setting: UpstreamSetting, model: str) -> bool:
    # Only * and ? mean something: the bracket that fnmatch knows as well stands in real names.
    return any(fnmatchcase(model, pattern.replace("[", "[[]")) for pattern in setting.models)
