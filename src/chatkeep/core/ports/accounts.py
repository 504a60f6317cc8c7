"""Projects and API keys, as they are kept."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from chatkeep.core.model.completion import Key, KeyId, Project, ProjectId, Scope


class Accounts(Protocol):
    """Holds projects and keys. Times are unix seconds.

    A change has been committed when its await returns. Every method raises StoreBusy when no more
    can be taken now, and StoreFailed when reading or changing failed; then nothing was changed. A
    Refusal that a `change` raises comes out here and leaves everything as it was.
    """

    async def project(self, name: str) -> Project | None:
        """The project of exactly this name."""
        ...

    async def projects(self) -> list[Project]:
        """All projects, in the order they were made."""
        ...

    async def add_project(
        self, name: str, now_unix: int, change: Callable[[Project], Project]
    ) -> Project | None:
        """A new project with the settings `change` gives it; None when the name is taken."""
        ...

    async def change_project(
        self, project: ProjectId, change: Callable[[Project], Project]
    ) -> Project | None:
        """The project with the settings `change` makes of those it has; None when there is none.

        Nothing else is changed in between.
        """
        ...

    async def key(self, digest: bytes) -> Key | None:
        """The key with this digest of its secret, revoked and expired ones included."""
        ...

    async def key_of(self, id: KeyId, project: ProjectId | None = None) -> Key | None:
        """The key with this number; None when another project than the one given has it."""
        ...

    async def keys(self) -> list[Key]:
        """All keys of all projects, in the order they were made."""
        ...

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
        """A new key of the project of that name, which is made when there is none.

        `digest` is of its secret, `hint` what may be shown of it. Raises StoreFailed when there is
        a key with the digest.
        """
        ...

    async def change_key(self, key: KeyId, change: Callable[[Key], Key]) -> Key | None:
        """The key with the name and expiry `change` makes of those it has; None when there is none.

        Nothing else of what `change` returns counts.
        """
        ...

    async def revoke_key(self, key: KeyId, now_unix: int) -> bool:
        """Ends a key. False when there is no such key or it was revoked before."""
        ...

    async def note_used(self, used: Mapping[KeyId, int]) -> None:
        """When keys were last used. An earlier time than the one known changes nothing."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Yields at once, and again within a second of any change of keys or projects, by whatever
        process: what was read before may be out of date. Changes close together may be told once.

        When a key was used is no change. Ends by StoreFailed when it cannot look; then ask anew.
        """
        ...
