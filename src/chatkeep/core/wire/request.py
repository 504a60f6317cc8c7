"""A create request of any wire format: the fields chatkeep acts on, and our headers beside it."""

from collections.abc import Mapping

from msgspec import Struct

from chatkeep.core.json import spans
from chatkeep.core.model.completion import Metadata
from chatkeep.core.wire import metadata
from chatkeep.errors import InvalidHeader, Refusal

STORE, METADATA = STORE_HEADERS = (b"x-chatkeep-store", b"x-chatkeep-metadata")
_STORE_WORDS = {b"true": True, b"false": False}


class StoreHeaders(Struct, frozen=True):
    """`x-chatkeep-store` and `x-chatkeep-metadata`, for clients that cannot set body fields."""

    store: bool | None = None
    metadata: Metadata = {}


class CreateRequest(Struct, frozen=True):
    """The body as received with the values chatkeep acts on. `store` is None when not said.

    `messages` are their bytes; `aside` are the bytes of what other calls are likely to have as
    well, of chat its tools. `has_own` says that the body has fields that are for us and not for the
    upstream.
    """

    body: bytes
    messages: list[bytes]
    aside: tuple[bytes, ...]
    model: str
    stream: bool
    include_usage: bool
    n: int
    store: bool | None
    metadata: Metadata
    has_own: bool


_NO_STORE_HEADERS = StoreHeaders()


def store_headers(headers: Mapping[bytes, bytes]) -> StoreHeaders:
    """Raises InvalidHeader and the metadata errors."""
    if STORE not in headers and METADATA not in headers:
        return _NO_STORE_HEADERS
    store, text = headers.get(STORE), headers.get(METADATA)
    if store is not None and store.lower() not in _STORE_WORDS:
        said = repr(store.decode("latin-1"))
        raise InvalidHeader(
            "x-chatkeep-store", name="x-chatkeep-store", why=f"it is {said}, not true or false"
        )
    return StoreHeaders(
        None if store is None else _STORE_WORDS[store.lower()],
        {} if text is None else _header_metadata(text),
    )


def _header_metadata(text: bytes) -> Metadata:
    name = "x-chatkeep-metadata"
    try:
        value = spans.loads(text)
    except Refusal as error:
        raise InvalidHeader(name, name=name, why="it is not JSON in UTF-8") from error
    return metadata.checked(value, name)
