"""Which completion a conversation goes on from, and which one its record builds on.

A prefix hash is the keyed hash of all the messages of a request up to one of them. A request goes
on from the completion whose last prefix hash is among its own: that one's messages are the
beginning of these.

A record holds what its completion said since the one it builds on. That is the one it goes on from,
but every 16th turn builds on the turn 16 before, every 256th on the one 256 before, and so on:

    0 <- 1 <- 2 ... <- 15    16 -> 0    16 <- 17 ... <- 31    32 -> 16    256 -> 0

So turn 1,000 is put together from 26 records and not from 1,001, and each message is kept two or
three times at the most.
"""

from collections.abc import Sequence
from hashlib import blake2b

from chatkeep.core.model.form import NUMBERS, FormName

REACH = 32  # how many messages a client may have added since, tool results included
MAX_AGE_S = 86_400  # else what has to outlive a deleted completion would never end
STRIDE = 16
INDEXED = (
    0xFFFFFFFF  # the bits of a prefix hash that the index has; the rest is compared in the record
)

_LENGTH = 4


def prefix_hashes(
    secret: bytes, form: FormName, messages: Sequence[bytes], reach: int = REACH
) -> list[tuple[int, int]]:
    """The last of them, longest first, each as the number of its messages and 63 bits of hash.

    Conversations of two wire formats never meet, whatever their messages.
    """
    running = blake2b(key=secret, digest_size=8, person=NUMBERS[form].to_bytes(1))
    reached = len(messages) - reach
    last: list[tuple[int, int]] = []
    for count, message in enumerate(messages, start=1):
        running.update(len(message).to_bytes(_LENGTH) + message)
        if count > reached:
            last.append((count, int.from_bytes(running.digest()) >> 1))
    last.reverse()
    return last


def base_depth(depth: int) -> int:
    """The turn that a turn's record builds on."""
    step = 1
    while depth % (step * STRIDE) == 0:
        step *= STRIDE
    return depth - step
