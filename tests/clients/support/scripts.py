"""The clients' scripts, each run as a process of its own in the clients' environment."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[3]
ENVIRONMENT = ROOT / ".venv-clients" / "bin"
PATIENCE_S = 180  # LiteLLM alone takes 5 s to import, on a machine that does nothing else

# Neither the developer's keys nor their proxies reach the clients, and none of them calls home.
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1"}


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any]


class Heard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer as a client understood it. None: this client does not tell."""

    call: str
    text: str
    tools: list[ToolCall]
    id: str | None = None
    tool_ids: list[str] | None = None
    finish_reason: str | None = None
    usage: tuple[int, int] | None = None


async def heard(script: Path, folder: Path, url: str, key: str) -> list[Heard]:
    """What the client of this script reports."""
    return msgspec.json.decode(await output(script, folder, url, key), type=list[Heard])


async def output(script: Path, folder: Path, url: str, key: str) -> bytes:
    """What the script prints. It fails the test when it fails or does not end in time."""
    program = ENVIRONMENT / ("node" if script.suffix == ".mjs" else "python")
    assert program.exists(), "the clients are not installed: run `make test-clients`"
    process = await asyncio.create_subprocess_exec(
        program,
        script,
        f"{url}/v1",
        key,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **OFFLINE},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            printed, said = await process.communicate()
    finally:
        # Node runs under a launcher and `llm` under its script: the whole group ends.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert process.returncode == 0, f"{script.name}: {process.returncode}\n{said.decode()}"
    return printed
