"""`ServerProcess` against a script of a few lines in the server's place."""

import os
import sys
import textwrap
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from support.server import KEY, ServerProcess

UPSTREAM = "http://127.0.0.1:9/v1"

PREAMBLE = """
    import os, signal, sys, threading
    def ready(stream=sys.stderr):
        print(f"chatkeep serves {UPSTREAM}", file=stream)
        print("Listening on http://127.0.0.1:4321 (Ctrl-C ends)", file=stream, flush=True)
    UPSTREAM = sys.argv[sys.argv.index("--upstream") + 1]
    print("arguments", sys.argv[1:], flush=True)
"""


def server(folder: Path, script: str, patience_s: float = PATIENCE_S) -> ServerProcess:
    path = folder / "fake.py"
    path.write_text(textwrap.dedent(PREAMBLE) + textwrap.dedent(script))
    return ServerProcess(
        folder, UPSTREAM, command=[sys.executable, str(path)], patience_s=patience_s
    )


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_server_that_ends_at_start_shows_its_stderr(tmp_path: Path) -> None:
    ended = server(tmp_path, "sys.exit(print('no such store', file=sys.stderr) or 3)")
    report = r"named no address \(exit code 3\)[^$]*no such store"
    with pytest.raises(AssertionError, match=report), ended:
        pass


def test_a_server_that_says_nothing_is_given_up_and_reaped(tmp_path: Path) -> None:
    silent = server(tmp_path, "threading.Event().wait()", patience_s=0.2)
    with pytest.raises(AssertionError, match="named no address"), silent:
        pass
    assert not is_running(silent.pid)


def test_a_server_deaf_to_sigterm_is_killed_and_reported(tmp_path: Path) -> None:
    script = "signal.signal(15, signal.SIG_IGN); ready(); threading.Event().wait()"
    with server(tmp_path, script) as deaf:
        deaf.patience_s = 0.2
        with pytest.raises(AssertionError, match="did not end"):
            deaf.terminate()
        assert not is_running(deaf.pid)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_address_is_read_from_either_stream(tmp_path: Path, stream: str) -> None:
    with server(tmp_path, f"ready(sys.{stream}); threading.Event().wait()") as process:
        assert process.url == "http://127.0.0.1:4321"
        assert is_running(process.pid)
    assert not is_running(process.pid)


def test_terminate_returns_the_exit_code_and_all_output(tmp_path: Path) -> None:
    script = """
        def end(*_):
            print("stored 3 more", file=sys.stderr)
            sys.exit(7)
        signal.signal(signal.SIGTERM, end)
        ready()
        while True: signal.pause()
    """
    with server(tmp_path, script) as process:
        assert process.terminate() == 7
        assert process.stderr.endswith("stored 3 more\n")


def test_kill9_gives_the_server_no_time_to_say_goodbye(tmp_path: Path) -> None:
    with server(tmp_path, "ready(); threading.Event().wait()") as process:
        process.kill9()
        assert process.wait() == -9


def test_children_the_server_left_behind_are_ended(tmp_path: Path) -> None:
    script = """
        import subprocess
        waits = "import threading; threading.Event().wait()"
        subprocess.Popen([sys.executable, "-c", waits])
        ready()
        threading.Event().wait()
    """
    with server(tmp_path, script) as process:
        process.kill9()
        process.stop()  # would fail: a living child holds the output open
    assert "Listening on" in process.stderr


def test_the_command_and_environment_are_the_servers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    monkeypatch.setenv("CHATKEEP_STORE", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", "src")
    script = """
        print([n for n in os.environ if n.startswith(("OPENAI_", "CHATKEEP_"))], flush=True)
        print("key", os.environ["CHATKEEP_KEY"], "in", os.getcwd(), flush=True)
        print("path", os.environ["PYTHONPATH"], flush=True)
        ready(sys.stdout)
        threading.Event().wait()
    """
    with server(tmp_path, script) as process:
        arguments, names, key, path, *_ = process.stdout.splitlines()
    store = f"sqlite:///{tmp_path}/chatkeep.db"
    expected = ["serve", "--port", "0", "--store", store, "--upstream", UPSTREAM]
    assert arguments == f"arguments {expected}"
    assert names == "['CHATKEEP_KEY']"
    assert key == f"key {KEY} in {tmp_path}"
    assert path == f"path {Path('src').resolve()}"


def test_a_failing_test_is_told_what_the_server_said(tmp_path: Path) -> None:
    script = "ready(); threading.Event().wait()"
    with pytest.raises(ZeroDivisionError) as failure, server(tmp_path, script):
        raise ZeroDivisionError
    assert "Listening on" in failure.value.__notes__[0]
