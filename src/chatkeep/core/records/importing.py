"""Completions from elsewhere, kept under the ids and the times they came with.

A line is `{"request": {...}, "response": {...}}`: what was sent to create a completion, and the
completion. Both are kept byte for byte.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from msgspec import Struct

from chatkeep.core.forms import CHAT
from chatkeep.core.json import spans
from chatkeep.core.json.types import type_word
from chatkeep.core.model.completion import Project
from chatkeep.core.model.ids import CompletionId, Name, Seq
from chatkeep.core.model.record import Record
from chatkeep.core.ports.records import Failure, Import, Records
from chatkeep.core.usage.prices import Prices
from chatkeep.core.wire.answer import scrubbed
from chatkeep.core.wire.request import StoreHeaders
from chatkeep.core.wire.row import asked_of, model_of, row_of
from chatkeep.errors import NotJson, Refusal, UnusableValue

BATCH = 64  # lines that share a commit
_BATCH_BYTES = 8 << 20
_ID = 256
_SECONDS = 1 << 32
_UNNAMED = Name(Seq(0), b"", CompletionId(""))  # the store names it
_NO_HEADERS = StoreHeaders()


class Line(NamedTuple):
    """A line by its number, from 1; `text` is None when it is too long to be read."""

    number: int
    text: bytes | None


class Refused(NamedTuple):
    line: int
    why: str


class Tally(Struct):
    added: int = 0
    already_there: int = 0
    refused: int = 0

    @property
    def lines(self) -> int:
        return self.added + self.already_there + self.refused


def lines(file: BinaryIO, longest: int) -> Iterator[Line]:
    """The lines that are not blank; of a too long one no more than `longest` is in memory."""
    number = 0
    while text := file.readline(longest + 1):
        number += 1
        if len(text) > longest and not text.endswith(b"\n"):
            while text and not text.endswith(b"\n"):
                text = file.readline(longest)
            yield Line(number, None)
        elif not text.isspace():
            yield Line(number, text)


def batches(found: Iterable[Line]) -> Iterator[list[Line]]:
    """As many lines at a time as are kept with one commit."""
    batch: list[Line] = []
    size = 0
    for line in found:
        batch.append(line)
        size += len(line.text or b"")
        if len(batch) == BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Importer:
    """Adds lines to a project; `tally` counts what became of them."""

    def __init__(
        self,
        records: Records,
        project: Project,
        prices: Prices,
    ) -> None:
        self.tally = Tally()
        self._records = records
        self._project = project
        self._prices = prices

    async def add(self, batch: Sequence[Line]) -> list[Refused]:
        """Commits a batch and returns the lines that cannot be used.

        Raises what the store raises; what was committed by then is there the next time.
        """
        refused: list[Refused] = []
        imports: list[Import] = []
        for line in batch:
            try:
                imports.append(self._import(line.text))
            except Refusal as refusal:
                refused.append(Refused(line.number, _why(refusal)))
        kept = await self._records.import_many(self._project, imports)
        for failure in (one for one in kept if isinstance(one, Failure)):
            raise failure
        for row in kept:
            if row is None:
                self.tally.already_there += 1
            else:
                self.tally.added += 1
        self.tally.refused += len(refused)
        return refused

    def _import(self, text: bytes | None) -> Import:
        if text is None:
            raise UnusableValue("the line", got="too long", give="a shorter one")
        given = spans.fields(text)
        body, answer = (_object(given, name) for name in ("request", "response"))
        read = CHAT.read_answer(answer)
        if read is None:
            raise UnusableValue("response", got="no chat completion", give="one with choices")
        answered = spans.fields(answer)
        id = _id(_value(answered, "id"))
        request = CHAT.read_request(body, _NO_HEADERS)
        model = model_of(request, read)
        cost = self._prices.cost_micro("", model, read.usage, read.cost_micro)
        row = row_of(_UNNAMED, b"", request, read, cost)
        record = Record(asked_of(request), answer, id, None, read.texts)
        return Import(id, _created(_value(answered, "created")), row, record)


def _object(given: dict[str, bytes], name: str) -> bytes:
    text = given.get(name, b"null")
    if text[:1] != b"{":
        got = type_word(spans.loads(text)) if name in given else "missing"
        raise UnusableValue(name, got=got, give="an object")
    return text


def _value(fields: dict[str, bytes], name: str) -> Any:
    return spans.loads(fields.get(name, b"null"))


def _id(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _ID or scrubbed(value) != value:
        raise UnusableValue("response.id", got=_shown(value), give=f"a text of 1 to {_ID} letters")
    return value


def _created(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _SECONDS:
        raise UnusableValue("response.created", got=_shown(value), give="a unix second")
    return value


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float) else type_word(value)
    return text if len(text) <= 64 else f"{text[:60]}..."


def _why(refusal: Refusal) -> str:
    return "it is not JSON" if isinstance(refusal, NotJson) else refusal.message
