"""The real `chatkeep serve` as a child process, for tests of starts, stops and crashes."""

import asyncio
import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from support.patience import PATIENCE_S

KEY = "sk-ck-" + "0123456789abcdef" * 4
CHATKEEP = (sys.executable, "-m", "chatkeep")

_ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost):\d+")
_OURS = ("OPENAI_", "CHATKEEP_")


class ServerProcess:
    """Runs in `folder`; start another on the same folder to see what a restart finds.

    The calls block for at most `patience_s`. When the upstream is a `Provider` on the test's own
    event loop use `async with`, and `await asyncio.to_thread(server.terminate)`.
    """

    def __init__(
        self,
        folder: Path,
        upstream: str,
        *,
        store: str | None = None,
        key: str = KEY,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = CHATKEEP,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.key = key
        self.url = ""
        self._folder = folder
        self._upstream = upstream
        self.patience_s = patience_s
        self._environment = _clean_environment() | {"CHATKEEP_KEY": key} | dict(environment or {})
        self._command = [*command, "serve", "--port", "0"]
        self._command += ["--store", store or f"sqlite:///{folder / 'chatkeep.db'}"]
        self._command += ["--upstream", upstream, *arguments]
        self._output: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers: list[threading.Thread] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        for name, pipe in (("stdout", self._process.stdout), ("stderr", self._process.stderr)):
            assert pipe
            reader = threading.Thread(target=self._collect, args=(name, pipe), daemon=True)
            self._readers.append(reader)
            reader.start()
        try:
            self.url = self._announced_address()
        except BaseException:
            self.stop()
            raise
        return self

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def stdout(self) -> str:
        return "".join(self._output["stdout"])

    @property
    def stderr(self) -> str:
        return "".join(self._output["stderr"])

    def kill9(self) -> None:
        """Ends the server, and it alone, as a crash would."""
        self._child.kill()
        self._child.wait(self.patience_s)

    def terminate(self) -> int:
        """Asks the server to end and returns its exit code."""
        self._child.terminate()
        return self.wait()

    def wait(self) -> int:
        try:
            code = self._child.wait(self.patience_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(self._report("did not end")) from None
        self._join_readers()
        return code

    def stop(self) -> None:
        """Whatever state it is in, nothing of it is left running afterwards."""
        if self._process is None:
            return
        # The group outlives its leader when the leader left children behind. (macOS answers EPERM
        # for a group of zombies.)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(self.patience_s)
        self._join_readers()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if error:
            error.add_note(self._report("ran beside this"))

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    @property
    def _child(self) -> subprocess.Popen[bytes]:
        assert self._process, "not started"
        return self._process

    def _collect(self, name: str, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                text = line.decode(errors="replace")
                self._output[name].append(text)
                self._lines.put(text)
        self._lines.put(None)

    def _announced_address(self) -> str:
        for line in self._lines_until_closed():
            # The start-up lines name the upstream too.
            ours = set(_ADDRESS.findall(line)) - set(_ADDRESS.findall(self._upstream))
            if ours:
                return str(ours.pop())
        raise AssertionError(self._report("named no address"))

    def _lines_until_closed(self) -> Iterator[str]:
        deadline = time.monotonic() + self.patience_s
        open_pipes = len(self._readers)
        while open_pipes:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                return
            if line is None:
                open_pipes -= 1
            else:
                yield line
        # The output ends a moment before the exit code is known.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(self.patience_s)

    def _join_readers(self) -> None:
        for reader in self._readers:
            reader.join(self.patience_s)
            assert not reader.is_alive(), self._report("left a child that holds its output")

    def _report(self, what: str) -> str:
        state = f"exit code {self._child.poll()}"
        command = " ".join(self._command)
        return f"{command}\n{what} ({state})\n--- stdout\n{self.stdout}--- stderr\n{self.stderr}"


def _clean_environment() -> dict[str, str]:
    """No setting of the developer's own reaches the server; its lines reach us at once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    # The server runs in another folder, where a relative PYTHONPATH would lead nowhere.
    paths = [str(Path(p).resolve()) for p in kept.get("PYTHONPATH", "").split(os.pathsep) if p]
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(paths)}
