"""The other model calls: forwarded as they are to the upstream of their model, never stored."""

import re

from chatkeep.core.json import spans
from chatkeep.core.ports.upstream import Route, Upstreams
from chatkeep.core.proxy import routing
from chatkeep.core.proxy.call import Call, Caller, Reply
from chatkeep.errors import Refusal

_BOUNDARY = re.compile(rb'boundary=(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)
_NAMED_MODEL = re.compile(
    rb'content-disposition:[^\r\n]*;\s*name=(?:"model"|model)\s*(?:;|\r|$)', re.I
)
_PART_HEAD = 1024


class Forward:
    """Hands calls on by the `model` of their JSON or form body; without one to the first upstream.

    The model's name is changed for the upstream in JSON bodies only.
    """

    def __init__(self, caller: Caller, upstreams: Upstreams) -> None:
        self._caller = caller
        self._upstreams = upstreams

    async def call(self, call: Call, path: str) -> Reply:
        """Raises what reaching the upstream fails with."""
        model = _model(call)
        routes = routing.routes(self._upstreams, call.key.project, model)
        answered = await self._caller.send(
            call, path, path[1:], model, routes, lambda route: _body(call, route)
        )
        return self._caller.passed(call, answered, None)


def _model(call: Call) -> str:
    kind = call.headers.get(b"content-type", b"")
    if kind.lower().startswith(b"multipart/form-data"):
        return _form_model(call.body, kind)
    try:
        model = spans.loads(spans.fields(call.body).get("model", b"null"))
    except Refusal:
        return ""  # the upstream says what is wrong with it
    return model if isinstance(model, str) else ""


def _form_model(body: bytes, kind: bytes) -> str:
    """The value of the form's field `model`, empty when there is none."""
    boundary = _BOUNDARY.search(kind)
    if boundary is None:
        return ""
    for part in body.split(b"--" + (boundary[1] or boundary[2])):
        end = part.find(b"\r\n\r\n", 0, _PART_HEAD)
        if end >= 0 and _NAMED_MODEL.search(part[:end]):
            return part[end + 4 :].removesuffix(b"\r\n").decode("utf-8", "replace")
    return ""


def _body(call: Call, route: Route) -> bytes:
    if route.model is None or not call.body.lstrip().startswith(b"{"):
        return call.body
    name = spans.dumps(route.model)
    members = spans.members(call.body)
    return spans.edited(call.body, [(m.value, m.end, name) for m in members if m.key == "model"])
