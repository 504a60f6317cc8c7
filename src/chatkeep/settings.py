"""The only reader of the environment and of chatkeep.toml: one frozen struct.

A setting comes from the command line, else the environment (`CHATKEEP_` and its name in capitals),
else the file, else its default. Each field's sentence is in `SAYS`, from which the docs are made.
"""

import os
import re
import shlex
import subprocess
import tomllib
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit

import msgspec
from platformdirs import user_data_path

from chatkeep.core.accounts import masterkey
from chatkeep.core.accounts.keys import PREFIX as KEY_PREFIX
from chatkeep.core.proxy.call import OnDisconnect
from chatkeep.core.usage.prices import Price
from chatkeep.errors import BadSetting

LogLevel = Literal["debug", "info", "warning", "error"]

_SECRETS = ("key", "upstream_key", "upstream", "encryption_key")
_LISTS = ("cors_origins", "trusted_proxies")
PREFIX = "CHATKEEP_"
FILE = "chatkeep.toml"
_PORTS = {"http": 80, "https": 443}
_COMMAND_S = 60  # somebody may be asked for a passphrase
OPENAI = "https://api.openai.com/v1"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class UpstreamSetting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[upstream]]` of chatkeep.toml. The key is given in one of three ways, or not at all."""

    name: str
    base_url: str
    key: str | None = None
    key_env: str | None = None
    key_file: str | None = None
    auth_header: str = "authorization"
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    models: tuple[str, ...] = ("*",)
    model_names: dict[str, str] = {}
    keep_store: bool = False
    stream_usage: Literal["add", "leave"] = "add"
    pass_key: bool = False
    forward_headers: tuple[str, ...] = ()
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    answer_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 3600.0
    connect_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    fallbacks: tuple[str, ...] = ()


UPSTREAM_SAYS: dict[str, str] = {
    "name": "What it is called in answers, logs and figures.",
    "base_url": "Its base URL, up to and including /v1.",
    "key": "Its API key; better given by key_env or key_file.",
    "key_env": "Name of the environment variable that holds the key.",
    "key_file": "File that holds the key.",
    "auth_header": "Header the key goes in: authorization (as a bearer token), or e.g. api-key.",
    "headers": "Headers added to every call.",
    "query": "Query parameters added to every call, e.g. api-version.",
    "models": "Patterns of the models it serves, with * and ?; the first that fits serves.",
    "model_names": "Names it knows models by, where they differ from the callers' names.",
    "keep_store": "Send store and metadata up too, so that the upstream keeps it as well.",
    "stream_usage": "Whether to ask it for the usage of stored streams (add) or not (leave).",
    "pass_key": "Use the caller's own key from x-chatkeep-upstream-key, when given.",
    "forward_headers": "Further request headers of callers to pass on.",
    "timeout_s": "Seconds it may take to begin its answer, and then for its next bytes.",
    "answer_timeout_s": "Seconds that a whole answer may take.",
    "connect_timeout_s": "Seconds it may take to accept a connection.",
    "retries": "How often a call is repeated that failed before its first byte came.",
    "fallbacks": "Names of upstreams to try next when it cannot be reached.",
}


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
    named = file or environ.get(PREFIX + "CONFIG") or None
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
    return f"a setting cannot be used: {error}"


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
    for name in Settings.__struct_fields__:
        text = environ.get(PREFIX + name.upper())
        if text:
            # --upstream takes a URL, and so does the variable of its name.
            found["upstream_url" if name == "upstream" else name] = _listed(name, text)
    return found


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
    return settings


def encryption_key(settings: Settings) -> bytes | None:
    """The key the store is opened with, None for a plain one. Raises BadSetting."""
    given = [name for name in _ENCRYPTION_KEYS if getattr(settings, name) is not None]
    if len(given) > 1:
        raise BadSetting(f"{' and '.join(given)} are given; give one of them")
    if not given:
        return None
    return masterkey.parsed(_ENCRYPTION_KEYS[given[0]](getattr(settings, given[0])), given[0])


def _from_key_file(file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise BadSetting(f"encryption_key_file cannot be read: {error}") from error


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
    "encryption_key_file": _from_key_file,
    "encryption_key_command": _from_key_command,
}


def upstreams(
    settings: Settings, environ: Mapping[str, str] = os.environ
) -> tuple[UpstreamSetting, ...]:
    """The upstreams that were named, keys filled in; none when one is to be looked for.

    A URL given by flag or variable stands alone; else the tables of the file, else what the
    environment says for OpenAI's own clients, unless that is this server.
    """
    if settings.upstream_url is not None:
        only = UpstreamSetting(
            name=_host(settings.upstream_url),
            base_url=settings.upstream_url,
            key=settings.upstream_key,
        )
        return (_usable(only, environ),)
    if settings.upstream:
        _check_names(settings.upstream)
        return tuple(_usable(upstream, environ) for upstream in settings.upstream)
    return _of_openai(settings, environ)


def _check_names(upstreams: tuple[UpstreamSetting, ...]) -> None:
    names = [upstream.name for upstream in upstreams]
    for upstream in upstreams:
        if names.count(upstream.name) > 1:
            raise BadSetting(f"two upstreams have the name {upstream.name!r}")
        for fallback in upstream.fallbacks:
            if fallback not in names:
                raise BadSetting(
                    f"upstream {upstream.name!r} falls back on {fallback!r}, which is none of"
                    f" {', '.join(names)}"
                )


def _of_openai(settings: Settings, environ: Mapping[str, str]) -> tuple[UpstreamSetting, ...]:
    url, key = environ.get("OPENAI_BASE_URL") or None, environ.get("OPENAI_API_KEY") or None
    if key is not None and key.startswith(KEY_PREFIX):
        return ()  # a key of chatkeep's: these variables are set for calling us
    if (url is None and key is None) or (url is not None and _is_us(url, settings)):
        return ()
    base_url = url or OPENAI
    return (_usable(UpstreamSetting(name=_host(base_url), base_url=base_url, key=key), environ),)


def _is_us(url: str, settings: Settings) -> bool:
    host, port = _address(url, "OPENAI_BASE_URL")
    return host in (*LOOPBACK, settings.host) and port == settings.port


def _host(url: str) -> str:
    host, port = _address(url, "the upstream")
    return host if port in _PORTS.values() else f"{host}:{port}"


def _usable(upstream: UpstreamSetting, environ: Mapping[str, str]) -> UpstreamSetting:
    _address(upstream.base_url, f"upstream {upstream.name!r}")
    url, headers = _without_password(upstream.base_url)
    return msgspec.structs.replace(
        upstream,
        base_url=url.rstrip("/"),
        key=_key(upstream, environ),
        headers={**headers, **upstream.headers},
    )


def _without_password(url: str) -> tuple[str, dict[str, str]]:
    """A URL's `user:password@` as the header it stands for, so that it is shown nowhere."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    basic = b64encode(unquote(user).encode()).decode()
    return parts._replace(netloc=host).geturl(), {"authorization": f"Basic {basic}"}


def _address(url: str, of: str) -> tuple[str, int]:
    """Host and port of a base URL. Raises BadSetting."""
    try:
        parts = urlsplit(url)
        usual = _PORTS[parts.scheme]
        host, port = parts.hostname or "", parts.port or usual
    except (ValueError, KeyError):
        host, port = "", 0
    if not host:
        raise BadSetting(
            f"the base URL of {of} is {_shown(url)!r}; give one like https://api.openai.com/v1"
        )
    return host, port


def _shown(url: str) -> str:
    """A URL without the password it may hold."""
    scheme, mark, rest = url.rpartition("//")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def _key(upstream: UpstreamSetting, environ: Mapping[str, str]) -> str | None:
    if upstream.key_env is not None:
        key = environ.get(upstream.key_env)
        if not key:
            raise BadSetting(
                f"upstream {upstream.name!r} takes its key from the environment variable"
                f" {upstream.key_env}, which is not set"
            )
        return key
    if upstream.key_file is not None:
        try:
            return Path(upstream.key_file).expanduser().read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadSetting(f"the key of upstream {upstream.name!r}: {error}") from error
    return upstream.key
