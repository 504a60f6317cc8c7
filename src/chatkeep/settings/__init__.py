"""The only reader of the environment and of chatkeep.toml: one frozen struct.

A setting comes from the command line, else the environment (`CHATKEEP_` and its name in capitals),
else the file, else its default. Each field's sentence is in `SAYS`, from which the docs are made.
"""

import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from platformdirs import user_data_path

from chatkeep.core.accounts import masterkey
from chatkeep.core.proxy.call import OnDisconnect
from chatkeep.core.usage.prices import Price
from chatkeep.core.wire.query import did_you_mean
from chatkeep.errors import BadSetting
from chatkeep.settings.checks import origin_fault, proxy_fault
from chatkeep.settings.keyfiles import read_key
from chatkeep.settings.upstreams import LOOPBACK, UpstreamSetting

LogLevel = Literal["debug", "info", "warning", "error"]

_SECRETS = ("key", "upstream_key", "upstream", "encryption_key")
_LISTS = ("cors_origins", "trusted_proxies")
PREFIX = "CHATKEEP_"
_CONFIG = PREFIX + "CONFIG"
_OF_TESTS = PREFIX + "TEST_"  # variables of a test run, which may start servers
FILE = "chatkeep.toml"
_COMMAND_S = 60  # somebody may be asked for a passphrase


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a server. Some are secret, so it does not show them."""

    host: str = "127.0.0.1"
    port: int = 8787
    store: str = ""
    upstream_url: str | None = None
    upstream_key: str | None = None
    upstream: tuple[UpstreamSetting, ...] = ()
    discover: bool = True
    key: str | None = None
    encryption_key: str | None = None
    encryption_key_file: str | None = None
    encryption_key_command: str | None = None
    no_auth: bool = False
    on_disconnect: OnDisconnect = "cancel"
    max_body_bytes: int = 32 << 20
    max_answer_bytes: int = 64 << 20
    client_timeout_s: float = 60.0
    max_connections: int = 4096
    max_requests: int = 2000
    drain_s: float = 30.0
    cors_origins: tuple[str, ...] = ()
    root_path: str = ""
    trusted_proxies: tuple[str, ...] = ()
    price: tuple[Price, ...] = ()
    log_level: LogLevel = "info"

    def __repr__(self) -> str:
        return f"Settings(store={self.store!r})"


SAYS: dict[str, str] = {
    "host": "Address to listen on.",
    "port": "Port to listen on; 0 takes a free one.",
    "store": "Where completions are kept, as a store URL. Default: a file in your data directory.",
    "upstream_url": "Base URL of the OpenAI-compatible upstream, up to and including /v1.",
    "upstream_key": "API key for the upstream.",
    "upstream": "Several upstreams, as [[upstream]] tables of chatkeep.toml; see below.",
    "discover": "Look for a local model server when no upstream is given.",
    "key": "The root key to create at the first start, instead of a random one that is printed.",
    "encryption_key": "The key of an encrypted store, from `chatkeep encryption new-key`.",
    "encryption_key_file": "File that holds the key of an encrypted store.",
    "encryption_key_command": "Command that prints the key of an encrypted store; no shell.",
    "no_auth": "Answer without asking for a key; only on a loopback address.",
    "on_disconnect": "When a client leaves before its answer is finished: cancel the upstream call,"
    " or finish it and store the whole.",
    "max_body_bytes": "Largest request body accepted.",
    "max_answer_bytes": "Largest answer that is stored; larger ones pass without being kept.",
    "client_timeout_s": "Seconds a client may take for a request's head, and for each MiB of its"
    " body; ten times as long to read on in an answer.",
    "max_connections": "Connections served at a time, if open files allow; others get 503.",
    "max_requests": "Requests in progress at once, streams too; any more are answered 503"
    " with retry-after.",
    "drain_s": "Seconds that requests in progress get to finish at shutdown.",
    "cors_origins": "Origins of web pages that may call the API; * for any.",
    "root_path": "Path under which a proxy serves chatkeep, like /chatkeep.",
    "trusted_proxies": "Addresses of proxies whose X-Forwarded headers are believed.",
    "price": "What models cost, as [[price]] tables of chatkeep.toml; see below.",
    "log_level": "How much is logged to stderr; debug has a line for each request.",
}


def load(
    given: Mapping[str, Any], environ: Mapping[str, str] = os.environ, file: Path | None = None
) -> Settings:
    """The settings in force; values of `given` that are None count as not given.

    Raises BadSetting with the name, the value and what is wrong with it.
    """
    named = file or environ.get(_CONFIG) or None
    values = _from_file(None if named is None else Path(named))
    values.update(_from_environment(environ))
    values.update({name: value for name, value in given.items() if value is not None})
    values.setdefault("store", default_store())
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise BadSetting(_unusable(values, error)) from error
    return _checked(settings)


def _unusable(values: Mapping[str, Any], error: msgspec.ValidationError) -> str:
    named = re.search(r"at `\$\.(\w+)", str(error))
    name = named[1] if named else ""
    if name in values and name not in _SECRETS:
        return f"{name} is {values[name]!r}: {error}"
    return f"a setting cannot be used: {error}{_meant(str(error))}"


def _meant(error: str) -> str:
    """The name that was meant where a file has an unknown one; empty when none is near."""
    unknown = re.search(r"unknown field `(\w+)`(?: - at `\$\.(\w+))?", error)
    if unknown is None:
        return ""
    table = {"upstream": UpstreamSetting, "price": Price}.get(unknown[2], Settings)
    return "." * bool(hint := did_you_mean(unknown[1], table.__struct_fields__)) + hint


def default_store() -> str:
    return f"sqlite:///{quote(str(user_data_path('chatkeep') / 'chatkeep.db'))}"


def _from_file(file: Path | None) -> dict[str, Any]:
    path = file or Path(FILE)
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path} cannot be read as settings: {error}") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    names = {PREFIX + name.upper(): name for name in Settings.__struct_fields__}
    _check_variables(environ, (*names.values(), "config"))
    for variable, name in names.items():
        text = environ.get(variable)
        if text:
            # --upstream takes a URL, and so does the variable of its name.
            found["upstream_url" if name == "upstream" else name] = _listed(name, text)
    return found


def _check_variables(environ: Mapping[str, str], known: Collection[str]) -> None:
    """A mistyped variable would leave its setting at the default, and nobody would know."""
    for variable in environ:
        name = variable.removeprefix(PREFIX).lower()
        ours = name and variable.startswith(PREFIX) and not variable.startswith(_OF_TESTS)
        if ours and (name not in known or not variable.isupper()):
            hint = did_you_mean(name, known)
            meant = re.sub(r"'(\w+)'", lambda near: PREFIX + near[1].upper(), hint)
            raise BadSetting(f"the environment variable {variable} is no setting.{meant}")


def _listed(name: str, text: str) -> str | list[str]:
    if name not in _LISTS:
        return text
    return [item.strip() for item in text.split(",") if item.strip()]


def _checked(settings: Settings) -> Settings:
    if not 0 <= settings.port < 1 << 16:
        raise BadSetting(f"port is {settings.port}; give a number from 0 to 65535")
    if settings.no_auth and settings.host not in LOOPBACK:
        raise BadSetting(
            f"no_auth with host {settings.host!r} would open the store to the network; use it only"
            " with 127.0.0.1, ::1 or localhost"
        )
    for name in ("max_body_bytes", "max_answer_bytes", "max_connections", "max_requests"):
        if getattr(settings, name) < 1:
            raise BadSetting(f"{name} is {getattr(settings, name)}; give at least 1")
    if not 0 < settings.client_timeout_s < 1e6:
        raise BadSetting(
            f"client_timeout_s is {settings.client_timeout_s}; give a number of seconds above 0"
        )
    if not 0 <= settings.drain_s < 1e6:
        raise BadSetting(f"drain_s is {settings.drain_s}; give a number of seconds from 0 on")
    if settings.root_path and not re.fullmatch(r"(/[\w.~-]+)+", settings.root_path):
        raise BadSetting(f"root_path is {settings.root_path!r}; give a path like /chatkeep")
    _check_each("cors_origins", settings.cors_origins, origin_fault)
    _check_each("trusted_proxies", settings.trusted_proxies, proxy_fault)
    return settings


def _check_each(name: str, values: Iterable[str], fault: Callable[[str], str | None]) -> None:
    for value in values:
        if wrong := fault(value):
            raise BadSetting(f"{name} has {value!r}; {wrong}")


def encryption_key(settings: Settings) -> bytes | None:
    """The key the store is opened with, None for a plain one. Raises BadSetting."""
    given = [name for name in _ENCRYPTION_KEYS if getattr(settings, name) is not None]
    if len(given) > 1:
        raise BadSetting(f"{' and '.join(given)} are given; give one of them")
    if not given:
        return None
    return masterkey.parsed(_ENCRYPTION_KEYS[given[0]](getattr(settings, given[0])), given[0])


def _from_key_command(command: str) -> str:
    try:
        ran = subprocess.run(  # noqa: S603  # whoever sets it may run commands
            shlex.split(command) or [""], stdout=subprocess.PIPE, timeout=_COMMAND_S, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise BadSetting(f"encryption_key_command gives no key: {error}") from error
    return ran.stdout.decode("ascii", errors="replace")


_ENCRYPTION_KEYS: dict[str, Callable[[str], str]] = {
    "encryption_key": str,
    "encryption_key_file": partial(read_key, setting="encryption_key_file"),
    "encryption_key_command": _from_key_command,
}
