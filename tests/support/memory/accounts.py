"""Projects and keys in memory."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping

from msgspec.structs import replace
from support.memory.data import Data

from chatkeep.core.model.completion import Key, KeyId, Project, ProjectId, Scope
from chatkeep.errors import StoreFailed


class MemoryAccounts:
    def __init__(self, data: Data) -> None:
        self._data = data

    async def project(self, name: str) -> Project | None:
        every = self._data.projects.values()
        return next((project for project in every if project.name == name), None)

    async def projects(self) -> list[Project]:
        return list(self._data.projects.values())

    async def add_project(
        self, name: str, now_unix: int, change: Callable[[Project], Project]
    ) -> Project | None:
        if await self.project(name) is not None:
            return None
        made = change(self._new_project(name, now_unix))
        self._put_project(made)
        return made

    async def change_project(
        self, project: ProjectId, change: Callable[[Project], Project]
    ) -> Project | None:
        found = self._data.projects.get(project)
        if found is None:
            return None
        new = change(found)
        self._put_project(new)
        return new

    async def key(self, digest: bytes) -> Key | None:
        id = self._data.digests.get(digest)
        return None if id is None else self._key(id)

    async def key_of(self, id: KeyId, project: ProjectId | None = None) -> Key | None:
        found = self._key(id) if id in self._data.keys else None
        return found if found and project in (None, found.project.id) else None

    async def keys(self) -> list[Key]:
        return [self._key(id) for id in self._data.keys]

    async def add_key(
        self,
        project: str,
        digest: bytes,
        hint: str,
        scopes: frozenset[Scope],
        now_unix: int,
        *,
        name: str = "",
        expires_unix: int | None = None,
    ) -> Key:
        if digest in self._data.digests:
            raise StoreFailed(detail="there is a key with this digest")
        owner = await self.project(project) or self._new_project(project, now_unix)
        id = KeyId(len(self._data.keys) + 1)
        key = Key(id, owner, hint, scopes, now_unix, None, name, expires_unix)
        self._data.keys[id], self._data.digests[digest] = key, id
        self._put_project(owner)
        return key

    async def change_key(self, key: KeyId, change: Callable[[Key], Key]) -> Key | None:
        found = await self.key_of(key)
        if found is None:
            return None
        new = change(found)
        self._data.keys[key] = replace(found, name=new.name, expires_unix=new.expires_unix)
        self._data.keys_changed()
        return self._key(key)

    async def revoke_key(self, key: KeyId, now_unix: int) -> bool:
        found = self._data.keys.get(key)
        if found is None or found.revoked_unix is not None:
            return False
        self._data.keys[key] = replace(found, revoked_unix=now_unix)
        self._data.keys_changed()
        return True

    async def note_used(self, used: Mapping[KeyId, int]) -> None:
        for id in used.keys() & self._data.keys.keys():
            key = self._data.keys[id]
            latest = max(key.last_used_unix or 0, used[id])
            self._data.keys[id] = replace(key, last_used_unix=latest)

    async def changes(self) -> AsyncIterator[None]:
        seen = -1
        while True:
            if self._data.keys_version == seen:
                waiting = asyncio.get_running_loop().create_future()
                self._data.subscribers.append(waiting)
                await waiting
            seen = self._data.keys_version
            yield

    def _new_project(self, name: str, now_unix: int) -> Project:
        id = ProjectId(len(self._data.projects) + 1)
        return Project(id, name, secrets.token_bytes(32), now_unix)

    def _put_project(self, project: Project) -> None:
        self._data.projects[project.id] = project
        self._data.keys_changed()

    def _key(self, id: KeyId) -> Key:
        key = self._data.keys[id]
        return replace(key, project=self._data.projects[key.project.id])
