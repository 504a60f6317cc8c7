"""Bytes gone wrong: seeds with flips, cuts, repeats and words that mean something to a parser."""

import random
from collections.abc import Iterator, Sequence

WORDS = (
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"\0", b"\r\n", b"\n\n", b"data:", b"-"),
    *(b"\\u0000", b"\\ud83d", b"\\udc00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"1e999"),
    *(b"9" * 400, b"[" * 2000, b'{"a":' * 600, b"null", b"true", b"NaN", b"=", b"&", b"%5B", b"%"),
)
_MOST = 20_000  # bytes; longer ones are cut


def mutants(seeds: Sequence[bytes], seed: int, rounds: int) -> Iterator[bytes]:
    """The same ones for the same `seed`."""
    source = random.Random(seed)
    for _ in range(rounds):
        text = bytearray(source.choice(seeds))
        for _ in range(source.randint(1, 6)):
            _mutate(text, source)
        yield bytes(text[:_MOST])


def _mutate(text: bytearray, source: random.Random) -> None:
    at = source.randint(0, len(text))
    end = min(len(text), at + source.choice((1, 3, 20, 500)))
    match source.randrange(5):
        case 0 if at < len(text):
            text[at] ^= 1 << source.randrange(8)
        case 1:
            del text[at:end]
        case 2:
            text[at:at] = text[at:end] * source.randint(1, 5)
        case 3:
            del text[at:]
        case _:
            text[at:at] = source.choice(WORDS)
