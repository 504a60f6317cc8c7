"""The models of all upstreams as one list (CONTRACT.md §2)."""

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct

from chatkeep.core.json import spans
from chatkeep.core.json.tolerant import fields
from chatkeep.core.model.completion import Project
from chatkeep.core.ports.upstream import Upstream, Upstreams
from chatkeep.core.proxy import routing
from chatkeep.core.proxy.call import read_whole
from chatkeep.errors import ModelNotFound, Refusal, UpstreamFailed, UpstreamTimeout

_MAX_BYTES = 16 << 20
_TIMEOUT_S = 10  # one that is silent does not hold up what the others say


class Health(Struct, frozen=True):
    """How an upstream answers GET /models: its number of models, or what went wrong."""

    upstream: str
    ok: bool
    latency_ms: int
    models: int
    error: str | None = None


class Models:
    """What can be asked for: of each upstream the models that are routed to it.

    A `project` sees the upstreams it may use; without one all are seen.
    """

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def list(self, project: Project | None = None) -> bytes:
        """The list envelope. An upstream that does not answer is left out while another does."""
        return b'{"object":"list","data":[%s]}' % b",".join((await self._models(project)).values())

    async def retrieve(self, model: str, project: Project | None = None) -> bytes:
        """Raises ModelNotFound."""
        found = (await self._models(project)).get(model)
        if found is None:
            raise ModelNotFound("model", model=model)
        return found

    async def health(
        self, monotonic: Callable[[], float], project: Project | None = None
    ) -> Sequence[Health]:
        """All upstreams asked at once, in their order; `monotonic` counts seconds."""
        asked = routing.those(self._upstreams, project)
        return await asyncio.gather(*(_health(one, monotonic) for one in asked))

    async def _models(self, project: Project | None) -> dict[str, bytes]:
        asked = routing.those(self._upstreams, project)
        answers = await asyncio.gather(*map(_models_of, asked), return_exceptions=True)
        merged: dict[str, bytes] = {}
        failures: list[BaseException] = []
        for upstream, answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                failures.append(answer)
                continue
            for name, model in answer.items():
                if routing.serves(upstream, self._upstreams, project, name):
                    merged.setdefault(name, model)
        if failures and len(failures) == len(asked):
            raise failures[0]
        return merged


async def _health(upstream: Upstream, monotonic: Callable[[], float]) -> Health:
    started = monotonic()
    models: dict[str, bytes] = {}
    error = None
    try:
        models = await _models_of(upstream)
    except Refusal as refusal:
        error = refusal.message
    latency_ms = round((monotonic() - started) * 1000)
    return Health(upstream.name, error is None, latency_ms, len(models), error)


async def _models_of(upstream: Upstream) -> dict[str, bytes]:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            answer = await upstream.get("/models")
            text, _ = await read_whole(answer, _MAX_BYTES)
    except TimeoutError as error:
        raise UpstreamTimeout(
            upstream=upstream.name, detail=f"it took over {_TIMEOUT_S} s for its models"
        ) from error
    answer.close()
    if answer.status != 200:
        raise UpstreamFailed(
            upstream=upstream.name, detail=f"it answers {answer.status} to GET /models"
        )
    return _by_name(text, upstream)


def _by_name(text: bytes, upstream: Upstream) -> dict[str, bytes]:
    data = fields(text).get("data", b"null")
    models: dict[str, bytes] = {}
    try:
        for model in spans.elements(data):
            name = spans.loads(fields(model).get("id", b"null"))
            if isinstance(name, str):
                models[name] = model
    except Refusal as error:
        raise UpstreamFailed(
            upstream=upstream.name, detail="its list of models cannot be read"
        ) from error
    return models
