"""The built-in model's child process, seen from the server."""

import asyncio
import contextlib
import secrets
import sys
from typing import Self, cast

import aiohttp

from chatkeep.errors import UpstreamUnreachable
from chatkeep.upstream.local import child as program

NAME = "built-in"
PATIENCE_S = 3.0
# llama.cpp sends something each second once it works on an answer, but a call may wait in line.
SILENCE_S = 300.0
_TAIL = 2000


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
        self._http = aiohttp.ClientSession(
            headers={"authorization": f"Bearer {self._key}", "content-type": "application/json"},
            # llama.cpp does not answer well on a connection that is used again.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_S),
        )

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

    async def post(self, body: bytes) -> aiohttp.ClientResponse:
        return await self._http.post(f"{self.address}/v1/chat/completions", data=body)

    async def busy(self) -> int:
        """How many answers are being written."""
        async with self._http.get(f"{self.address}/slots") as answer:
            return sum(slot["is_processing"] for slot in await answer.json())

    async def ended(self, within_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), within_s)
        return self.exit_code is not None

    async def stop(self) -> None:
        """Ends the child: by closing its stdin, and by force when that does not help."""
        await self._http.close()
        self._stdin.close()
        if not await self.ended(PATIENCE_S):
            self._process.kill()
            await self._process.wait()
        await self._listening

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

    async def _listen(self) -> None:
        """Reads stderr, for a full pipe would stop the child."""
        while data := await self._stderr.read(1 << 16):
            self._said = (self._said + data)[-_TAIL:]

    def _unreachable(self, what: str) -> UpstreamUnreachable:
        said = self._said.decode(errors="replace").strip()
        return UpstreamUnreachable(upstream=NAME, detail=f"{what}; it said: {said or 'nothing'}")
