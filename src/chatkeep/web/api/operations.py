"""What operators ask: is it alive, is it ready, how does it fare, what does it offer."""

import msgspec

from chatkeep.core.ports.maintenance import Maintenance
from chatkeep.core.proxy.call import Response
from chatkeep.web.api import openapi
from chatkeep.web.metrics import CONTENT_TYPE, Metrics
from chatkeep.web.request import Request
from chatkeep.web.routes import OPERATIONS
from chatkeep.web.wire import json


class Operations:
    """One method an operation of the route table, by its name there."""

    def __init__(self, maintenance: Maintenance, metrics: Metrics, root_path: str) -> None:
        self._maintenance = maintenance
        self._metrics = metrics
        self._openapi = msgspec.json.encode(openapi.document(OPERATIONS, root_path))

    async def health(self, request: Request) -> Response:
        return json(b'{"status":"ok"}')

    async def ready(self, request: Request) -> Response:
        await self._maintenance.check()  # a refusal of the store's is the answer
        return json(b'{"status":"ready"}')

    async def metrics(self, request: Request) -> Response:
        return Response(200, ((b"content-type", CONTENT_TYPE.encode()),), self._metrics.text())

    async def openapi(self, request: Request) -> Response:
        return json(self._openapi)
