"""A disk that does what the test says: fails, waits, counts. SQLite's files are real underneath."""

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import apsw

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Kind = Literal["db", "wal", "other"]
Call = Literal["read", "write", "sync"]
Act = Callable[[], None]


class FaultyVfs(apsw.VFS):
    """`before` names what is done before a call reaches the disk: raise, wait for an event.

    `on_sleep` stands in for waiting when SQLite waits for a lock. `calls` counts.
    """

    def __init__(self) -> None:
        self.name = f"faulty-{uuid.uuid4().hex}"
        self.before: dict[tuple[Kind, Call], Act] = {}
        self.on_sleep: Act | None = None
        self.calls: Counter[tuple[Kind, Call]] = Counter()
        super().__init__(self.name, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unregister()

    @contextlib.contextmanager
    def failing(self, kind: Kind, call: Call, error: type[apsw.Error]) -> Iterator[None]:
        def fail() -> None:
            raise error(f"{call} of {kind}, as the test wants it")

        with self.acting(kind, call, fail):
            yield

    @contextlib.contextmanager
    def acting(self, kind: Kind, call: Call, act: Act) -> Iterator[None]:
        self.before[kind, call] = act
        try:
            yield
        finally:
            del self.before[kind, call]

    def meet(self, kind: Kind, call: Call) -> None:
        self.calls[kind, call] += 1
        if act := self.before.get((kind, call)):
            act()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _FaultyFile(self, name, flags)

    def xSleep(self, microseconds: int) -> int:
        if self.on_sleep is None:
            time.sleep(microseconds / 1e6)  # not super's: it would hold up all other threads
        else:
            self.on_sleep()
        return microseconds


class _FaultyFile(apsw.VFSFile):
    def __init__(
        self, vfs: FaultyVfs, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> None:
        self._vfs = vfs
        self._kind = _kind(flags[0])
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._vfs.meet(self._kind, "read")
        return super().xRead(amount, offset)

    def xWrite(self, data: "ReadableBuffer", offset: int) -> None:
        self._vfs.meet(self._kind, "write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._vfs.meet(self._kind, "sync")
        super().xSync(flags)


def _kind(flags: int) -> Kind:
    if flags & apsw.SQLITE_OPEN_MAIN_DB:
        return "db"
    return "wal" if flags & apsw.SQLITE_OPEN_WAL else "other"
