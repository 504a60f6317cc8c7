"""The key an operator gives an encrypted store: 32 random bytes, written as 64 hex digits."""

import re
from collections.abc import Callable

from chatkeep.errors import BadSetting

_BYTES = 32
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_FEWEST = 16  # different bytes: of 32 random ones there are 30, and practically never below 22


def new(token_bytes: Callable[[int], bytes]) -> str:
    return token_bytes(_BYTES).hex()


def parsed(text: str, given_by: str) -> bytes:
    """Raises BadSetting, which says nothing of the text."""
    text = text.strip()
    if not _HEX.fullmatch(text):
        raise BadSetting(
            f"the key that {given_by} gives is not 64 hex digits; make one with: chatkeep"
            " encryption new-key"
        )
    key = bytes.fromhex(text)
    if len(set(key)) < _FEWEST:
        raise BadSetting(
            f"the key that {given_by} gives is not random; make one with: chatkeep encryption"
            " new-key"
        )
    return key
