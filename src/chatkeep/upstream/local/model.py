"""The built-in model: a small one in a child process, to try chatkeep without an upstream."""

import asyncio
import json
import logging
from collections.abc import Mapping

from chatkeep.core.ports.upstream import UpstreamAnswer
from chatkeep.errors import UnknownUrl, UpstreamFailed, UpstreamUnreachable
from chatkeep.upstream.local import child
from chatkeep.upstream.local.answer import PlainAnswer, Stream, assembled, events, refusal
from chatkeep.upstream.local.chunks import Chunks
from chatkeep.upstream.local.process import NAME, ModelProcess
from chatkeep.upstream.local.request import MODEL_ID, Declined, Function, Plan, planned

CREATED_UNIX = 1_730_419_200  # 2024-11-01, when SmolLM2 was published

_log = logging.getLogger("chatkeep")


class LocalModel:
    """An upstream with one model. Its process starts with the first call, unless `start` did."""

    name = NAME

    def __init__(self, start_timeout_s: float = 60.0) -> None:
        self.process: ModelProcess | None = None
        self._start_timeout_s = start_timeout_s
        self._starting = asyncio.Lock()
        self._closed = False

    @staticmethod
    def available() -> bool:
        """Whether its packages are installed."""
        return child.available()

    async def start(self) -> None:
        """Returns when the model answers; at once when it does already."""
        await self._running()

    async def post(self, path: str, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamAnswer:
        if path != "/chat/completions":
            return _unknown("POST", path)
        plan = planned(body)
        if isinstance(plan, Declined):
            return _error(plan)
        answer = await self._answer(plan)
        if isinstance(answer, Declined):
            return _error(answer)
        return answer if plan.stream else await assembled(answer, plan.n)

    async def get(self, path: str) -> UpstreamAnswer:
        if path != "/models":
            return _unknown("GET", path)
        model = {
            "id": MODEL_ID,
            "object": "model",
            "created": CREATED_UNIX,
            "owned_by": "chatkeep",
        }
        return PlainAnswer(json.dumps({"object": "list", "data": [model]}).encode())

    async def aclose(self) -> None:
        self._closed = True
        async with self._starting:
            if self.process is not None:
                await self.process.stop()

    async def _answer(self, plan: Plan) -> Stream | Declined:
        call = await self._function(plan)
        if isinstance(call, Declined):
            return call

        async def ask(index: int) -> UpstreamAnswer:
            return await self._ask(plan.question(index, call))

        first = await ask(0)
        if first.status != 200:
            return await refusal(first)
        return Stream(Chunks(call, include_usage=plan.include_usage), first, ask, plan.n)

    async def _function(self, plan: Plan) -> Function | Declined | None:
        """The function to call; of several the model chooses one by its name."""
        if len(plan.functions) < 2:
            return next(iter(plan.functions), None)
        answer = await self._ask(plan.choosing())
        if answer.status != 200:
            return await refusal(answer)
        pieces = [
            choice["delta"].get("content") or ""
            async for chunk in events(answer)
            for choice in chunk.get("choices", ())
        ]
        name = "".join(pieces)
        named = (function for function in plan.functions if json.dumps(function.name) == name)
        return next(named, plan.functions[0])

    async def _ask(self, question: bytes) -> UpstreamAnswer:
        process = await self._running()
        try:
            return await process.post(question)
        except (UpstreamFailed, UpstreamUnreachable):
            # A process that was just killed is not always known to be dead, yet.
            if not await process.ended(within_s=1):
                raise
        return await (await self._running()).post(question)

    async def _running(self) -> ModelProcess:
        """The process, started when there is none or the last one died."""
        async with self._starting:
            if self._closed:
                raise UpstreamUnreachable(upstream=NAME, detail="the server is closing")
            if self.process is not None and self.process.exit_code is not None:
                code = self.process.exit_code
                _log.warning("the built-in model died", extra={"exit_code": code})
                await self.process.stop()
                self.process = None
            if self.process is None:
                self.process = await ModelProcess.launch(self._start_timeout_s)
            return self.process


def _unknown(method: str, path: str) -> PlainAnswer:
    error = UnknownUrl(method=method, path=f"/v1{path}")
    return _error(Declined(error.status, error.message))


def _error(answer: Declined) -> PlainAnswer:
    return PlainAnswer(answer.envelope(), answer.status)
