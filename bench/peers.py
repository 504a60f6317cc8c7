"""Other servers of this kind, measured as references: each from PyPI, in a venv of its own.

Only those that BENCH_PEERS names are installed. To add one, add a row to PEERS. One that keeps
completions is asked to keep them, killed in the end, and asked for what it acknowledged.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from bench import samples
from bench.ledger import Ledger, missing
from bench.measure import Load
from bench.process import ROOT, Broken, Process, clean_environment, free_port
from bench.scenarios import Scenario
from bench.target import Stage, Target

_INSTALL_S = 600


class Peer(Struct, frozen=True):
    """`command` is run from the venv; {port}, {config}, {folder} and {upstream} are filled in
    everywhere.

    `ready` is the path that answers when it has started. `keeps` are the scenarios it can be given
    as chatkeep is; of the others it forwards. `python` is what uv is asked for.
    """

    name: str
    requirement: str
    command: tuple[str, ...]
    config: str
    ready: str
    environment: dict[str, str] = {}
    keeps: frozenset[str] = frozenset()
    python: str = ">=3.11"

    def load(self, scenario: Scenario, ledger: Ledger) -> Load | None:
        """What it is given; None for what it does not offer, or has no records for."""
        if scenario.name not in self.keeps:
            return scenario.reference if scenario.forwards else None
        return scenario.load if scenario.load.stores or ledger.records else None


class Started(Struct):
    """A peer that answers. `ledger` has what it acknowledged."""

    peer: Peer
    target: Target
    ledger: Ledger


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
# Its store of completions as its own distributions have it. "all" is a model's name without a
# provider's before it.
_OGX_MODELS = "".join(
    f"""\
  - model_id: {model}
    provider_id: all
    provider_model_id: {model}
    model_type: llm
    metadata: {{{{}}}}
"""
    for model in (samples.MODEL, samples.PACED)
)
_OGX_CONFIG = f"""\
version: 2
distro_name: bench
apis: [inference]
providers:
  inference:
  - provider_id: vllm
    provider_type: remote::vllm
    config:
      base_url: {{upstream}}/v1
      api_token: none
storage:
  backends:
    kv_default: {{{{type: kv_sqlite, db_path: {{folder}}/registry.db}}}}
    sql_default: {{{{type: sql_sqlite, db_path: {{folder}}/completions.db}}}}
  stores:
    metadata: {{{{namespace: registry, backend: kv_default}}}}
    inference:
      table_name: inference_store
      backend: sql_default
      max_write_queue_size: 10000
      num_writers: 4
    conversations: {{{{table_name: conversations, backend: sql_default}}}}
    prompts: {{{{table_name: prompts, backend: sql_default}}}}
registered_resources:
  models:
{_OGX_MODELS}server:
  host: 127.0.0.1
  port: {{port}}
"""
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
    # It has no keys unless a provider of them is set up, and cannot change or delete what it keeps.
    Peer(
        "ogx",
        "ogx==1.5.0",
        ("ogx", "run", "--insecure", "{config}"),
        _OGX_CONFIG,
        "/v1/health",
        {"HOME": "{folder}"},
        keeps=frozenset({"create", "latency", "stream", "paced", "retrieve", "retrieve-again"}),
        python=">=3.12",
    ),
)


@contextmanager
def peers(
    names: Sequence[str], stage: Stage, say: Callable[[str], None]
) -> Iterator[list[Started]]:
    """The named peers that could be installed and started; of the others `say` is told why not."""
    with ExitStack() as running:
        found = []
        for name in names:
            try:
                peer = _row(name)
                _install(peer)
                target = running.enter_context(_running(peer, stage))
            except Broken as error:
                say(f"{name}: not measured: {error}")
            else:
                found.append(Started(peer, target, Ledger()))
        yield found


def after_kill(started: Started, stage: Stage) -> str:
    """What it still has of what it acknowledged. Raises Broken."""
    peer, records = started.peer, started.ledger.records
    started.target.process.kill()
    with _running(peer, stage) as again:
        lost = missing(again.url, started.ledger)
    return f"{peer.name}: {len(records):,} acknowledged, {lost:,} missing after kill -9"


def _row(name: str) -> Peer:
    peer = next((peer for peer in PEERS if peer.name == name), None)
    if peer is None:
        rows = ", ".join(peer.name for peer in PEERS)
        raise Broken(f"it has no row in bench/peers.py, as these have: {rows}")
    return peer


@contextmanager
def _running(peer: Peer, stage: Stage) -> Iterator[Target]:
    folder = stage.folder / peer.name
    folder.mkdir(exist_ok=True)
    port, config = free_port(), folder / "config.yaml"
    values = {
        "port": str(port),
        "config": str(config),
        "folder": str(folder),
        "upstream": stage.mock.url,
    }
    config.write_text(peer.config.format(**values))
    program, *arguments = (part.format(**values) for part in peer.command)
    command = [str(_venv(peer) / "bin" / program), *arguments]
    log = stage.folder / f"{peer.name}.log"
    environment = {key: value.format(**values) for key, value in peer.environment.items()}
    with Process(command, log, stage.cores.server, environment) as process:
        target = Target(peer.name, port, process)
        process.wait_for(target.url + peer.ready)
        yield target


def _venv(peer: Peer) -> Path:
    return ROOT / f".venv-bench-{peer.name}"


def _install(peer: Peer) -> None:
    venv = _venv(peer)
    if not (venv / "done").exists():
        _uv("venv", "--clear", "--python", peer.python, str(venv))
        _uv("pip", "install", "--python", str(venv), peer.requirement)
        (venv / "done").touch()


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
