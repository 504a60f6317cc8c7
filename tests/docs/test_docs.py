"""What the program has stands in its docs, and what the docs name is there."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from chatkeep import errors
from chatkeep.cli import main
from chatkeep.core.accounts.administration import KEYS
from chatkeep.core.accounts.projects import SETTINGS as PROJECT_SETTINGS
from chatkeep.core.accounts.projects import Setting as ProjectSetting
from chatkeep.core.model.completion import SCOPES
from chatkeep.core.records.facets import FACETS
from chatkeep.core.records.filters import MESSAGES, RECORDS
from chatkeep.core.records.stats import STATS
from chatkeep.core.usage.prices import PRICE_SAYS, Price
from chatkeep.settings import SAYS, Settings
from chatkeep.settings.upstreams import UPSTREAM_SAYS, UpstreamSetting
from chatkeep.web.routes import OPERATIONS, Operation

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
API, CLI, SETTINGS, KEYS_PAGE = (
    (ROOT / f"docs/{name}.md").read_text() for name in ("api", "cli", "settings", "keys")
)
EXIT_CODES = "0 ok, 1 failed, 2 wrong usage, 3 some items failed, 4 not authorised, 130 interrupted"
OUR_HEADER = re.compile(r"""["'](x-chatkeep-[a-z-]+)["']""")
BETWEEN_SERVERS = {"x-chatkeep-hop"}  # clients neither send nor get it
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED_PATH = re.compile(r"`(?:[A-Z]+ )?(/(?:v1|keep/v1)/[^`\s]*)`")


def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}")


COMMANDS = dict(commands(main, "chatkeep"))


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_is_documented(name: str) -> None:
    variable = "" if name in ("upstream", "price") else f"`CHATKEEP_{name.upper()}`"
    assert f"| `{name}` | {variable} |" in SETTINGS
    assert f"| {SAYS[name]} |" in SETTINGS


@pytest.mark.parametrize("name", UpstreamSetting.__struct_fields__)
def test_every_setting_of_an_upstream_is_documented(name: str) -> None:
    assert f"| `{name}` |" in SETTINGS
    assert f"| {UPSTREAM_SAYS[name]} |" in SETTINGS


@pytest.mark.parametrize("setting", PROJECT_SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_of_a_project_is_documented(setting: ProjectSetting) -> None:
    row = f"| `{setting.name}` | {setting.kind.give} | `{setting.scope}` | {setting.says} |"
    assert row in KEYS_PAGE


@pytest.mark.parametrize("name", Price.__struct_fields__)
def test_every_setting_of_a_price_is_documented(name: str) -> None:
    assert f"| `{name}` | {PRICE_SAYS[name]} |" in SETTINGS


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_is_documented(path: str) -> None:
    shown = documented_help(path)
    command = COMMANDS[path]
    assert command.help
    assert command.help in shown
    options = [name for param in command.params for name in param.opts if name.startswith("-")]
    assert [name for name in options if f"  {name} " not in shown] == []


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_in_the_docs_is_what_the_command_prints(path: str) -> None:
    name, *arguments = path.split(" ")
    arguments.append("--help")
    # Click leaves two of a terminal's 80 columns free.
    printed = CliRunner().invoke(main, arguments, prog_name=name, terminal_width=78)
    assert printed.output.splitlines() == documented_help(path).splitlines()


def documented_help(path: str) -> str:
    return CLI.partition(f"$ {path} --help\n")[2].partition("```")[0]


def test_the_exit_codes_are_documented() -> None:
    assert EXIT_CODES in " ".join(CLI.split())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_every_operation_is_documented(operation: Operation) -> None:
    scope = f"`{operation.scope}`" if operation.scope else "none"
    assert f"| `{operation.method} {operation.path}` | {scope} | {operation.summary} |" in API


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_is_documented(scope: str) -> None:
    assert f"`{scope}`" in API
    assert f"| `{scope}` |" in KEYS_PAGE


@pytest.mark.parametrize(
    ("section", "name", "says"),
    [
        *(("## Listing completions", entry.name, entry.says) for entry in RECORDS),
        *(("## Facets", entry.name, entry.says) for entry in FACETS[:1]),
        *(("## Figures", entry.name, entry.says) for entry in STATS),
        *(("## Listing messages", entry.name, entry.says) for entry in MESSAGES),
        *(("## Listing keys", entry.name, entry.says) for entry in KEYS),
    ],
)
def test_every_filter_is_documented(section: str, name: str, says: str) -> None:
    text = API.partition(f"{section}\n")[2].partition("\n## ")[0]
    assert f"| `{name}` | {says} |" in text


@pytest.mark.parametrize("error", errors.Refusal.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_error_is_documented(error: type[errors.Refusal]) -> None:
    code = f"`{error.code}`" if error.code else "null"
    text = error.text.replace("|", "\\|")
    assert f"| {error.status} | `{error.type}` | {code} | {text} |" in API


def test_every_header_of_ours_is_documented() -> None:
    sources = [file.read_text() for file in (ROOT / "src").rglob("*.py")]
    headers = {name for source in sources for name in OUR_HEADER.findall(source)}
    assert len(headers) > 5
    assert [name for name in headers - BETWEEN_SERVERS if f"`{name}" not in API] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_is_named_is_an_operation(page: Path) -> None:
    named = {path for text in NAMED_PATH.findall(page.read_text()) for path in spelled_out(text)}
    known = {unnamed(operation.path) for operation in OPERATIONS}
    assert sorted(path for path in named if unnamed(path) not in known) == []


def unnamed(path: str) -> str:
    return re.sub(r"\{[^{}]*\}", "{}", path)


def spelled_out(path: str) -> Iterator[str]:
    """`/a/{b,c}` as `/a/b` and `/a/c`."""
    parts = re.split(r"\{([^{}]*,[^{}]*)\}", path)
    for chosen in product(*(part.split(",") if i % 2 else [part] for i, part in enumerate(parts))):
        yield "".join(chosen)


@pytest.mark.parametrize("columns", ["80", "200"])
def test_the_generated_tables_are_current_however_wide_the_terminal(columns: str) -> None:
    names = [str(page.relative_to(ROOT)) for page in PAGES]
    checked = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", *names],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": columns},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("settings", "settings"),
        ("settings", "upstream_settings"),
        ("settings", "price_settings"),
        ("api", "operations"),
        ("api", "list_filters"),
        ("api", "record_filters"),
        ("api", "message_filters"),
        ("api", "conversation_filters"),
        ("api", "key_filters"),
        ("api", "facets_filters"),
        ("api", "stats_filters"),
        ("api", "refusals"),
        ("keys", "project_settings"),
    ],
)
def test_every_table_stands_in_its_page(page: str, table: str) -> None:
    assert getattr(tables(), table)() in (ROOT / "docs" / f"{page}.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not leads_somewhere(page, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or anchor in anchors(target)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of its headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_promise_of_security_names_tests_that_are_there() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(tests/[\w/.]+)`", text))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
