"""The endpoints of our own API under /keep/v1."""

import time

import msgspec

from chatkeep.core.ports.records import Records
from chatkeep.core.ports.usage import UsageLedger
from chatkeep.core.proxy.call import Response
from chatkeep.core.proxy.models import Models
from chatkeep.core.records.bulk import bulk
from chatkeep.core.records.completions import Completions
from chatkeep.core.records.facets import facets
from chatkeep.core.records.stats import stats
from chatkeep.core.wire.headers import value
from chatkeep.web.request import Request
from chatkeep.web.wire import json, shown


class Keep:
    """One method an operation of the route table, by its name there."""

    def __init__(
        self,
        records: Records,
        ledger: UsageLedger,
        completions: Completions,
        models: Models,
        max_body: int,
    ) -> None:
        self._records = records
        self._ledger = ledger
        self._completions = completions
        self._models = models
        self._max_body = max_body

    async def list_records(self, request: Request) -> Response:
        return json(await self._completions.records(request.key.project, request.query()))

    async def bulk_completions(self, request: Request) -> Response:
        body = await request.body(self._max_body)
        project = request.key.project
        return json(await bulk(self._records, self._completions, project, body, time.monotonic))

    async def merge_metadata(self, request: Request) -> Response:
        body = await request.body(self._max_body)
        id = request.parameter("completion_id")
        if_match = request.header(b"if-match")
        return shown(await self._completions.merge(request.key.project, id, body, if_match))

    async def conversation(self, request: Request) -> Response:
        id = request.parameter("completion_id")
        return json(await self._completions.conversation(request.key.project, id, request.query()))

    async def attachment(self, request: Request) -> Response:
        id, part = request.parameter("completion_id"), request.parameter("part")
        found = await self._completions.attachment(request.key.project, id, part)
        # Whoever sent it may be anybody: no browser runs it, whatever it is.
        headers = (
            (b"content-type", value(found.picture or "application/octet-stream")),
            (b"content-disposition", b"inline" if found.picture else b"attachment"),
            (b"content-security-policy", b"sandbox"),
            (b"x-content-type-options", b"nosniff"),
        )
        return Response(200, headers, found.content)

    async def raw_request(self, request: Request) -> Response:
        id = request.parameter("completion_id")
        return json(await self._completions.raw_request(request.key.project, id))

    async def raw_answer(self, request: Request) -> Response:
        id = request.parameter("completion_id")
        return json(await self._completions.raw_answer(request.key.project, id))

    async def facets(self, request: Request) -> Response:
        return json(await facets(self._records, request.key.project, request.query()))

    async def stats(self, request: Request) -> Response:
        return json(await stats(self._ledger, request.key.project, request.query()))

    async def list_upstreams(self, request: Request) -> Response:
        found = await self._models.health(time.monotonic, request.key.project)
        return json(msgspec.json.encode({"data": found}))
