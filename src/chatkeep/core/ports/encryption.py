"""How a store is kept on its disk: plain, or under a key."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

EncryptionState = Literal[
    "off", "being encrypted", "on", "changing its data key", "being decrypted"
]
EncryptionWish = Literal["on", "off", "rekey"]


class Rewritten(NamedTuple):
    """How many of the contents that were not as wanted are now; `damaged` ones stay."""

    done: int
    total: int
    damaged: int


class Encryption(Protocol):
    """Changes how a store is kept. Keys are 32 bytes."""

    def state(self) -> EncryptionState: ...

    def left(self) -> int:
        """How many contents are not yet as wanted."""
        ...

    def change(self, wish: EncryptionWish, master: bytes) -> None:
        """Begins a change; what is written from now on is as wanted.

        Raises StoreLocked when others are at the store, Fault when there is nothing to change, or
        another change is under way.
        """
        ...

    def rewrite(self, master: bytes | None) -> Iterator[Rewritten]:
        """Finishes a change, also while a server serves: does some, and says how far it is.

        It can be broken off and repeated. A change is not finished while something is damaged.
        """
        ...

    def rotate(self, master: bytes, new: bytes) -> None:
        """Has the store open with another key from now on. Raises Fault when it is plain."""
        ...
