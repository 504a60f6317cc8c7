"""wrk, the load generator for plain requests: how it is called and what it says."""

import shutil
import subprocess
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import samples
from bench.process import Broken, clean_environment

INSTALL = (
    "wrk is not installed; it makes the load: apt-get install wrk (Debian, Ubuntu)"
    " or brew install wrk (macOS)"
)
_SCRIPT = Path(__file__).with_name("load.lua")
_RESULT = "BENCH "


class Result(Struct, frozen=True):
    """What load.lua prints in the end. `refused` counts answers of status 400 and above."""

    requests: int
    duration_us: int
    p50_us: int
    p99_us: int
    max_us: int
    refused: int
    connect: int
    read: int
    write: int
    timeout: int

    @property
    def socket_errors(self) -> int:
        return self.connect + self.read + self.write + self.timeout


class Job(Struct, frozen=True):
    """A run of wrk. `ids` is a file of lines "id number", `acknowledged` the file it writes."""

    url: str
    connections: int
    seconds: int
    template: Path
    first: int
    ids: Path | None = None
    acknowledged: Path | None = None


def installed() -> str | None:
    return shutil.which("wrk")


def run(job: Job) -> Result:
    """Raises Broken."""
    said = subprocess.run(
        command(job), env=clean_environment(), capture_output=True, text=True, check=False
    )
    if said.returncode:
        raise Broken(f"wrk failed: {said.stderr.strip() or said.stdout.strip()}")
    return parsed(said.stdout)


def command(job: Job) -> list[str]:
    flags = ["-t1", f"-c{job.connections}", f"-d{job.seconds}s", "--timeout", "10s"]
    files = ["-" if path is None else str(path) for path in (job.ids, job.acknowledged)]
    arguments = [str(job.template), str(job.first), str(samples.RUNS), *files]
    return [installed() or "wrk", *flags, "-s", str(_SCRIPT), job.url, "--", *arguments]


def parsed(output: str) -> Result:
    """Raises Broken when the line of load.lua is not in the output."""
    for line in output.splitlines():
        if line.startswith(_RESULT):
            return msgspec.json.decode(line.removeprefix(_RESULT), type=Result)
    raise Broken(f"wrk said nothing of its results:\n{output.strip()}")
