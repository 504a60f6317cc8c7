"""The tables of the docs, made from the data that the program itself uses. Run by cog."""

import click

from chatkeep import errors
from chatkeep.cli import main
from chatkeep.core.accounts.administration import KEYS
from chatkeep.core.accounts.projects import SETTINGS
from chatkeep.core.records.facets import FACETS
from chatkeep.core.records.filters import CONVERSATION, LIST, MESSAGES, RECORDS
from chatkeep.core.records.stats import STATS
from chatkeep.core.usage.prices import PRICE_SAYS
from chatkeep.core.wire.query import Filter
from chatkeep.settings import SAYS, Settings
from chatkeep.settings.upstreams import UPSTREAM_SAYS, UpstreamSetting
from chatkeep.web.routes import OPERATIONS


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def settings() -> str:
    rows = []
    for name, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True):
        variable = "" if name in ("upstream", "price") else f"`CHATKEEP_{name.upper()}`"
        shown = "" if default in (None, "", ()) else f"`{_toml(default)}`"
        rows.append((f"`{name}`", variable, shown, SAYS[name]))
    return _table(("setting", "variable", "default", "what it is"), rows)


def upstream_settings() -> str:
    names = UpstreamSetting.__struct_fields__
    defaults = UpstreamSetting(name="", base_url="")
    rows = []
    for name in names:
        default = getattr(defaults, name)
        shown = "" if default in (None, "", ()) or default == {} else f"`{_toml(default)}`"
        rows.append((f"`{name}`", shown, UPSTREAM_SAYS[name]))
    return _table(("setting", "default", "what it is"), rows)


def price_settings() -> str:
    rows = [(f"`{name}`", says) for name, says in PRICE_SAYS.items()]
    return _table(("setting", "what it is"), rows)


def operations() -> str:
    rows = [
        (f"`{o.method} {o.path}`", f"`{o.scope}`" if o.scope else "none", o.summary)
        for o in OPERATIONS
    ]
    return _table(("operation", "scope", "what it does"), rows)


def list_filters() -> str:
    return _filters(LIST)


def record_filters() -> str:
    return _filters(tuple(entry for entry in RECORDS if entry not in LIST))


def facets_filters() -> str:
    return _filters(FACETS[:1])


def stats_filters() -> str:
    return _filters(STATS)


def message_filters() -> str:
    return _filters(MESSAGES)


def conversation_filters() -> str:
    return _filters(CONVERSATION)


def key_filters() -> str:
    return _filters(KEYS)


def project_settings() -> str:
    rows = [
        (f"`{setting.name}`", setting.kind.give, f"`{setting.scope}`", setting.says)
        for setting in SETTINGS
    ]
    return _table(("setting", "value", "needs", "what it is"), rows)


def _filters(table: tuple[Filter, ...]) -> str:
    return _table(
        ("parameter", "what it does"), [(f"`{entry.name}`", entry.says) for entry in table]
    )


def refusals() -> str:
    rows = []
    for error in sorted(errors.Refusal.__subclasses__(), key=lambda error: error.status):
        code = f"`{error.code}`" if error.code else "null"
        rows.append((str(error.status), f"`{error.type}`", code, error.text))
    return _table(("status", "type", "code", "message"), rows)


def commands() -> str:
    return "\n\n".join(_help(main, "chatkeep"))


def _help(command: click.Command, path: str) -> list[str]:
    usual = ["-h", "--help"]
    with click.Context(
        command, info_name=path, terminal_width=78, help_option_names=usual
    ) as context:
        shown = [f"```\n$ {path} --help\n{command.get_help(context)}\n```"]
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            shown += _help(inner, f"{path} {name}")
    return shown


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    return str(value)
