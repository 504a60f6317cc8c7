"""Power cuts, rehearsed: what SQLite asked of the disk is recorded, and what a cut leaves rebuilt.

    SQLite ─▶ VFS (real files underneath, so that WAL gets its shared memory)
                 └─▶ events ─▶ Disk ─▶ the files found after a cut at any event

A write lasts once its file was synced, a name once its folder was. What was neither is lost, or,
given a seed, some of it: each 512-byte sector of a file as one of the writes left it.
"""

import os
import shutil
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Self, assert_never

import apsw

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SECTOR = 512

# SQLite syncs the folder with the first sync of these (os_unix.c, UNIXFILE_DIRSYNC), of no others.
_SYNCS_ITS_FOLDER = (
    apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
)


@dataclass(frozen=True, slots=True)
class Write:
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    inode: int


@dataclass(frozen=True, slots=True)
class Name:
    """The folder's entry `name` now leads to this inode, or to nothing."""

    name: str
    inode: int | None


@dataclass(frozen=True, slots=True)
class SyncFolder:
    pass


Event = Write | Truncate | Sync | Name | SyncFolder


@dataclass
class Inode:
    """One file's content: what is certain to be on the disk, and what is on its way there."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write | Truncate] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            if isinstance(change, Write):
                _put(self.durable, change.offset, change.data)
            else:
                _resize(self.durable, change.size)
        self.pending.clear()

    def after_cut(self, luck: Random | None) -> bytes:
        content = bytearray(self.durable)
        if luck:
            self._keep_some(content, luck)
        return bytes(content)

    def _keep_some(self, content: bytearray, luck: Random) -> None:
        seen = self._versions(luck)
        resizes = [at for at, change in enumerate(self.pending) if isinstance(change, Truncate)]
        first_lost_resize = luck.choice([*resizes, len(self.pending)])
        end = inf  # past a lost truncation the blocks were new, so they are lost with it
        for at, change in enumerate(self.pending):
            if isinstance(change, Write):
                for sector, offset, data in _pieces(change):
                    if seen[sector] > at and offset < end:
                        _put(content, offset, data)
            elif at < first_lost_resize:
                _resize(content, change.size)
            else:
                end = min(end, change.size)

    def _versions(self, luck: Random) -> dict[int, int]:
        """For each sector written to, how many of the pending changes it has seen."""
        versions: dict[int, list[int]] = defaultdict(lambda: [0])
        for at, change in enumerate(self.pending):
            if isinstance(change, Write):
                for sector, _, _ in _pieces(change):
                    versions[sector].append(at + 1)
        newest = luck.random()
        return {
            sector: known[-1] if luck.random() < newest else luck.choice(known)
            for sector, known in versions.items()
        }


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if offset > len(content):
        _resize(content, offset)
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _pieces(write: Write) -> Iterator[tuple[int, int, bytes]]:
    """The write cut at sector bounds: sector number, offset in the file, data."""
    start, end = write.offset, write.offset + len(write.data)
    for sector in range(start // SECTOR, -(-end // SECTOR)):
        offset, stop = max(sector * SECTOR, start), min((sector + 1) * SECTOR, end)
        yield sector, offset, write.data[offset - start : stop - start]


class Disk:
    """A folder on a disk that has been told of some events."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.told = 0
        self._names: dict[str, int | None] = {name: at for at, name in enumerate(files)}
        self._pending: list[Name] = []
        self._inodes: dict[int, Inode] = defaultdict(Inode)
        for at, content in enumerate(files.values()):
            self._inodes[at].durable.extend(content)

    def tell(self, event: Event) -> None:
        self.told += 1
        match event:
            case Write() | Truncate():
                self._inodes[event.inode].pending.append(event)
            case Sync():
                self._inodes[event.inode].sync()
            case Name():
                self._pending.append(event)
            case SyncFolder():
                self._names.update({entry.name: entry.inode for entry in self._pending})
                self._pending.clear()
            case _:
                assert_never(event)

    def after_cut(self, luck: Random | None) -> dict[str, bytes]:
        names = {**self._names, **(self._some_names(luck) if luck else {})}
        return {
            name: self._inodes[inode].after_cut(luck)
            for name, inode in names.items()
            if inode is not None
        }

    def _some_names(self, luck: Random) -> dict[str, int | None]:
        """Changes of one name last in their order; those of different names in any."""
        changes: dict[str, list[int | None]] = defaultdict(list)
        for entry in self._pending:
            changes[entry.name].append(entry.inode)
        kept = {name: luck.randint(0, len(inodes)) for name, inodes in changes.items()}
        return {name: changes[name][count - 1] for name, count in kept.items() if count}


@dataclass(frozen=True)
class Cut:
    """The power failed after `at` events; `folder` holds the files as found at the next start."""

    at: int
    seed: int | None
    folder: Path


class Recorder:
    """Records one folder's databases when they are opened with `vfs=recorder.vfs`.

    Nothing is really synced (what counts is that SQLite asked), so a recorded run is quick.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.events: list[Event] = []
        self.vfs = f"powercut-{uuid.uuid4().hex}"
        self._found = {p.name: p.read_bytes() for p in _databases(self.folder)}
        self._live = {name: at for at, name in enumerate(self._found)}
        self._inodes = len(self._live)
        self._lock = threading.Lock()
        self._disk = Disk(self._found)
        self._registered = _RecordingVfs(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._registered.unregister()

    def mark(self) -> int:
        """The number of events so far: what was acknowledged now must survive any later cut."""
        return len(self.events)

    def cut(self, into: Path, at: int | None = None, seed: int | None = None) -> Cut:
        """Puts into the new folder `into` what a power cut leaves; `at` is now unless given."""
        at = self.mark() if at is None else at
        into.mkdir(parents=True)
        luck = None if seed is None else Random(f"{seed} {at}")
        for name, content in self._disk_at(at).after_cut(luck).items():
            (into / name).write_bytes(content)
        return Cut(at, seed, into)

    def cuts(
        self, scratch: Path, *, since: int = 0, step: int = 1, seeds: Sequence[int | None] = (None,)
    ) -> Iterator[Cut]:
        """Every `step`-th cut, and the one at the end; each folder is gone when the next comes."""
        ends = [*range(since, self.mark(), step), self.mark()]
        for at in ends:
            for seed in seeds:
                cut = self.cut(scratch / f"cut-{at}-{seed}", at, seed)
                yield cut
                shutil.rmtree(cut.folder)

    def _disk_at(self, at: int) -> Disk:
        if self._disk.told > at:
            self._disk = Disk(self._found)
        for event in self.events[self._disk.told : at]:
            self._disk.tell(event)
        return self._disk

    # What follows is for the VFS. The lock makes the events' order the order of the real calls.

    def open(self, path: Path, name: str | apsw.URIFilename, flags: list[int]) -> apsw.VFSFile:
        with self._lock:
            is_new = path.name not in self._live
            if is_new and path.exists() and path.stat().st_size:  # an empty one was just created
                raise apsw.CantOpenError(f"{path} was written without the recorder, during it")
            inode = self._inodes if is_new else self._live[path.name]
            file = _RecordingFile(self, inode, name, flags)
            if is_new:
                self._inodes += 1
                self._live[path.name] = inode
                self.events.append(Name(path.name, inode))
            return file

    def write(self, file: "_RecordingFile", data: bytes, offset: int) -> None:
        with self._lock:
            file.really_write(data, offset)
            self.events.append(Write(file.inode, offset, data))

    def truncate(self, file: "_RecordingFile", size: int) -> None:
        with self._lock:
            file.really_truncate(size)
            self.events.append(Truncate(file.inode, size))

    def sync(self, inode: int, *, folder_too: bool) -> None:
        with self._lock:
            self.events.append(Sync(inode))
            if folder_too:
                self.events.append(SyncFolder())

    def delete(self, path: Path, *, sync_folder: bool) -> None:
        with self._lock:
            os.unlink(path)
            del self._live[path.name]
            self.events.append(Name(path.name, None))
            if sync_folder:
                self.events.append(SyncFolder())


class _RecordingVfs(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__(recorder.vfs, "")

    def xFullPathname(self, name: str) -> str:
        # The inherited one fails on a symlink: apsw takes SQLITE_OK_SYMLINK for an error.
        return os.path.realpath(name)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None:  # a temporary file
            return apsw.VFSFile("", name, flags)
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        if path.parent != self._recorder.folder:
            raise apsw.CantOpenError(f"{path} is not recorded; put it in {self._recorder.folder}")
        return self._recorder.open(path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        path = Path(filename)
        if path.parent == self._recorder.folder and path.exists():
            self._recorder.delete(path, sync_folder=syncdir)
        else:
            super().xDelete(filename, syncdir)


class _RecordingFile(apsw.VFSFile):
    def __init__(
        self, recorder: Recorder, inode: int, name: str | apsw.URIFilename, flags: list[int]
    ) -> None:
        self.inode = inode
        self._recorder = recorder
        self._owes_folder_sync = bool(
            flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _SYNCS_ITS_FOLDER
        )
        super().__init__("", name, flags)

    def xWrite(self, data: "ReadableBuffer", offset: int) -> None:
        self._recorder.write(self, bytes(data), offset)

    def xTruncate(self, newsize: int) -> None:
        self._recorder.truncate(self, newsize)

    def xSync(self, flags: int) -> None:
        self._recorder.sync(self.inode, folder_too=self._owes_folder_sync)
        self._owes_folder_sync = False

    def really_write(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)

    def really_truncate(self, size: int) -> None:
        super().xTruncate(size)


def problems(database: Path) -> list[str]:
    """What SQLite's own check finds wrong with a database, opened as after a restart."""
    connection = apsw.Connection(str(database))
    try:
        connection.execute("PRAGMA synchronous=OFF")  # a copy to look at, not to keep
        rows = connection.execute("PRAGMA integrity_check").fetchall()
    except apsw.Error as error:
        return [str(error)]
    finally:
        connection.close()
    return [] if rows == [("ok",)] else [str(row[0]) for row in rows]


def _databases(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.endswith("-shm")]
