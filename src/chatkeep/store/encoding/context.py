"""What encoding and decoding a record needs beside it: codec, cipher, and what was read last."""

from chatkeep.core.model.completion import ProjectId
from chatkeep.core.model.ids import Seq
from chatkeep.store.encoding.body import Body, Codec
from chatkeep.store.encoding.cipher import PLAIN, Cipher, Place
from chatkeep.store.encoding.recent import Recent

_REMEMBERED = 256
_LONGEST_REMEMBERED = 1 << 16  # tools and prompts, not images: in all 16 MiB at the most


class RecordContext:
    """Codec, cipher and the texts and completions read last; for all connections and threads."""

    def __init__(self, codec: Codec, cipher: Cipher = PLAIN) -> None:
        self.codec = codec
        self.cipher = cipher
        self.recent = Recent()
        self._known: dict[int, bytes] = {}

    def get(self, key: int) -> bytes | None:
        """The shared text of a key, when it is remembered."""
        return self._known.get(key)

    def remember(self, key: int, text: bytes) -> None:
        if len(text) > _LONGEST_REMEMBERED:
            return
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = text

    def forget(self, key: int) -> None:
        self._known.pop(key, None)

    def opened(self, project: ProjectId, seq: Seq, body: bytes) -> tuple[Body, bytes]:
        """A body as it is kept, decrypted and decoded, and its second frame.

        Raises RecordCorrupt.
        """
        return self.codec.open(self.cipher.open(body_place(project, seq), body))

    def sealed(self, project: ProjectId, seq: Seq, body: bytes) -> bytes:
        """An encoded body as it is to be kept."""
        return self.cipher.seal(body_place(project, seq), body)

    def opened_shared(self, key: int, data: bytes) -> bytes:
        """A shared text as it is kept, decrypted and decompressed. Raises RecordCorrupt."""
        return self.codec.text(self.cipher.open(shared_place(key), data))

    def sealed_shared(self, key: int, text: bytes) -> bytes:
        """A shared text as it is to be kept."""
        return self.cipher.seal(shared_place(key), self.codec.shared(text))


def body_place(project: ProjectId, seq: Seq) -> Place:
    return ("body", project, seq)


def shared_place(key: int) -> Place:
    return ("shared", 0, key)  # the key is keyed by its project's secret
