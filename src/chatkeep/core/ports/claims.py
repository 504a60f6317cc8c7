"""Idempotency keys: who works on a request, and which record answered it."""

from typing import NamedTuple, Protocol

from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import Name


class Claim(NamedTuple):
    """An idempotency key and the request it was sent with, as digests; `owner` works on it."""

    key: bytes
    request: bytes
    owner: bytes


class ClaimState(NamedTuple):
    """Who has an idempotency key: we (`mine`), nobody's request but another body's (`other_body`),
    the record that answered it (`answered`), or, with none of them, another call in progress.
    """

    mine: bool = False
    other_body: bool = False
    answered: Name | None = None


class Claims(Protocol):
    """Holds idempotency keys, each in its project: a lease of 30 s while a call is in progress, and
    for a day the record that answered it (`Records.insert` says which).

    A change has been committed when its await returns. Every method raises StoreBusy when no more
    can be taken now, and StoreFailed when the change failed; then nothing was changed.
    """

    async def claim(self, project: Project, claim: Claim, now_unix: int) -> ClaimState:
        """Takes a key for the claim's owner at a unix second, or says who has it.

        A key is free when nobody has it, its lease has run out, its day is over, or the record that
        answered it has been deleted. Its owner may take it again.
        """
        ...

    async def renew(self, project: Project, claim: Claim, now_unix: int) -> None:
        """Lets the lease begin anew at a unix second; nothing when the owner has lost the key."""
        ...

    async def release(self, project: Project, claim: Claim) -> None:
        """Gives back a key that was not answered; nothing when the owner has lost it."""
        ...
