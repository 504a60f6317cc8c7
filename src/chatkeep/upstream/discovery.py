"""Finds a model server that already runs on this machine."""

import asyncio
from typing import NamedTuple

import aiohttp

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
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        answers = await asyncio.gather(*(_has_models(session, server) for server in known))
    return next((server for server, has in zip(known, answers, strict=True) if has), None)


async def _has_models(session: aiohttp.ClientSession, server: LocalServer) -> bool:
    try:
        async with session.get(f"{server.base_url}/models") as answer:
            listed = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
        return False
    return answer.status == 200 and isinstance(listed, dict) and bool(listed.get("data"))
