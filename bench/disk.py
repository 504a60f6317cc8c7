"""A small disk of its own for a store, so that it can be full."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

DISK_BYTES = 512 << 20
_BALLAST = "ballast"


@contextlib.contextmanager
def small(folder: Path) -> Iterator[Path | None]:
    """A file in the folder as a disk, mounted beside it; None where that is not allowed."""
    image, place = folder / "disk", folder / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    made = _done("mkfs.ext4", "-q", "-m", "0", image) and _done("mount", "-o", "loop", image, place)
    try:
        yield place if made else None
    finally:
        if made:
            _done("umount", place)


def fill(disk: Path) -> None:
    """Takes what room is left."""
    with (disk / _BALLAST).open("ab") as ballast:
        while room := _free(disk):
            end = os.fstat(ballast.fileno()).st_size
            try:
                os.posix_fallocate(ballast.fileno(), end, room)
            except OSError:  # somebody else took of it meanwhile
                return


def empty(disk: Path) -> None:
    """Gives it back."""
    (disk / _BALLAST).unlink(missing_ok=True)


def _free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def _done(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
