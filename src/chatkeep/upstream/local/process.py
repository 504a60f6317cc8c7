"""The built-in model's child process, seen from the server."""

import asyncio
import contextlib
import json
import secrets
import sys
from typing import Self, cast

from chatkeep.core.ports.upstream import UpstreamAnswer
from chatkeep.core.proxy.call import read_whole
from chatkeep.errors import UpstreamUnreachable
from chatkeep.settings.upstreams import UpstreamSetting
from chatkeep.upstream.http.client import HttpUpstream
from chatkeep.upstream.local import child as program

NAME = "built-in"
PATIENCE_S = 3.0
# llama.cpp sends something each second once it works on an answer, but a call may wait in line.
SILENCE_S = 300.0
_TAIL = 2000
_MAX_SLOTS = 1 << 20


class ModelProcess:
    """A child that was started; `launch` gives one that answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self._process = process
        # All three were asked for.
        self._stdin = cast("asyncio.StreamWriter", process.stdin)
        self._stdout = cast("asyncio.StreamReader", process.stdout)
        self._stderr = cast("asyncio.StreamReader", process.stderr)
        self._said = b""
        self._listening = asyncio.create_task(self._listen())
        self.address = ""
        self._key = secrets.token_hex(16)
        self._http: HttpUpstream | None = None

    @classmethod
    async def launch(cls, timeout_s: float) -> Self:
        """Raises UpstreamUnreachable with what the child last said."""
        pipe = asyncio.subprocess.PIPE
        # -P: the folder of the file is no place to import from.
        command = (sys.executable, "-P", program.__file__)
        child = cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        )
        try:
            await child._meet(timeout_s)
        except BaseException:
            await child.stop()
            raise
        return child

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.returncode

    async def post(self, body: bytes) -> UpstreamAnswer:
        """Raises UpstreamUnreachable, UpstreamTimeout, UpstreamFailed."""
        return await self._upstream.post("/v1/chat/completions", body, {})

    async def busy(self) -> int:
        """How many answers are being written."""
        slots, _ = await read_whole(await self._upstream.get("/slots"), _MAX_SLOTS)
        return sum(slot["is_processing"] for slot in json.loads(slots))

    async def ended(self, within_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), within_s)
        return self.exit_code is not None

    async def stop(self) -> None:
        """Ends the child: by closing its stdin, and by force when that does not help."""
        if self._http is not None:
            await self._http.aclose()
        self._stdin.close()
        if not await self.ended(PATIENCE_S):
            self._process.kill()
            await self._process.wait()
        await self._listening

    @property
    def _upstream(self) -> HttpUpstream:
        if self._http is None:
            raise UpstreamUnreachable(upstream=NAME, detail="it has not started")
        return self._http

    async def _meet(self, timeout_s: float) -> None:
        """Gives the child its key and waits for its address."""
        self._stdin.write(f"{self._key}\n".encode())
        try:
            address = await asyncio.wait_for(self._stdout.readline(), timeout_s)
        except TimeoutError as error:
            raise self._unreachable(f"it did not start within {timeout_s:g} s") from error
        if not address:
            await self._process.wait()
            await self._listening
            raise self._unreachable(f"it ended at start with {self.exit_code}")
        self.address = address.decode().strip()
        setting = UpstreamSetting(
            name=NAME,
            base_url=self.address,
            key=self._key,
            headers={"content-type": "application/json"},
            timeout_s=SILENCE_S,
        )
        # llama.cpp does not answer well on a connection that is used again.
        self._http = HttpUpstream(setting, NAME, reuse=False)

    async def _listen(self) -> None:
        """Reads stderr, for a full pipe would stop the child."""
        while data := await self._stderr.read(1 << 16):
            self._said = (self._said + data)[-_TAIL:]

    def _unreachable(self, what: str) -> UpstreamUnreachable:
        said = self._said.decode(errors="replace").strip()
        return UpstreamUnreachable(upstream=NAME, detail=f"{what}; it said: {said or 'nothing'}")
