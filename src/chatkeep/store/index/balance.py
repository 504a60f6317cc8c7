"""Two large sets held against each other in little memory.

Each member falls into a share by its hash, and of each share there is a sum: what one side has is
added, what the other has is taken away. Equal sets leave every sum at 0. Where one is not, the
members of its share are looked at one by one, in a second reading.
"""

from collections.abc import Iterable

Entry = tuple[int, int]

_SHARES = 1 << 12


class Balance:
    def __init__(self) -> None:
        self._sums = [0] * _SHARES

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            mark = hash(entry)
            self._sums[mark % _SHARES] += mark

    def take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            mark = hash(entry)
            self._sums[mark % _SHARES] -= mark

    @property
    def even(self) -> bool:
        return not any(self._sums)

    def uneven(self, entries: Iterable[Entry]) -> set[Entry]:
        """Those of shares in which the sides differ."""
        return {entry for entry in entries if self._sums[hash(entry) % _SHARES]}
