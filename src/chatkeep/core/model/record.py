"""What is kept of a completion: the request as it was sent, the answer as it was received.

The request is cut where conversations grow: what stands around the messages hardly changes from
call to call, and of the messages each call adds a few.
"""

from collections.abc import Sequence

from msgspec import Struct

_USUAL = (b",", b", ")  # what most clients write between messages


class Request(Struct, frozen=True):
    """A request's bytes: `before`, the messages with `separators` between them, `after`.

    `aside` are stretches of `before` and `after` that other requests and answers are likely to
    have as well, such as tools; a store keeps each of them once.
    Without messages everything is `before`.
    """

    before: bytes
    messages: Sequence[bytes]
    separators: bytes | Sequence[bytes]  # one for all, when they are all the same
    after: bytes
    aside: Sequence[bytes] = ()

    def whole(self) -> bytes:
        return b"".join((self.before, together(self.messages, self.separators), self.after))


class Record(Struct, frozen=True):
    """A completion's bytes both ways.

    The answer of a stream is the completion assembled from it. `id` is ours as it stands in the
    answer, `upstream_id` what the upstream had in its place. `texts` is what search looks into of
    the answer, None for who has not read it.
    """

    request: Request
    answer: bytes
    id: str
    upstream_id: str | None
    texts: Sequence[str] | None = None


def cut(body: bytes, messages: Sequence[bytes], aside: Sequence[bytes] = ()) -> Request:
    """The request in parts. The messages, and what is put aside, are parts of its bytes."""
    for separator in _USUAL:
        inside = separator.join(messages)
        at = body.find(messages[0]) if messages else -1
        if at >= 0 and body.startswith(inside, at):
            return Request(body[:at], messages, separator, body[at + len(inside) :], aside)
    starts = _starts(body, messages)
    if not starts:
        return Request(body, (), b"", b"", aside)
    ends = [start + len(message) for start, message in zip(starts, messages, strict=True)]
    between = [body[end:start] for end, start in zip(ends, starts[1:], strict=False)]
    same = between[0] if between else b","
    uniform = between.count(same) == len(between)
    separators = same if uniform else between
    return Request(body[: starts[0]], messages, separators, body[ends[-1] :], aside)


def together(messages: Sequence[bytes], separators: bytes | Sequence[bytes]) -> bytes:
    if isinstance(separators, bytes):
        return separators.join(messages)
    pairs = zip(messages[1:], separators, strict=True)
    return b"".join((*messages[:1], *(piece for pair in pairs for piece in reversed(pair))))


def _starts(body: bytes, messages: Sequence[bytes]) -> list[int]:
    """Where the messages stand, one behind the other; empty when they do not."""
    starts: list[int] = []
    at = 0
    for message in messages:
        at = body.find(message, at)
        if at < 0:
            return []
        starts.append(at)
        at += len(message)
    return starts
