"""Idempotency keys: who has one, and for how long."""

from typing import NamedTuple

from chatkeep.core.model.ids import Name
from chatkeep.core.ports.claims import Claim, ClaimState

LEASE_S = 30
REMEMBERED_S = 24 * 3600


class Held(NamedTuple):
    """A key as it is kept; times are unix seconds.

    `answered` is the record that answered it, as long as that record stands where it stood;
    `was_answered` says that there has been one.
    """

    request: bytes
    owner: bytes
    leased_until: int
    expires: int
    was_answered: bool
    answered: Name | None


class Term(NamedTuple):
    """Until when a key is leased, and until when it is remembered; unix seconds."""

    leased_until: int
    expires: int


def term(now_unix: int) -> Term:
    return Term(now_unix + LEASE_S, now_unix + REMEMBERED_S)


def state(held: Held | None, claim: Claim, now_unix: int) -> ClaimState:
    """Who has the key; the claim takes it for a new term when that is `mine`."""
    if held is None or held.expires <= now_unix:
        return ClaimState(mine=True)
    leased = held.leased_until > now_unix and held.owner != claim.owner
    working = leased and not held.was_answered
    if held.answered is None and not working:
        return ClaimState(mine=True)
    if held.request != claim.request:
        return ClaimState(other_body=True)
    return ClaimState(answered=held.answered)
