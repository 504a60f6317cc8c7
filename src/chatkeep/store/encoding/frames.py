"""zstd frames as bodies hold them: a whole text each, without the bytes that say it is zstd."""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

Compressor = zstd.ZstdCompressor
Dictionary = zstd.ZstdDict
# MemoryError: a damaged frame may claim any size.
UNREADABLE = (zstd.ZstdError, MemoryError)

_MAGIC = b"\x28\xb5\x2f\xfd"
_OPTION = zstd.CompressionParameter


def dictionary(content: bytes, tables: bytes = b"") -> Dictionary:
    return Dictionary(tables + content, is_raw=not tables)


def compressor(dictionary: Dictionary, level: int) -> Compressor:
    """For one thread at a time."""
    options: dict[int, int] = {
        _OPTION.compression_level: level,
        _OPTION.content_size_flag: 1,
        _OPTION.checksum_flag: 0,
        _OPTION.dict_id_flag: 0,
    }
    # Not digested: ours is short, and any other is used once.
    return Compressor(options=options, zstd_dict=dictionary.as_undigested_dict)


def compressed(text: bytes, compressor: Compressor) -> bytes:
    return compressor.compress(text, Compressor.FLUSH_FRAME)[len(_MAGIC) :]


def text_of(frame: bytes, dictionary: Dictionary) -> bytes:
    """Raises one of UNREADABLE."""
    # As `zstd.decompress` does it, but for a single frame.
    decompressor = zstd.ZstdDecompressor(dictionary)
    text = decompressor.decompress(_MAGIC + frame)
    if not decompressor.eof or decompressor.unused_data:
        raise zstd.ZstdError("there is less or more than a frame")
    return text
