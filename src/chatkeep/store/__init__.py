"""Opens the store a URL names. Store URLs are spelled as SQLAlchemy spells them."""

from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from chatkeep.core.ports.encryption import Encryption
from chatkeep.core.ports.maintenance import Inspection
from chatkeep.core.ports.store import Store
from chatkeep.errors import BadSetting, StoreUnreadable

_ESCAPED = {"#": "%23", "?": "%3F"}


async def open_store(
    url: str, *, key: bytes | None = None, serving: bool = False, existing: bool = False
) -> Store:
    """The open store, created when it is not there, unless it must be `existing`.

    `key` is what an encrypted one is opened with. `serving` claims it for this process: raises
    StoreLocked when another one serves it. Raises BadSetting for a URL that names no store and for
    a key that is of no use, StoreEncrypted for one that is missing or wrong, StoreUnreadable when
    it cannot be opened.
    """
    from chatkeep.store.sqlite import open_sqlite

    path = _existing(url) if existing else sqlite_path(url)
    return await open_sqlite(path, key=key, serving=serving)


def verifying(url: str, key: bytes | None = None) -> AbstractContextManager[Inspection]:
    """Looks at the store as it is at one moment and changes nothing; the same errors."""
    from chatkeep.store.sqlite.verify import verifying

    return verifying(_existing(url), key)


def encryption(url: str) -> Encryption:
    """How the store is kept. Its methods raise StoreUnreadable, StoreEncrypted, BadSetting."""
    from chatkeep.store.sqlite.encryption import SqliteEncryption

    return SqliteEncryption(_existing(url))


def sqlite_path(url: str) -> Path:
    """`sqlite:///relative.db`, `sqlite:////absolute.db`."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    for mark, escaped in _ESCAPED.items():
        if parts.scheme == "sqlite" and not parts.netloc and mark in url:
            raise BadSetting(
                f"store is {url!r}; write {escaped} for {mark}, which ends the path of a URL"
            )
    more = parts.netloc
    if parts.scheme != "sqlite" or more or len(parts.path) < 2:
        raise BadSetting(
            f"store is {url!r}; give sqlite:///FILE for a file in this folder, sqlite:////PATH for"
            " an absolute path"
        )
    return Path(unquote(parts.path[1:])).expanduser()


def _existing(url: str) -> Path:
    path = sqlite_path(url)
    if not path.exists():
        raise StoreUnreadable(f"there is no store {path}; give the one you mean with --store")
    return path
