"""A store in memory: the second adapter of the ports, and the fake of unit tests.

It answers as the stores on disk do, the slow and obvious way. Each method does all it does between
two turns of the event loop.
"""

from support.memory.accounts import MemoryAccounts
from support.memory.claims import MemoryClaims
from support.memory.data import Data
from support.memory.records import MemoryRecords
from support.memory.usage import MemoryLedger

from chatkeep.errors import StoreLocked


class MemoryStore(MemoryRecords, MemoryClaims, MemoryLedger, MemoryAccounts):
    """Opened on what several stores may share; without, on nothing yet."""

    def __init__(self, data: Data | None = None, *, serving: bool = False) -> None:
        super().__init__(Data() if data is None else data)
        if serving and self._data.is_served:
            raise StoreLocked("it is served already")
        self._serving = serving
        self._data.is_served |= serving

    async def check(self) -> None:
        """It can always be read."""

    async def upkeep(self, now_unix: int) -> None:
        """It keeps nothing for itself."""

    async def aclose(self) -> None:
        if self._serving:
            self._data.is_served = False
