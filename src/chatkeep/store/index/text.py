"""The texts of a record that full text search looks into, as its wire format finds them."""

from collections.abc import Iterable, Sequence

from chatkeep.core.forms import CHAT
from chatkeep.core.wire.answer import MAX_CHARACTERS


def searchable_texts(
    messages: Iterable[bytes], answer: bytes, known: Sequence[str] | None = None
) -> list[str]:
    """The texts of request messages and of an answer, in their order; of odd JSON what there is.

    `known` is the answer's, for who has read it already.
    """
    return _bounded([*CHAT.texts(messages), *(_texts(answer) if known is None else known)])


def _texts(answer: bytes) -> Sequence[str]:
    read = CHAT.read_answer(answer)
    return () if read is None else read.texts


def _bounded(texts: list[str]) -> list[str]:
    if sum(map(len, texts)) <= MAX_CHARACTERS:
        return texts
    kept: list[str] = []
    left = MAX_CHARACTERS
    for text in texts:
        kept.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    return kept
