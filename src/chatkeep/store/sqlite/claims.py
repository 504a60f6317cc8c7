"""Idempotency keys in SQLite: claimed, leased, answered."""

from typing import Any

import apsw

from chatkeep.core.model.completion import Project, Row
from chatkeep.core.model.ids import Seq, named
from chatkeep.core.ports.claims import Claim, ClaimState
from chatkeep.store.sqlite.rows import identity

LEASE_S = 30
REMEMBERED_S = 24 * 3600

Sql = dict[str, str]


def take(
    connection: apsw.Connection, sql: Sql, project: Project, claim: Claim, now_unix: int
) -> ClaimState:
    connection.execute(sql["sweep_claims"], (now_unix,))
    found: Any = connection.execute(sql["select_claim"], (project.id, claim.key)).fetchall()
    if found and found[0][3] > now_unix:
        request, owner, leased_until, _, seq, tag, *there = found[0]
        answered = named(Seq(seq), tag) if _stands(project, seq, tag, *there) else None
        working = seq is None and leased_until > now_unix and owner != claim.owner
        if (answered or working) and request != claim.request:
            return ClaimState(other_body=True)
        if answered or working:
            return ClaimState(answered=answered)
    until, expires = now_unix + LEASE_S, now_unix + REMEMBERED_S
    bindings = (project.id, claim.key, claim.request, claim.owner, until, expires)
    connection.execute(sql["upsert_claim"], bindings)
    return ClaimState(mine=True)


def renew(
    connection: apsw.Connection, sql: Sql, project: Project, claim: Claim, now_unix: int
) -> None:
    until = now_unix + LEASE_S
    connection.execute(sql["renew_claim"], (project.id, claim.key, claim.owner, until))


def answer(connection: apsw.Connection, sql: Sql, project: Project, claim: Claim, row: Row) -> None:
    bindings = (project.id, claim.key, claim.owner, row.seq, row.tag)
    connection.execute(sql["answer_claim"], bindings)


def release(connection: apsw.Connection, sql: Sql, project: Project, claim: Claim) -> None:
    connection.execute(sql["release_claim"], (project.id, claim.key, claim.owner))


def _stands(
    project: Project,
    seq: Seq,
    wanted: bytes | None,
    there: int | None,
    tag: bytes | None,
    request_id: bytes | None,
    alias: bytes | None,
) -> bool:
    """Whether the completion that answered is still the one that stands at its place."""
    if wanted is None or there is None:
        return False
    return wanted == identity(project.secret, seq, tag, request_id, alias).tag
