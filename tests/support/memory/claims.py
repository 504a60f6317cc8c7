"""Idempotency keys in memory."""

from support.memory.data import Data, Held

from chatkeep.core.model.completion import Project, Row
from chatkeep.core.model.ids import Name
from chatkeep.core.ports.claims import Claim, ClaimState

LEASE_S = 30
REMEMBERED_S = 86_400


class MemoryClaims:
    def __init__(self, data: Data) -> None:
        self._data = data

    async def claim(self, project: Project, claim: Claim, now_unix: int) -> ClaimState:
        held = self._data.claims.get((project.id, claim.key))
        if held is not None and held.expires > now_unix:
            answer = held.answer
            stands = answer is not None and self._data.find(project, answer) is not None
            others = held.claim.owner != claim.owner
            works = answer is None and held.leased_until > now_unix and others
            if (stands or works) and held.claim.request != claim.request:
                return ClaimState(other_body=True)
            if stands or works:
                return ClaimState(answered=answer)
        until, expires = now_unix + LEASE_S, now_unix + REMEMBERED_S
        self._data.claims[project.id, claim.key] = Held(claim, until, expires)
        return ClaimState(mine=True)

    async def renew(self, project: Project, claim: Claim, now_unix: int) -> None:
        held = _held(self._data, project, claim)
        if held is not None:
            renewed = held._replace(leased_until=now_unix + LEASE_S)
            self._data.claims[project.id, claim.key] = renewed

    async def release(self, project: Project, claim: Claim) -> None:
        held = _held(self._data, project, claim)
        if held is not None and held.answer is None:
            del self._data.claims[project.id, claim.key]


def answered(data: Data, project: Project, claim: Claim, row: Row) -> None:
    """Notes the record that answered a key, if the claim's owner still has it."""
    held = _held(data, project, claim)
    if held is not None:
        name = Name(row.seq, row.tag, row.id)
        data.claims[project.id, claim.key] = held._replace(answer=name)


def _held(data: Data, project: Project, claim: Claim) -> Held | None:
    held = data.claims.get((project.id, claim.key))
    return held if held is not None and held.claim.owner == claim.owner else None
