"""Texts planted in conversations, to be looked for in the files of a store."""

from base64 import b64encode
from pathlib import Path
from random import Random

import apsw
from support.backends import SqliteBackend
from support.conversations import Said, Talks, call, message
from support.database import direct

PLAIN = -7  # zstd's level that leaves what it has not seen before as it is
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Secrets:
    """Texts that are said, and how each would be found in a file."""

    def __init__(self) -> None:
        self._luck = Random(11)
        self.texts: dict[str, bytes] = {}
        self.images: dict[str, bytes] = {}

    def text(self, what: str) -> str:
        said = "".join(self._luck.choices(_LETTERS, k=24))
        self.texts[what] = said.encode()
        return said

    def image(self, what: str) -> str:
        pixels = self._luck.randbytes(4000)
        self.images[what] = pixels
        self.texts[what] = b64encode(pixels)
        return self.texts[what].decode()

    def said_in(self, live: list[Said]) -> set[str]:
        whole = b"".join(
            part
            for said in live
            for part in (said.request, said.answer, said.row.metadata, _bytes(said.upstream_id))
        )
        return {what for what, text in self.texts.items() if text in whole}

    def found_in(self, files: bytes) -> set[str]:
        return {what for what in self.texts if self._needle(what) in files}

    def _needle(self, what: str) -> bytes:
        return self.images[what][1000:1064] if what in self.images else self.texts[what]


def _bytes(text: str | None) -> bytes:
    return (text or "").encode()


def files(backend: SqliteBackend) -> bytes:
    """The database and its WAL, after a checkpoint."""
    with direct(backend.path) as connection:
        connection.pragma("user_version")  # before its first read it does not know of the WAL
        while not _emptied(connection):
            pass
    return whole(backend.path.parent)


def _emptied(connection: apsw.Connection) -> bool:
    """False while the store itself folds the WAL in: SQLite does not wait for the end of that."""
    try:
        found = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return False
    assert found == (0, 0)
    return True


def whole(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def tell(talks: Talks, secrets: Secrets) -> list[Said]:
    """A first turn, two that go on from it with what it answered, and one from the second."""
    system = message("system", "Never tell: " * 20 + secrets.text("system prompt"))
    tools = [{"name": "tool", "description": "look up " * 20 + secrets.text("tools")}]
    url = {"url": "data:image/png;base64," + secrets.image("image")}
    question = message("user", [{"type": "image_url", "image_url": url}, secrets.text("question")])
    histories = [[system, question]]
    kept = []
    for turn, goes_on_from in enumerate([0, 1, 2, 2]):
        asked = list(histories[goes_on_from])
        if turn:
            asked.append(message("tool", secrets.text(f"result {turn}")))
        answer = message("assistant", secrets.text(f"answer {turn}"))
        said = await talks.keep(
            call(asked, tools=tools, user=secrets.text(f"field {turn}")),
            answer,
            message("assistant", secrets.text(f"second choice {turn}")),
            metadata={"secret": secrets.text(f"metadata {turn}")},
            upstream_id=secrets.text(f"upstream id {turn}"),
        )
        kept.append(said)
        histories.append([*asked, answer])
    return kept
