"""Idempotency keys in SQLite: claimed, leased, answered."""

from typing import Any

import apsw

from chatkeep.core.model.completion import Project, Row
from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import Name, Seq, named
from chatkeep.core.ports.claims import Claim, ClaimState
from chatkeep.store import claims
from chatkeep.store.claims import Held
from chatkeep.store.encoding.identity import identity

Sql = dict[str, str]


def take(
    connection: apsw.Connection, sql: Sql, project: Project, claim: Claim, now_unix: int
) -> ClaimState:
    connection.execute(sql["sweep_claims"], (now_unix,))
    found: Any = connection.execute(sql["select_claim"], (project.id, claim.key)).fetchall()
    state = claims.state(_held(project, *found[0]) if found else None, claim, now_unix)
    if state.mine:
        bindings = (project.id, claim.key, claim.request, claim.owner, *claims.term(now_unix))
        connection.execute(sql["upsert_claim"], bindings)
    return state


def renew(
    connection: apsw.Connection, sql: Sql, project: Project, claim: Claim, now_unix: int
) -> None:
    until = claims.term(now_unix).leased_until
    connection.execute(sql["renew_claim"], (project.id, claim.key, claim.owner, until))


def answer(connection: apsw.Connection, sql: Sql, project: Project, claim: Claim, row: Row) -> None:
    bindings = (project.id, claim.key, claim.owner, row.seq, row.tag)
    connection.execute(sql["answer_claim"], bindings)


def release(connection: apsw.Connection, sql: Sql, project: Project, claim: Claim) -> None:
    connection.execute(sql["release_claim"], (project.id, claim.key, claim.owner))


def _held(
    project: Project,
    request: bytes,
    owner: bytes,
    leased_until: int,
    expires: int,
    seq: Seq | None,
    tag: bytes | None,
    *there: Any,
) -> Held:
    answered = None if seq is None or tag is None else _answered(project, seq, tag, *there)
    return Held(request, owner, leased_until, expires, seq is not None, answered)


def _answered(
    project: Project,
    seq: Seq,
    wanted: bytes,
    there: int | None,
    tag: bytes | None,
    request_id: bytes | None,
    alias: bytes | None,
    form: FormName,
) -> Name | None:
    """The record that answered, if it is still the one that stands at its seq."""
    if there is None:
        return None
    found = identity(project.secret, seq, tag, request_id, alias, form)
    return named(seq, wanted, form) if wanted == found.tag else None
