"""Finds a model server that already runs on this machine."""

import asyncio
from typing import NamedTuple

from chatkeep.core.json import spans
from chatkeep.core.proxy.call import read_whole
from chatkeep.errors import Refusal
from chatkeep.settings.upstreams import UpstreamSetting
from chatkeep.upstream.http.client import HttpUpstream

_MAX_LIST = 1 << 20
TIMEOUT_S = 0.3


class LocalServer(NamedTuple):
    name: str
    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


# In the order of preference, on the ports these servers take by default.
KNOWN = (
    LocalServer("ollama", 11434),
    LocalServer("lm-studio", 1234),
    LocalServer("jan", 1337),
    LocalServer("llama.cpp", 8080),
    LocalServer("vllm", 8000),
)


async def discover(known: tuple[LocalServer, ...] = KNOWN) -> LocalServer | None:
    """The first of the known servers that lists at least one model."""
    answers = await asyncio.gather(*map(_has_models, known))
    return next((server for server, has in zip(known, answers, strict=True) if has), None)


async def _has_models(server: LocalServer) -> bool:
    setting = UpstreamSetting(name=server.name, base_url=server.base_url)
    upstream = HttpUpstream(setting, hop="", expected=True)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer = await upstream.get("/models")
            listed = spans.loads((await read_whole(answer, _MAX_LIST))[0])
    except (Refusal, TimeoutError):
        return False
    finally:
        await upstream.aclose()
    return answer.status == 200 and isinstance(listed, dict) and bool(listed.get("data"))
