"""The wire formats that are known, each as plain data and functions.

What the proxy, records and stores need to know of an API's calls stands here; they know no other
part of a format. A new one is its modules in core/wire and core/stream, its name and prefix in
core/model/form.py, a row here, and a route.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from chatkeep.core.model.completion import Stored, Turn
from chatkeep.core.model.form import FormName
from chatkeep.core.model.ids import CompletionId
from chatkeep.core.stream.chat import chunks
from chatkeep.core.stream.relay import StreamReader
from chatkeep.core.wire.answer import Answer, Renamed
from chatkeep.core.wire.attachments import Attachment
from chatkeep.core.wire.chat import answer as answers
from chatkeep.core.wire.chat import attachments, events, expired, renaming, request, stored, text
from chatkeep.core.wire.request import CreateRequest, StoreHeaders


class UpstreamBody(Protocol):
    def __call__(
        self, request: CreateRequest, *, keep_store: bool, add_usage: bool, model: str | None
    ) -> bytes:
        """The bytes for the upstream: as received but for the documented edits.

        What is for us alone goes unless `keep_store`. With `add_usage` the usage of a stream is
        asked for, where the client did not. `model` is the name the upstream knows the model by,
        None to leave it.
        """
        ...


class ReadStream(Protocol):
    def __call__(
        self, request: CreateRequest, id: CompletionId, *, add_usage: bool
    ) -> StreamReader:
        """Reads the stream that answers a request. `add_usage` is what its `upstream_body` had."""
        ...


class Form(Struct, frozen=True):
    """A wire format. `name` is the `object` of its answers, `path` where an upstream is called.

    An element is a part of the growing list in a request: of chat, a message.
    """

    name: FormName
    path: str
    # How a request is cut, and what goes up in its place. Raises Refusals.
    read_request: Callable[[bytes, StoreHeaders], CreateRequest]
    upstream_body: UpstreamBody
    # What an answer says, None for what is none; the same under our id; whatever it is, under ours.
    read_answer: Callable[[bytes], Answer | None]
    renamed: Callable[[bytes, CompletionId], Renamed | None]
    under: Callable[[bytes, CompletionId], Renamed]
    # How a stream ends and is put together; a stored answer as the stream it could have come in.
    read_stream: ReadStream
    as_stream: Callable[[CreateRequest, bytes], bytes]
    # How items are shown: as the API does, with what else is known, in a conversation.
    show: Callable[[Stored], bytes]
    show_kept: Callable[[Stored], bytes]
    show_turn: Callable[[Turn], bytes]
    show_element: Callable[[str, bytes], bytes]
    show_deleted: Callable[[str], bytes]
    show_list: Callable[[Iterable[bytes], str | None, str | None, bool], bytes]
    # Of elements: what search looks into, and the files in them.
    texts: Callable[[Iterable[bytes]], list[str]]
    attachments: Callable[[Iterable[bytes]], Iterator[Attachment]]
    # The request and the answer that stay when a body expires: figures, and nothing anybody said.
    expired: Callable[[Stored], tuple[bytes, bytes]]


CHAT = Form(
    name="chat.completion",
    path="/chat/completions",
    read_request=request.read_request,
    upstream_body=request.upstream_body,
    read_answer=answers.read_answer,
    renamed=renaming.renamed,
    under=renaming.under,
    read_stream=chunks.read_stream,
    as_stream=events.as_stream,
    show=stored.completion,
    show_kept=stored.kept,
    show_turn=stored.turn,
    show_element=stored.message_item,
    show_deleted=stored.deleted,
    show_list=stored.list_body,
    texts=text.message_texts,
    attachments=attachments.attachments,
    expired=expired.expired,
)
