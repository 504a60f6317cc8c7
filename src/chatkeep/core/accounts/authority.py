"""Whose keys and projects somebody may see and change, and which rights they can hand on."""

from collections.abc import Iterable

from msgspec import Struct

from chatkeep.core.model.completion import Key, Project, ProjectId, Scope
from chatkeep.errors import ScopeMissing, UnusableValue


class Authority(Struct, frozen=True):
    """`project` is None for all of them; what is handed on ends at `expires_unix` at the latest."""

    scopes: frozenset[Scope]
    project: ProjectId | None = None
    expires_unix: int | None = None

    @property
    def is_root(self) -> bool:
        return "root" in self.scopes

    def reaches(self, project: Project) -> bool:
        return self.project is None or self.project == project.id

    def need(self, scopes: Iterable[Scope]) -> None:
        """Raises ScopeMissing for rights it has not itself."""
        for scope in sorted(scopes):
            if scope not in self.scopes and not self.is_root:
                raise ScopeMissing(scope=scope)

    def limit(self, expires_unix: int | None) -> None:
        """Raises UnusableValue when a key would outlive the one it comes from."""
        end = self.expires_unix
        if end is not None and (expires_unix is None or expires_unix > end):
            got = "never" if expires_unix is None else expires_unix
            raise UnusableValue("expires_at", got=got, give=f"{end} at most, when your key expires")


# Whoever has the command line has the store's file.
OPERATOR = Authority(frozenset({"root"}))


def of(key: Key) -> Authority:
    scopes = key.scopes
    project = None if "root" in scopes else key.project.id
    return Authority(scopes, project, key.expires_unix)
