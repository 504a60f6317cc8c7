"""The endpoints of keys and projects under /keep/v1."""

from collections.abc import Sequence
from typing import Any

import msgspec

from chatkeep.core.accounts import administration, authority, projects
from chatkeep.core.accounts.administration import Administration
from chatkeep.core.proxy.call import Response
from chatkeep.core.wire.body import fields_of
from chatkeep.web.request import Request
from chatkeep.web.wire import json


class AccountRoutes:
    """One method an operation of the route table, by its name there."""

    def __init__(self, accounts: Administration, max_body: int) -> None:
        self._accounts = accounts
        self._max_body = max_body

    async def list_keys(self, request: Request) -> Response:
        found = await self._accounts.keys(authority.of(request.key), request.query())
        return _list(list(map(administration.described, found)))

    async def create_key(self, request: Request) -> Response:
        given = await self._given(request, administration.CreateKey.__struct_fields__)
        own = request.key.project.name
        issued = await self._accounts.create_key(authority.of(request.key), own, given)
        shown = {**administration.described(issued.key), "key": issued.secret}
        return json(msgspec.json.encode(shown), (b"cache-control", b"no-store"))

    async def retrieve_key(self, request: Request) -> Response:
        id = request.parameter("key_id")
        return _one(
            administration.described(await self._accounts.key(authority.of(request.key), id))
        )

    async def change_key(self, request: Request) -> Response:
        given = await self._given(request, administration.ChangeKey.__struct_fields__)
        id = request.parameter("key_id")
        changed = await self._accounts.change_key(authority.of(request.key), id, given)
        return _one(administration.described(changed))

    async def revoke_key(self, request: Request) -> Response:
        id = request.parameter("key_id")
        revoked = await self._accounts.revoke_key(authority.of(request.key), id)
        return _one(administration.described(revoked))

    async def list_projects(self, request: Request) -> Response:
        found = await self._accounts.projects(authority.of(request.key))
        return _list(list(map(projects.described, found)))

    async def create_project(self, request: Request) -> Response:
        given = await self._given(request, administration.NEW_PROJECT)
        made = await self._accounts.create_project(authority.of(request.key), given)
        return _one(projects.described(made))

    async def retrieve_project(self, request: Request) -> Response:
        name = request.parameter("project")
        found = await self._accounts.project(authority.of(request.key), name)
        return _one(projects.described(found))

    async def change_project(self, request: Request) -> Response:
        given = await self._given(request, administration.PROJECT)
        name = request.parameter("project")
        changed = await self._accounts.change_project(authority.of(request.key), name, given)
        return _one(projects.described(changed))

    async def _given(self, request: Request, known: Sequence[str]) -> dict[str, Any]:
        return fields_of(await request.body(self._max_body), known)


def _one(described: dict[str, Any]) -> Response:
    return json(msgspec.json.encode(described))


def _list(described: list[dict[str, Any]]) -> Response:
    return json(msgspec.json.encode({"object": "list", "data": described}))
