"""The upstreams of a server as its settings name them, keys filled in."""

import os
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from chatkeep.core.accounts.keys import PREFIX as KEY_PREFIX
from chatkeep.errors import BadSetting
from chatkeep.settings.keyfiles import read_key

if TYPE_CHECKING:
    from chatkeep.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
OPENAI = "https://api.openai.com/v1"
_PORTS = {"http": 80, "https": 443}


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


def named_upstreams(
    settings: "Settings", environ: Mapping[str, str] = os.environ
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


def _of_openai(settings: "Settings", environ: Mapping[str, str]) -> tuple[UpstreamSetting, ...]:
    url, key = environ.get("OPENAI_BASE_URL") or None, environ.get("OPENAI_API_KEY") or None
    if key is not None and key.startswith(KEY_PREFIX):
        return ()  # a key of chatkeep's: these variables are set for calling us
    if (url is None and key is None) or (url is not None and _is_us(url, settings)):
        return ()
    base_url = url or OPENAI
    return (_usable(UpstreamSetting(name=_host(base_url), base_url=base_url, key=key), environ),)


def _is_us(url: str, settings: "Settings") -> bool:
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
        return read_key(upstream.key_file, f"the key of upstream {upstream.name!r}").strip()
    return upstream.key
