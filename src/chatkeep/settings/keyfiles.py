"""Files that hold a key: read and written for their owner alone."""

import logging
import os
import stat
from pathlib import Path

from chatkeep.errors import BadSetting

_log = logging.getLogger("chatkeep")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_key(file: str, setting: str) -> str:
    """The text of the file that a setting names; warns when others can read it too.

    `~` is the home directory. Raises BadSetting with the setting's name when it cannot be read.
    """
    path = Path(file).expanduser()
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise BadSetting(f"{setting} cannot be read: {error}") from error
    if mode & _OTHERS:
        _log.warning("others can read or change %s, which holds a key: chmod 600 it", path)
    return text


def write_key(path: Path, key: str) -> None:
    """Writes a new file that its owner alone can read. Raises BadSetting when it is there."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadSetting(f"{path} cannot be made: {error.strerror}") from error
    with os.fdopen(file, "w", encoding="ascii") as opened:
        opened.write(key + "\n")
