"""The other model calls: forwarded as they are to the upstream of their model, never stored."""

import re

from chatkeep.core import jsonspan
from chatkeep.core.calling import Call, Caller, Reply
from chatkeep.core.ports import Route, Upstreams
from chatkeep.errors import Refusal

_FORM_MODEL = re.compile(
    rb'content-disposition:[^\r\n]*;\s*name="?model"?[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)\r\n',
    re.IGNORECASE,
)


class Forward:
    """Hands calls on by the `model` of their JSON or form body; without one to the first upstream.

    The model's name is changed for the upstream in JSON bodies only.
    """

    def __init__(self, caller: Caller, upstreams: Upstreams) -> None:
        self._caller = caller
        self._upstreams = upstreams

    async def call(self, call: Call, path: str) -> Reply:
        """Raises what reaching the upstream fails with."""
        routes = self._upstreams.routes(_model(call))
        answered = await self._caller.send(call, path, routes, lambda route: _body(call, route))
        return self._caller.passed(call, answered, None)


def _model(call: Call) -> str:
    if call.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        found = _FORM_MODEL.search(call.body)
        return "" if found is None else found[1].decode("utf-8", "replace")
    try:
        model = jsonspan.loads(jsonspan.fields(call.body).get("model", b"null"))
    except Refusal:
        return ""  # the upstream says what is wrong with it
    return model if isinstance(model, str) else ""


def _body(call: Call, route: Route) -> bytes:
    if route.model is None or not call.body.lstrip().startswith(b"{"):
        return call.body
    name = jsonspan.dumps(route.model)
    members = jsonspan.members(call.body)
    return jsonspan.edited(call.body, [(m.value, m.end, name) for m in members if m.key == "model"])
