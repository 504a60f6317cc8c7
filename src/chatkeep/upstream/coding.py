"""Undoes the content coding of an answer, piece by piece and never more than a bounded one."""

import zlib

_WINDOWS = {"gzip": 31, "deflate": 15}
_PIECE = 1 << 20


class Undecodable(ValueError):
    """The bytes are not what their coding says, or end too early."""


def decoder(coding: str) -> "Inflater | None":
    """None for what is no coding, or one we do not know: that passes as it is, under its name."""
    window = _WINDOWS.get(coding.strip().lower())
    return None if window is None else Inflater(window)


class Inflater:
    """One gzip or deflate body."""

    def __init__(self, window: int) -> None:
        self._inflate = zlib.decompressobj(window)
        self._left = b""

    def decode(self, data: bytes) -> bytes:
        """The next decoded bytes, at most a mebibyte. Raises Undecodable."""
        try:
            decoded = self._inflate.decompress(self._left + data, _PIECE)
        except zlib.error as error:
            raise Undecodable(str(error)) from error
        self._left = self._inflate.unconsumed_tail
        return decoded

    def waiting(self) -> bool:
        """Whether more can be decoded without more data."""
        return bool(self._left)

    def end(self) -> None:
        """Raises Undecodable when the body was cut off."""
        if not self._inflate.eof:
            raise Undecodable("the coded body is cut off")
