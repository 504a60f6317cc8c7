"""Files of the project that nothing else reads: what is pinned, and what is not named."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HIDDEN = {".ci", ".github", ".gitignore"}  # the hidden ones that belong to the project
REQUIREMENTS = sorted(ROOT.glob("requirements/*.txt"))
# Which registry packages come from is the machine's business: an environment may have its own.
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|anaconda\.org|npmjs\.(?:org|com)|yarnpkg\.com|crates\.io"
    r"|rubygems\.org|(?:proxy|sum)\.golang\.org|docker\.io|docker\.com|ghcr\.io|quay\.io|gcr\.io"
    r"|jsdelivr\.net|unpkg\.com|huggingface\.co|jfrog\.io"
)
PINNED = re.compile(
    r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,-]+\])?==[0-9][^\s;]*( ; \S.*?)?( --hash=sha256:[0-9a-f]{64})+"
)
MADE_HERE = {"__pycache__", "node_modules"}


def files() -> Iterator[Path]:
    """What is or would be tracked: no environments, caches or other things made here."""
    for top in ROOT.iterdir():
        if top.name.startswith(".") and top.name not in HIDDEN:
            continue
        yield from (file for file in ([top] if top.is_file() else top.rglob("*")) if is_text(file))


def is_text(file: Path) -> bool:
    return file.is_file() and MADE_HERE.isdisjoint(file.parts) and b"\0" not in head(file)


def head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(8000)


def test_no_file_names_a_package_registry() -> None:
    named = [
        (str(file.relative_to(ROOT)), found)
        for file in files()
        for found in REGISTRY.findall(file.read_text(errors="replace"))
    ]
    assert named == []


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_every_requirement_is_pinned_with_a_hash(file: Path) -> None:
    text = re.sub(r"\\\n\s*", "", file.read_text())  # a line each
    lines = [line for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]
    assert lines
    assert [line[:80] for line in lines if not PINNED.fullmatch(line)] == []


def test_every_dependency_of_the_project_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"]
    pinned = (ROOT / "requirements" / "runtime.txt").read_text()
    names = [re.split(r"[<>=~! ]", want)[0] for want in wanted]
    assert [name for name in names if f"\n{name}==" not in pinned] == []


def test_ci_runs_what_make_runs_and_forbids_skips() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^make (.+)$", text, re.MULTILINE) == ["lint", "test"]
    assert "CHATKEEP_TEST_FORBID_SKIPS=1" in text
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
