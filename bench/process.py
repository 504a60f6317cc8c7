"""A process that takes part in a run: started on its cores, watched, ended."""

import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.machine import on_cores

ROOT = Path(__file__).resolve().parent.parent
_PROC = Path("/proc")
_POLL_S = 0.005
_PATIENCE_S = 120.0
_STOP_S = 40.0
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
_FOREIGN = ("CHATKEEP_", "OPENAI_")


class Broken(Exception):
    """The run cannot go on; its text says why and what to do."""


class Process:
    """One started program with its children. Its output goes to `log`."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        cores: Set[int],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._began = log.stat().st_size if log.exists() else 0
        with on_cores(cores), log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environment() | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    def port(self) -> int:
        """The one it says it listens on: asked to take a free one, it cannot meet another's."""
        self._wait("names no address", lambda: bool(self._ports()))
        return self._ports()[0]

    def wait_for(self, url: str) -> None:
        """Returns when the URL answers, whatever it answers. Raises Broken."""
        self._wait(f"does not answer at {url}", lambda: _answers(url))

    def cpu_s(self) -> float:
        """CPU seconds so far, of its children too where /proc tells."""
        if not _PROC.is_dir():
            return _ps_seconds(self.pid)
        ticks = sum(sum(map(int, fields[11:13])) for fields in self._stats())
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        if not _PROC.is_dir():
            return int(_ps("rss", self.pid)) * 1024
        pages = sum(int(fields[21]) for fields in self._stats())
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> int:
        return len(os.listdir(_PROC / str(self.pid) / "fd")) if _PROC.is_dir() else 0

    def stop(self) -> int | None:
        """Asks it to end, and sees to it; its exit code, None when it had to be killed."""
        self._child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_STOP_S)
        code = self._child.poll()
        self.kill()
        return code

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait(_STOP_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _said(self) -> str:
        return self._log.read_bytes()[self._began :].decode(errors="replace")

    def _ports(self) -> list[int]:
        return [int(port) for port in _ADDRESS.findall(self._said())]

    def _wait(self, missed: str, come: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not come():
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise Broken(f"{self._child.args!r} {missed}\n{self._said()[-2000:]}")
            time.sleep(_POLL_S)

    def _stats(self) -> list[list[str]]:
        """The fields of /proc/PID/stat after the name, of every process of its session."""
        found = []
        for path in _PROC.glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if fields[3] == str(self.pid):
                    found.append(fields)
        return found


def end_in_peace() -> None:
    """Makes SIGTERM an ordinary way out, on which what was started is ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def module(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", name, *map(str, arguments)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """No setting of the developer's own, and no proxy between processes of one machine."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }


def children_cpu_s() -> float:
    """CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _ps_seconds(pid: int) -> float:
    """The time `ps` shows as [[hours:]minutes:]seconds."""
    seconds = 0.0
    for part in _ps("time", pid).split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def _ps(field: str, pid: int) -> str:
    shown = subprocess.run(
        ["/bin/ps", "-o", f"{field}=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()
