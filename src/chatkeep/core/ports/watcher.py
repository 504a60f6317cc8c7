"""Who is told what became of completions that were to be stored."""

from typing import Protocol

from chatkeep.core.model.completion import Status


class Watcher(Protocol):
    """Counts and logs."""

    def stored(self, status: Status) -> None:
        """A completion was stored, and how its call ended."""
        ...

    def not_stored(self, reason: str, error: Exception | None) -> None:
        """One was not: a word or two of why, and the error of the store if there was one."""
        ...
