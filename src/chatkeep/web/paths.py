"""Finds what answers a path of the route table: `{name}` is a part, `{name:path}` all the rest."""

import re
from collections.abc import Awaitable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")


def routed(applications: Mapping[str, ASGIApp], unknown: ASGIApp) -> ASGIApp:
    """Hands requests on, with the parameters of their path in the scope."""
    plain = {path: app for path, app in applications.items() if "{" not in path}
    others = [(_pattern(path), app) for path, app in applications.items() if "{" in path]

    def route(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path = scope.get("path", "")
        app = plain.get(path)
        if app is None:
            app = unknown
            for pattern, one in others:
                found = pattern.fullmatch(path)
                if found is not None:
                    scope["path_params"] = found.groupdict()
                    app = one
                    break
        return app(scope, receive, send)

    return route


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(PARAMETER.sub(_group, path))


def _group(parameter: re.Match[str]) -> str:
    wanted = ".*" if ":" in parameter[0] else "[^/]+"
    return f"(?P<{parameter[1]}>{wanted})"
