"""The two examples that `serve` prints can be pasted whatever the model is called."""

import ast
import json
from pathlib import Path
from textwrap import dedent

import pytest
from cli.shell import run

from chatkeep.cli.banner import Ready, text

NAMES = [
    "gpt-4o-mini",
    "it's",
    'say "hi"',
    "$HOME and `id` and $(id)",
    "back\\slash",
    "Zoë/模型:latest",
    "{key}",
    "two\nlines",
]


def ready(model: str) -> Ready:
    return Ready(
        "http://127.0.0.1:1", "sqlite:///x.db", "one (http://u/v1)", model, True, "sk-ck-1"
    )


def example(model: str, title: str) -> str:
    """The lines below a title, to the next empty one or the end."""
    return text(ready(model)).partition(f"{title}:\n")[2].partition("\n\n")[0]


@pytest.mark.parametrize("model", NAMES)
def test_curl_sends_the_models_name_whatever_it_is(tmp_path: Path, model: str) -> None:
    # In place of curl: prints what it was called with, one argument a line as JSON.
    curl = 'curl() { python3 -c "import json, sys; print(json.dumps(sys.argv[1:]))" "$@"; }\n'
    ended = run(tmp_path, "bash", stdin=curl + dedent(example(model, "With curl")))
    assert (ended.code, ended.err) == (0, "")
    arguments = json.loads(ended.out)
    assert arguments[0] == "http://127.0.0.1:1/v1/chat/completions"
    assert "Authorization: Bearer sk-ck-1" in arguments
    assert json.loads(arguments[arguments.index("-d") + 1])["model"] == model


@pytest.mark.parametrize("model", NAMES)
def test_python_sends_the_models_name_whatever_it_is(model: str) -> None:
    tree = ast.parse(dedent(example(model, "With Python")))
    named = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    texts = [value.value for value in named if isinstance(value, ast.Constant)]
    assert model in texts
    assert "sk-ck-1" in texts
