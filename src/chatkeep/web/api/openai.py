"""The endpoints of OpenAI's API: decode, call the core, encode."""

from chatkeep.core.forms import CHAT
from chatkeep.core.proxy.call import Call, Reply, Response
from chatkeep.core.proxy.create import Creator
from chatkeep.core.proxy.forward import Forward
from chatkeep.core.proxy.models import Models
from chatkeep.core.records.completions import Completions
from chatkeep.web.request import Request
from chatkeep.web.wire import json, shown


class Api:
    """One method an operation of the route table, by its name there."""

    def __init__(
        self,
        creator: Creator,
        forward: Forward,
        completions: Completions,
        models: Models,
        max_body: int,
    ) -> None:
        self._creator = creator
        self._forward = forward
        self._completions = completions
        self._models = models
        self._max_body = max_body

    async def create_completion(self, request: Request) -> Reply:
        return await self._creator.create(CHAT, await self._call(request))

    async def forward(self, request: Request) -> Reply:
        return await self._forward.call(await self._call(request), request.path.removeprefix("/v1"))

    async def list_completions(self, request: Request) -> Response:
        return json(await self._completions.page(request.key.project, request.query()))

    async def retrieve_completion(self, request: Request) -> Response:
        id = request.parameter("completion_id")
        return shown(await self._completions.retrieve(request.key.project, id))

    async def update_completion(self, request: Request) -> Response:
        body = await request.body(self._max_body)
        id = request.parameter("completion_id")
        if_match = request.header(b"if-match")
        return shown(await self._completions.update(request.key.project, id, body, if_match))

    async def delete_completion(self, request: Request) -> Response:
        id = request.parameter("completion_id")
        return json(await self._completions.delete(request.key.project, id))

    async def list_messages(self, request: Request) -> Response:
        id = request.parameter("completion_id")
        return json(await self._completions.messages(request.key.project, id, request.query()))

    async def list_models(self, request: Request) -> Response:
        return json(await self._models.list(request.key.project))

    async def retrieve_model(self, request: Request) -> Response:
        model = request.parameter("model")
        return json(await self._models.retrieve(model, request.key.project))

    async def _call(self, request: Request) -> Call:
        body = await request.body(self._max_body)
        request.expect_disconnect()
        return Call(request.key, body, request.headers, request.request_id, request.disconnect)
