"""Streams as OpenAI sends them, each named after what it shows: the order of keys and of events is
OpenAI's, the texts are ours. `ALL` also has the recorded streams, which show the same.
"""

import json
import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import pytest
from support import contract

Json = dict[str, Any]
Part = Json  # of a choice, in one chunk

HEAD = {
    "object": "chat.completion.chunk",
    "created": 1_760_000_000,
    "model": "gpt-4o-2024-08-06",
    "system_fingerprint": "fp_0123456789",
}
OPENING: Json = {"role": "assistant", "content": "", "refusal": None}
DONE = b"data: [DONE]\n\n"
PIECES = re.compile(r"\n| *\w+| *[^\w\s]+")
LONG = "".join(
    f'{line}. "Two times {line}", says line {line}, "is {2 * line}." \u00e9\U0001f680\n'
    for line in range(1, 12)
)
CALL = {
    "index": 0,
    "id": "call_OfOurOwn000000000000001",
    "type": "function",
    "function": {"name": "find_record", "arguments": ""},
}
ARGUMENTS = ['{"', "word", '":"', "gr\u00fcn", " tea", '","', "limit", '":', "20", "}"]


def upstream_id(number: int) -> str:
    return f"chatcmpl-Stream{number:023d}"


def part(delta: Json, index: int = 0, logprobs: Any = None, reason: str | None = None) -> Part:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}


def said(text: str, index: int = 0, reason: str = "stop") -> list[Part]:
    """An answer: its opening, its pieces, its end."""
    pieces = [part({"content": piece}, index) for piece in PIECES.findall(text)]
    return [part(OPENING, index), *pieces, part({}, index, reason=reason)]


def refusal(text: str) -> list[Part]:
    opening = {"role": "assistant", "content": None, "refusal": ""}
    pieces = [part({"refusal": piece}) for piece in PIECES.findall(text)]
    return [part(opening), *pieces, part({}, reason="stop")]


def with_logprobs(pieces: dict[str, float]) -> list[Part]:
    opening = part(OPENING, logprobs={"content": [], "refusal": None})
    return [opening, *(_likely(*piece) for piece in pieces.items()), part({}, reason="stop")]


def _likely(piece: str, logprob: float) -> Part:
    token = {"token": piece, "logprob": logprob, "bytes": [*piece.encode()], "top_logprobs": []}
    return part({"content": piece}, logprobs={"content": [token], "refusal": None})


def tool_call(call: Json, fragments: list[str]) -> list[Part]:
    opening = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
    deltas = [{"tool_calls": [{"index": 0, "function": {"arguments": one}}]} for one in fragments]
    return [part(opening), *map(part, deltas), part({}, reason="tool_calls")]


def in_turns(*texts: str) -> Iterator[Part]:
    """Answers to one request: each opens with its first piece, then they take turns."""
    answers = [said(text, index) for index, text in enumerate(texts)]
    for answer in answers:
        yield from answer[:2]
    for turn in zip_longest(*(answer[2:] for answer in answers)):
        yield from filter(None, turn)


def stream(number: int, *parts: Part) -> bytes:
    """Each part in a chunk, then what was used, then the end."""
    head = {"id": upstream_id(number), **HEAD}
    said = len(parts) - 2
    counts = {"prompt_tokens": 9, "completion_tokens": said, "total_tokens": 9 + said}
    usage = {**counts, "completion_tokens_details": {"reasoning_tokens": 0}}
    chunks: list[Json] = [{**head, "choices": [one]} for one in parts]
    return b"".join(map(_event, [*chunks, {**head, "choices": [], "usage": usage}])) + DONE


def _event(chunk: Json) -> bytes:
    return f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


STREAMS = {
    "a refusal": stream(1, *refusal("No: what was deleted, stays deleted, and nobody reads it.")),
    "cut by max_tokens": stream(2, *said("[", reason="length")),
    "logprobs beside each piece": stream(3, *with_logprobs({"Yes": -1e-05, "\u2014": -0.6875})),
    "a tool call in fragments": stream(4, *tool_call(CALL, ARGUMENTS)),
    "three choices in turns": stream(
        5, *in_turns('{"colour":"red"}', '{"colour":"blue","deep":true}', '{"colour":"green"}')
    ),
    "a longer text": stream(6, *said(LONG)),
}
_RECORDED = "recorded: "


def every(*shown: str) -> list[Any]:
    """For `parametrize`: the names of our streams that show this, and of the recorded ones."""
    recorded = (pytest.param(_RECORDED + one, marks=pytest.mark.recordings) for one in shown)
    return [*shown, *recorded]


ALL = every(*STREAMS)


def shown_by(name: str) -> str:
    return name.removeprefix(_RECORDED)


def stream_of(name: str) -> bytes:
    """The bytes of one of ALL."""
    return STREAMS[name] if name in STREAMS else contract.stream(shown_by(name))


def choices_of(name: str) -> int:
    """How many were asked for."""
    return 3 if shown_by(name) == "three choices in turns" else 1
