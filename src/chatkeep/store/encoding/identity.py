"""What a record is called: its tag, its request id and, of an import, the id it came with.

What follows from something else is not kept: a tag from the request id, half of a request id from
the other half, and that of an import from its id.
"""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from chatkeep.core.model import ids
from chatkeep.core.model.completion import Project, Row
from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import CompletionId, Seq, encode
from chatkeep.store.encoding.recent import Found


class Identity(Struct, frozen=True, gc=False):
    """What a completion is called, put together from what is kept of it."""

    tag: bytes
    request_id: bytes
    alias: str | None


def identity(
    secret: bytes,
    seq: Seq,
    tag: bytes | None,
    request_id: bytes | None,
    alias: bytes | None,
    form: FormName,
) -> Identity:
    known = None if alias is None else ids.expanded(alias)
    if request_id is None:
        own = "" if tag is None else encode(seq, tag, form)
        request_id = ids.request_id_of(secret, own if known is None else known)
    elif len(request_id) < ids.REQUEST_ID_BYTES:
        request_id = ids.request_id(request_id)
    return Identity(tag or ids.tag_of(secret, request_id), request_id, known)


def of_found(found: Found, project: Project) -> Identity:
    kept = (found.tag, found.request_id, found.alias, found.form)
    return identity(project.secret, found.seq, *kept)


def id_of(found: Found, named: Identity) -> CompletionId:
    """The id clients know it by."""
    seq, form = found.seq, found.form
    return encode(seq, named.tag, form) if named.alias is None else CompletionId(named.alias)


class KeptIdentity(NamedTuple):
    """The columns of a row that its identity is put together from; None for what follows."""

    tag: bytes | None
    request_id: bytes | None
    alias: bytes | None


def kept_identity(secret: bytes, row: Row) -> KeptIdentity:
    follows = row.tag == ids.tag_of(secret, row.request_id)
    imported = row.alias is not None or not follows  # only then is it worth spelling the id
    named_by_id = imported and row.request_id == ids.request_id_of(secret, row.id)
    return KeptIdentity(
        None if follows else row.tag,
        None if named_by_id else _start(row.request_id),
        None if row.alias is None else ids.compact(row.alias),
    )


def _start(request_id: bytes) -> bytes:
    """The half from which the other follows, if it does."""
    start = request_id[: ids.REQUEST_ID_BYTES // 2]
    return start if ids.request_id(start) == request_id else request_id


class ImportPlace(NamedTuple):
    """Where an import goes: its seq and tag, and the alias it is found by, None when it has its
    own id there.
    """

    seq: Seq
    tag: bytes
    alias: str | None


def import_place(
    secret: bytes,
    id: str,
    created_unix: int,
    *,
    is_taken: Callable[[Seq], bool],
    highest: Callable[[Seq, Seq], Seq | None],
) -> ImportPlace:
    """An id of our form keeps its seq, unless that `is_taken` or is far from its `created` second;
    every other id gets the next free seq of that second.

    `highest` reads the highest seq used between two. Both are asked in the inserting transaction.
    """
    own = ids.decode(id)
    if own is not None and ids.is_near(own.seq, created_unix) and not is_taken(own.seq):
        return ImportPlace(own.seq, own.tag, None)
    tag = ids.tag_of(secret, ids.request_id_of(secret, id))
    return ImportPlace(ids.next_import(created_unix, highest), tag, id)
