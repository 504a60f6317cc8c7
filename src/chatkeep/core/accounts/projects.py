"""The settings of a project, as one table: API, command line and docs are derived from it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from chatkeep.core.model.completion import Project, Scope
from chatkeep.core.wire.body import shown
from chatkeep.errors import UnusableValue

NAME_LENGTH = 64
_UPSTREAM_LENGTH = 255  # it may be a host's name
_MOST = 1_000_000_000
_UNSET = ("none", "null")  # on the command line


class Kind(NamedTuple):
    """A type of setting: which JSON values it takes, how it is written on a command line."""

    takes: Callable[[Any], bool]
    parse: Callable[[str], Any]
    schema: dict[str, Any]
    give: str


class Setting(NamedTuple):
    """One setting of a project; `scope` is what a key needs to change it."""

    name: str
    kind: Kind
    scope: Scope
    says: str


def _flag(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _number(text: str) -> Any:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text


def _names(text: str) -> Any:
    return [name.strip() for name in text.split(",") if name.strip()]


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MOST


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and _shows(name) for name in value)


def _shows(name: str) -> bool:
    return name.isprintable() and 0 < len(name) <= _UPSTREAM_LENGTH


FLAG = Kind(
    lambda value: isinstance(value, bool), _flag, {"type": ["boolean", "null"]}, "true or false"
)
COUNT = Kind(
    _is_count,
    _number,
    {"type": ["integer", "null"], "minimum": 1, "maximum": _MOST},
    f"a whole number from 1 to {_MOST}",
)
NAMES = Kind(
    _is_names,
    _names,
    {"type": ["array", "null"], "items": {"type": "string"}},
    "a list of names of upstreams",
)

# What the installation grants a project is not for the project's own keys to change.
SETTINGS: tuple[Setting, ...] = (
    Setting(
        "store_by_default",
        FLAG,
        "admin",
        "Keep completions whose request says nothing of store; store: false is always obeyed.",
    ),
    Setting(
        "full_text",
        FLAG,
        "admin",
        "Make what is kept from now on searchable by its words.",
    ),
    Setting(
        "retain_days",
        COUNT,
        "admin",
        "Days after which completions are deleted; for ever when not set.",
    ),
    Setting(
        "retain_body_days",
        COUNT,
        "admin",
        "Days after which requests and answers are deleted while metadata and figures stay.",
    ),
    Setting(
        "upstreams",
        NAMES,
        "root",
        "The upstreams calls may go to; models of others do not exist. All when not set.",
    ),
    Setting(
        "max_concurrent",
        COUNT,
        "root",
        "Model calls in progress at a time.",
    ),
    Setting(
        "requests_per_minute",
        COUNT,
        "root",
        "Model calls a minute.",
    ),
    Setting(
        "key_max_concurrent",
        COUNT,
        "admin",
        "Model calls in progress at a time for each key.",
    ),
    Setting(
        "key_requests_per_minute",
        COUNT,
        "admin",
        "Model calls a minute for each key.",
    ),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Project)}

Change = Callable[[Project], Project]


def changed(given: Mapping[str, Any]) -> Change:
    """What sets these values; null gives a setting its default back. Raises UnusableValue."""
    new = {name: _value(BY_NAME[name], value) for name, value in given.items()}
    return lambda project: msgspec.structs.replace(project, **new)


def parsed(name: str, text: str) -> Any:
    """A value as the command line writes it; `changed` says whether it can be used."""
    return None if text in _UNSET else BY_NAME[name].kind.parse(text)


def usable_name(name: str) -> bool:
    """Whether a project can have this name: one to show, and to stand in a URL."""
    plain = name.isprintable() and "/" not in name and name == name.strip()
    return plain and 0 < len(name) <= NAME_LENGTH and name.strip(".") != ""


def checked_name(name: Any) -> str:
    """Raises UnusableValue."""
    if not isinstance(name, str) or not usable_name(name):
        give = f"1 to {NAME_LENGTH} printable characters without / and without spaces at the ends"
        raise UnusableValue("name", got=shown(name), give=give)
    return name


def shorter(before: Project, after: Project) -> Sequence[str]:
    """The settings by whose change what is kept now will be deleted sooner."""
    return [
        name
        for name in ("retain_days", "retain_body_days")
        if _days(getattr(after, name)) < _days(getattr(before, name))
    ]


def described(project: Project) -> dict[str, Any]:
    """A project as API and command line show it."""
    settings = {setting.name: getattr(project, setting.name) for setting in SETTINGS}
    head = {"object": "project", "name": project.name, "created_at": project.created_unix}
    return {**head, **settings}


def _value(setting: Setting, value: Any) -> Any:
    if value is None:
        return _DEFAULTS[setting.name]
    if not setting.kind.takes(value):
        give = f"{setting.kind.give}, or null to unset it"
        raise UnusableValue(setting.name, got=shown(value), give=give)
    return tuple(value) if isinstance(value, list) else value


def _days(value: int | None) -> int:
    return _MOST + 1 if value is None else value
