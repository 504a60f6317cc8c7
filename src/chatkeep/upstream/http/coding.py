"""Undoes the content coding of an answer, piece by piece and never more than a bounded one."""

import zlib

_GZIP, _DEFLATE = 31, 15  # as zlib names them
_WINDOWS = {b"gzip": _GZIP, b"deflate": _DEFLATE}
_ZLIB = 8  # the method in a zlib header
_PIECE = 1 << 20


class Undecodable(ValueError):
    """The bytes are not what their coding says, or end too early."""


def decoder(coding: bytes) -> "Inflater | None":
    """None for what is no coding, or one we do not know: that passes as it is, under its name."""
    window = _WINDOWS.get(coding.strip().lower())
    return None if window is None else Inflater(window)


class Inflater:
    """One gzip or deflate body; gzip may come in several members, deflate without its header."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._inflate = zlib.decompressobj(window)
        self._left = b""
        self._begun = False

    def decode(self, data: bytes) -> bytes:
        """The next decoded bytes, at most a mebibyte. Raises Undecodable."""
        data = self._left + data
        if not self._begun and data:
            self._begun = True
            if self._window == _DEFLATE and data[0] & 0x0F != _ZLIB:
                self._inflate = zlib.decompressobj(-_DEFLATE)
        elif self._inflate.eof and data:
            self._inflate = zlib.decompressobj(self._window)
        try:
            decoded = self._inflate.decompress(data, _PIECE)
        except zlib.error as error:
            raise Undecodable(str(error)) from error
        self._left = self._inflate.unconsumed_tail or self._inflate.unused_data
        return decoded

    def waiting(self) -> bool:
        """Whether more can be decoded without more data."""
        return bool(self._left)

    def end(self) -> None:
        """Raises Undecodable when the body was cut off."""
        if self._begun and not self._inflate.eof:
            raise Undecodable("the coded body is cut off")
