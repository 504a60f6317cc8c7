"""Postings: the index entries through which every equality filter finds its rows (DESIGN.md §4).

A posting is `(project, term, seq)`. A row has one by which rows of its wire format are listed, and
one for each metadata pair, by a 31-bit hash of it, keyed per project. A hash can collide, so rows
found by it are compared again (`matching`): more bits would only make the index larger. What is
hashed begins with what it is, so that a pair and, later, an item's id are terms apart.

It has a single one for its label set: the form, model, status, finish reason, upstream and key it
has, taken together. A store numbers the label sets there are, a few dozen in most projects; a
filter by any of these values reads the postings of all the label sets that have it. The terms of
forms and of label sets are below 0.
"""

from collections.abc import Callable
from hashlib import blake2b

import msgspec

from chatkeep.core.model.completion import Facts, Metadata, Query, Row
from chatkeep.core.model.form import NUMBERS, FormName

_METADATA = msgspec.json.Decoder(dict[str, str])
_LABELS = ("model", "status", "finish_reason", "upstream", "key")


_FORMS = 15  # terms -1 to -15 are those of wire formats; label sets follow


def of_form(form: FormName) -> int:
    """The term that all rows of a wire format have."""
    return -NUMBERS[form]


def of_pair(secret: bytes, key: str, value: str) -> int:
    # NUL never stands in metadata, so the two cannot run together.
    text = f"metadata\0{key}\0{value}".encode()
    return int.from_bytes(blake2b(text, key=secret, digest_size=4).digest()) >> 1 or 1


def of_metadata(secret: bytes, metadata: Metadata) -> set[int]:
    return {of_pair(secret, key, value) for key, value in metadata.items()}


def changed(secret: bytes, before: bytes, after: bytes) -> tuple[set[int], set[int]]:
    """The terms that go and those that come when metadata changes; the latter may be there already.

    A pair that stays is hashed only when another goes, which may have the same term.
    """
    old, new = _METADATA.decode(before), _METADATA.decode(after)
    come = of_metadata(secret, {key: new[key] for key in new if new[key] != old.get(key)})
    gone = {key: old[key] for key in old if old[key] != new.get(key)}
    if not gone:
        return set(), come
    stay = of_metadata(secret, {key: old[key] for key in old if key not in gone})
    return of_metadata(secret, gone) - stay - come, come


def of_label_set(label_set: int) -> int:
    """The term of a label set by its number, from 1."""
    return -_FORMS - label_set


def of_row(secret: bytes, form: FormName, label_set: int, metadata: bytes) -> set[int]:
    pairs = of_metadata(secret, _METADATA.decode(metadata))
    return {of_form(form), of_label_set(label_set), *pairs}


def wants_labels(query: Query) -> bool:
    """Whether the query asks for anything that label sets differ in."""
    return any(getattr(query, name) is not None for name in _LABELS)


def compares(query: Query) -> bool:
    """Whether a place may have a row that the query does not want."""
    return wants_labels(query) or bool(query.metadata)


def matching(query: Query) -> Callable[[Row | Facts], bool]:
    """What tells whether a completion has all that the query wants."""
    label_set = [
        (name, getattr(query, name)) for name in _LABELS if getattr(query, name) is not None
    ]
    pairs = query.metadata.items()

    def has_pairs(row: Row | Facts) -> bool:
        return not pairs or pairs <= _METADATA.decode(row.metadata).items()

    def matches(row: Row | Facts) -> bool:
        return all(getattr(row, name) == value for name, value in label_set) and has_pairs(row)

    return matches if label_set else has_pairs
