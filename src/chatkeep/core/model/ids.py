"""The order and the names of completions: `seq` and `id` (DESIGN.md §4).

    seq  = second (32 bits) | node (10 bits) | counter (21 bits)     primary key and total order
    id   = prefix + base62(seq, 64 bits | tag, 104 bits)             29 characters, sorts by time

The tag cannot be guessed; it is compared after the row was found by its seq.
"""

import re
from collections.abc import Callable
from hashlib import blake2b
from typing import NewType

from msgspec import Struct

from chatkeep.core.model.form import PREFIXES, FormName

Seq = NewType("Seq", int)
CompletionId = NewType("CompletionId", str)

LENGTH = 29
NUMBER_BYTES = 22  # 29 digits of base 62, the first byte always below 26
# What is no number begins with one of these, which no number does.
_TEXT, _HEX = b'"', b"#"
_IN_HEX = re.compile("([ -~]{0,31}[^0-9a-f]|)((?:[0-9a-f]{2}){16,32})")
_CHAT = PREFIXES["chat.completion"]
REQUEST_ID_BYTES = 16
TAG_BYTES = 13
NODE_BITS = 10
COUNTER_BITS = 21
IMPORT_NODE = 1023
_NODE_SHIFT = COUNTER_BITS
_NEAR_S = 86_400
_SECOND_SHIFT = COUNTER_BITS + NODE_BITS
_COUNTERS = 1 << COUNTER_BITS
MAX_SEQ = (1 << 63) - 1
_MAX_SECOND = (1 << 32) - 1  # seq stays a positive signed 64-bit integer

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_PAIR_BASE = len(_PAIRS)
_DIGITS = bytes(_ALPHABET.find(chr(byte)) & 0xFF for byte in range(256))
_NO_DIGIT = 0xFF
_TAG_BITS = 8 * TAG_BYTES
_TAG = (1 << _TAG_BITS) - 1
# By how much two neighbours of so many bits are less together than they are as bits, for each of
# the upper one, and the lower ones of all pairs in 256 bits.
_STEPS = [
    (
        bits,
        sum((1 << bits) - 1 << at for at in range(0, 256, 2 * bits)),
        (1 << bits) - 62 ** (bits // 8),
    )
    for bits in (8, 16, 32, 64, 128)
]


class Name(Struct, frozen=True, gc=False):
    """What an id says: where the completion stands and the tag that proves it was given out."""

    seq: Seq
    tag: bytes
    id: CompletionId
    form: FormName = "chat.completion"


def named(seq: Seq, tag: bytes, form: FormName = "chat.completion") -> Name:
    return Name(seq, tag, encode(seq, tag, form), form)


def encode(seq: Seq, tag: bytes, form: FormName = "chat.completion") -> CompletionId:
    return CompletionId(PREFIXES[form] + spelled((seq << _TAG_BITS) | int.from_bytes(tag)))


def spelled(value: int, digits: int = LENGTH) -> str:
    """A number in so many digits of base 62, an odd number of them."""
    pairs = []
    for _ in range(digits // 2):
        value, pair = divmod(value, _PAIR_BASE)
        pairs.append(_PAIRS[pair])
    pairs.append(_ALPHABET[value])
    return "".join(reversed(pairs))


def number(digits: str) -> int | None:
    """The number that up to 29 digits of base 62 spell, None when there is another character."""
    values = digits.encode(errors="replace").translate(_DIGITS)
    if _NO_DIGIT in values:
        return None
    # All digits are joined to pairs at once, all pairs to fours, and so on: half the time of adding
    # up 29 products.
    value = int.from_bytes(values)
    for bits, lower, less in _STEPS:
        value -= (value >> bits & lower) * less
    return value


def decode(text: str) -> Name | None:
    """The name in an id of ours, None for any other text."""
    for form, prefix in PREFIXES.items():
        value = _number_behind(prefix, text)
        if value is not None and value >> _TAG_BITS <= MAX_SEQ:
            tag = (value & _TAG).to_bytes(TAG_BYTES)
            return Name(Seq(value >> _TAG_BITS), tag, CompletionId(text), form)
    return None


def compact(id: str) -> bytes:
    """Any id as it is kept, in one of three ways.

    As a number when it is like OpenAI's of chat; in two digits a byte when it ends in many digits
    of hex, as vLLM's and OpenAI's of responses do; else as a text.
    """
    value = _number_behind(_CHAT, id)
    if value is not None:
        return value.to_bytes(NUMBER_BYTES)
    in_hex = _IN_HEX.fullmatch(id)
    if in_hex is None:
        return _TEXT + id.encode()
    prefix = in_hex[1].encode()
    return b"".join((_HEX, bytes((len(prefix),)), prefix, bytes.fromhex(in_hex[2])))


def is_number(kept: bytes) -> bool:
    return kept[:1] not in (_TEXT, _HEX)


def expanded(kept: bytes) -> str:
    """The id that `compact` made this of."""
    if is_number(kept):
        return _CHAT + spelled(int.from_bytes(kept))
    if kept[:1] == _TEXT:
        return kept[1:].decode()
    end = 2 + kept[1]
    return kept[2:end].decode() + kept[end:].hex()


def _number_behind(prefix: str, id: str) -> int | None:
    if len(id) != len(prefix) + LENGTH or not id.startswith(prefix):
        return None
    return number(id[len(prefix) :])


def tag_of(secret: bytes, request_id: bytes) -> bytes:
    """The tag of a completion that was created here: needs no place in its row."""
    return blake2b(request_id, key=secret, digest_size=TAG_BYTES).digest()


def request_id(start: bytes) -> bytes:
    """As long as OpenAI's, but all of it follows from its first half: that is what is kept."""
    return start + blake2b(start, digest_size=REQUEST_ID_BYTES - len(start)).digest()


def request_id_of(secret: bytes, id: str) -> bytes:
    """The request id of an import, about which nothing is known but its id."""
    start = blake2b(id.encode(), key=secret, digest_size=REQUEST_ID_BYTES // 2).digest()
    return request_id(start)


def alias_hash(secret: bytes, id: str) -> int:
    """By which an import with a foreign id is found."""
    hash = blake2b(id.encode(), key=secret, digest_size=8, person=b"alias").digest()
    return int.from_bytes(hash) >> 1


def compose(second: int, node: int, counter: int) -> Seq:
    return Seq(second << _SECOND_SHIFT | node << _NODE_SHIFT | counter)


def second_of(seq: Seq) -> int:
    """The arrival second, unix time."""
    return seq >> _SECOND_SHIFT


def node_of(seq: Seq) -> int:
    return (seq >> _NODE_SHIFT) & ((1 << NODE_BITS) - 1)


def counter_of(seq: Seq) -> int:
    return seq & (_COUNTERS - 1)


def first_of(second: int) -> Seq:
    """The lowest seq of a second or a later one."""
    return compose(max(second, 0), 0, 0) if second <= _MAX_SECOND else Seq(MAX_SEQ + 1)


def last_of(second: int) -> Seq:
    """The highest seq of a second or an earlier one."""
    return Seq(first_of(second + 1) - 1)


def last_of_node(second: int, node: int) -> Seq:
    """The highest seq a node can have used up to the end of a second."""
    return compose(second, node, _COUNTERS - 1)


class Sequencer:
    """Gives out the seqs of one node, always rising, whatever the clock does.

    `high_water` is the highest seq this node ever used, read from the store at start: two starts
    within one second, or a clock set back, continue after it.
    """

    def __init__(self, node: int, high_water: Seq | None, randbelow: Callable[[int], int]) -> None:
        self.node = node
        self._second = -1 if high_water is None else second_of(high_water)
        self._counter = 0 if high_water is None else counter_of(high_water)
        self._randbelow = randbelow

    def next(self, now_unix: int) -> Seq:
        if now_unix > self._second:
            self._begin(now_unix)
        elif self._counter + 1 < _COUNTERS:
            self._counter += 1
        else:
            self._begin(self._second + 1)  # a full second borrows the next one
        return compose(self._second, self.node, self._counter)

    def _begin(self, second: int) -> None:
        self._second = second
        # The random start hides how many completions there are; half the range stays free.
        self._counter = self._randbelow(_COUNTERS // 2)


def is_near(seq: Seq, created_unix: int) -> bool:
    """Whether a place can be that of a completion whose answer says when it was created.

    Ids from elsewhere may have our form, as one in fifty of OpenAI's has: they name any second.
    """
    return abs(second_of(seq) - created_unix) <= _NEAR_S


def next_import(second: int, highest: Callable[[Seq, Seq], Seq | None]) -> Seq:
    """The next free seq for a foreign completion `created` in that second.

    `highest(low, high)` reads the highest seq used from low to high, in the inserting transaction.
    A second holds 2,097,152 imports; the next ones go to the seconds after it. A time that is none
    counts as the first or the last second there is.
    """
    second = min(max(second, 0), _MAX_SECOND)
    while True:
        low = compose(second, IMPORT_NODE, 0)
        used = highest(low, Seq(low + _COUNTERS - 1))
        if used is None:
            return low
        if counter_of(used) + 1 < _COUNTERS:
            return Seq(used + 1)
        second += 1
