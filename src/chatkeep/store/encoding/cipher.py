"""The cipher that all content passes on its way to where it is kept, and back."""

from typing import NamedTuple, Protocol

from chatkeep.errors import RecordCorrupt

# What is sealed begins with this byte, which neither a record's body nor a shared text begins with.
SEALED = b"\x0f"


# Where something is kept: what it is, whose, and by which key. What was sealed for one place opens
# at no other.
Place = tuple[str, int, int]


class DataKey(NamedTuple):
    """A key that contents are sealed under, as a store holds it; one of them `writes`.

    The one numbered 0 is none at all: where it is, there may be plain contents.
    """

    number: int
    wrapped: bytes
    writes: bool


NO_KEY = 0


class Cipher(Protocol):
    seals: bool  # else what is written from now on is plain

    def seal(self, place: Place, content: bytes) -> bytes:
        """The content as it is to be kept; no two results begin with the same 13 bytes."""
        ...

    def open(self, place: Place, kept: bytes) -> bytes:
        """Raises RecordCorrupt for what was not sealed for this place and by these keys."""
        ...


class Plain:
    """Keeps everything as it is."""

    seals = False

    def seal(self, place: Place, content: bytes) -> bytes:
        return content

    def open(self, place: Place, kept: bytes) -> bytes:
        if kept[:1] == SEALED:
            raise RecordCorrupt("it is encrypted, and nothing else in this store is")
        return kept


PLAIN = Plain()


def is_sealed(kept: bytes) -> bool:
    return kept[:1] == SEALED
