"""What is measured: chatkeep as it is run, the bare forwarder, the mock itself, peers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from bench import samples
from bench.machine import Cores
from bench.process import Process, module


class Target(Struct):
    """`process` is measured; `port` is where it listens on loopback."""

    name: str
    port: int
    process: Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Stage(Struct, frozen=True):
    """What every part of a run needs: a folder on the disk, the cores, and the mock upstream."""

    folder: Path
    cores: Cores
    mock: Target


@contextmanager
def stage(folder: Path, cores: Cores) -> Iterator[Stage]:
    with Process(module("bench.mock"), folder / "mock.log", cores.load) as process:
        yield Stage(folder, cores, Target("mock", process.port(), process))


@contextmanager
def forwarder(stage: Stage) -> Iterator[Target]:
    command = module("bench.forwarder", stage.mock.url)
    with Process(command, stage.folder / "forwarder.log", stage.cores.server) as process:
        yield Target("bare", process.port(), process)


@contextmanager
def chatkeep(stage: Stage, store: str, file: Path | None = None) -> Iterator[Target]:
    """A server on this store of the folder, or a file elsewhere, new or another server's before."""
    target = start_chatkeep(stage, store, file)
    with target.process:
        yield target


def start_chatkeep(stage: Stage, store: str, file: Path | None = None) -> Target:
    """The server once it answers; whoever starts it ends it."""
    command = module("chatkeep", "serve", "--port", 0, "--log-level", "warning")
    command += ["--store", f"sqlite:///{file or stage.folder / f'{store}.db'}"]
    command += ["--upstream", f"{stage.mock.url}/v1"]
    log = stage.folder / f"{store}.log"
    process = Process(command, log, stage.cores.server, {"CHATKEEP_KEY": samples.KEY})
    try:
        target = Target("chatkeep", process.port(), process)
        process.wait_for(f"{target.url}/healthz")
    except BaseException:
        process.kill()
        raise
    return target
