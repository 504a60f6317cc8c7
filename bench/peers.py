"""Other servers of this kind, measured as references: each from PyPI, in a venv of its own.

Only those that BENCH_PEERS names are installed. To add one, add a row to PEERS.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from bench import samples
from bench.process import ROOT, Broken, Process, clean_environment, free_port
from bench.target import Stage, Target

_INSTALL_S = 600


class Peer(Struct, frozen=True):
    """`command` is run from the venv; {port}, {config} and {upstream} are filled in everywhere.

    `ready` is the path that answers when it has started.
    """

    name: str
    requirement: str
    command: tuple[str, ...]
    config: str
    ready: str
    environment: dict[str, str] = {}


_LITELLM_MODELS = "".join(
    f"""\
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {{upstream}}/v1
      api_key: none
"""
    for model in (samples.MODEL, samples.PACED)
)
PEERS = (
    Peer(
        "litellm",
        "litellm[proxy]==1.106.2",
        ("litellm", "--config", "{config}", "--host", "127.0.0.1", "--port", "{port}"),
        f"model_list:\n{_LITELLM_MODELS}general_settings:\n  master_key: {samples.KEY}\n",
        "/health/liveliness",
        {"LITELLM_LOG": "ERROR"},
    ),
    # It listens on all interfaces: there is no setting against it.
    Peer(
        "ferrogw",
        "ferrogw==1.5.10",
        ("ferrogw", "serve"),
        "strategy:\n  mode: single\ntargets:\n  - virtual_key: openai\naliases:\n"
        f"  {samples.MODEL}: {samples.KNOWN_MODEL}\n  {samples.PACED}: {samples.KNOWN_PACED}\n",
        "/health",
        {
            "GATEWAY_CONFIG": "{config}",
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": "{upstream}",
            "PORT": "{port}",
            "MASTER_KEY": samples.KEY,
            "LOG_LEVEL": "error",
            "RATE_LIMIT_RPS": "1000000",
            "RATE_LIMIT_BURST": "1000000",
            "FERRO_MODEL_CATALOG_TIMEOUT": "0",
        },
    ),
)


@contextmanager
def peers(names: Sequence[str], stage: Stage, say: Callable[[str], None]) -> Iterator[list[Target]]:
    """The named peers that could be installed and started; of the others `say` is told why not."""
    with ExitStack() as running:
        targets = []
        for name in names:
            try:
                targets.append(running.enter_context(_running(name, stage)))
            except Broken as error:
                say(f"{name}: not measured: {error}")
        yield targets


@contextmanager
def _running(name: str, stage: Stage) -> Iterator[Target]:
    peer = next((peer for peer in PEERS if peer.name == name), None)
    if peer is None:
        rows = ", ".join(peer.name for peer in PEERS)
        raise Broken(f"it has no row in bench/peers.py, as these have: {rows}")
    venv = _installed(peer)
    port = free_port()
    config = stage.folder / f"{name}.yaml"
    values = {"port": str(port), "config": str(config), "upstream": stage.mock.url}
    config.write_text(peer.config.format(**values))
    program, *arguments = (part.format(**values) for part in peer.command)
    command = [str(venv / "bin" / program), *arguments]
    log = stage.folder / f"{name}.log"
    environment = {key: value.format(**values) for key, value in peer.environment.items()}
    with Process(command, log, stage.cores.server, environment) as process:
        target = Target(name, port, process)
        process.wait_for(target.url + peer.ready)
        yield target


def _installed(peer: Peer) -> Path:
    venv = ROOT / f".venv-bench-{peer.name}"
    if not (venv / "done").exists():
        _uv("venv", "--clear", str(venv))
        _uv("pip", "install", "--python", str(venv), peer.requirement)
        (venv / "done").touch()
    return venv


def _uv(*arguments: str) -> None:
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    try:
        said = subprocess.run(
            [uv, *arguments],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Broken(f"uv {arguments[0]}: {error}") from error
    if said.returncode:
        raise Broken(f"uv {arguments[0]}: {said.stderr.strip().splitlines()[-1]}")
