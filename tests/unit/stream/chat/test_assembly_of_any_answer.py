"""Any plain answer, sent as a legal stream and cut anywhere, comes out as it was."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, AnyStr

from hypothesis import given
from hypothesis import strategies as st
from support.assembly import read

Json = dict[str, Any]


def record(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(fields)


def also(*optional: tuple[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=dict(optional))


def both(one: st.SearchStrategy[Json], other: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.builds(lambda first, second: {**first, **second}, one, other)


def id_of(call: Json) -> str:
    return str(call["id"])


def has_content_or_null(message: Json) -> bool:
    """An empty content beside a refusal or calls is null in a plain answer."""
    return message["content"] != "" or not (message["refusal"] or message.get("tool_calls"))


texts = st.text(max_size=12)
names = st.text("abc_", min_size=1, max_size=5)
calls = record(id=names, type=st.just("function"), function=record(name=names, arguments=texts))
messages = both(
    record(role=st.just("assistant"), content=st.none() | texts, refusal=st.none() | texts),
    also(
        ("tool_calls", st.lists(calls, max_size=3, unique_by=id_of)), ("reasoning_content", texts)
    ),
).filter(has_content_or_null)
choices = record(
    message=messages,
    logprobs=st.none() | record(content=st.lists(record(token=texts, logprob=st.floats(-9, 0)))),
    finish_reason=st.sampled_from(["stop", "length", "tool_calls"]),
)
completions = both(
    record(
        id=names,
        object=st.just("chat.completion"),
        created=st.integers(1, 1 << 40),
        model=names,
        choices=st.lists(choices, min_size=1, max_size=3).map(
            lambda plain: [{"index": index, **choice} for index, choice in enumerate(plain)]
        ),
    ),
    also(
        ("usage", record(total_tokens=st.integers(0, 99), cost=st.floats(0, 1))),
        ("service_tier", st.none() | names),
        ("system_fingerprint", names),
    ),
)


def cut(draw: st.DrawFn, whole: AnyStr) -> list[AnyStr]:
    cuts: list[int] = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    return [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]


def mixed(draw: st.DrawFn, sequences: Iterable[list[Json]]) -> list[Json]:
    """One sequence of all, each in its own order."""
    waiting = [list(sequence) for sequence in sequences]
    found = []
    while waiting := [sequence for sequence in waiting if sequence]:
        found.append(draw(st.sampled_from(waiting)).pop(0))
    return found


def call_pieces(draw: st.DrawFn, index: int, call: Json) -> list[Json]:
    opening = {"name": call["function"]["name"], "arguments": ""}
    pieces = cut(draw, call["function"]["arguments"])
    return [
        {"index": index, **call, "function": opening},
        *({"index": index, "function": {"arguments": piece}} for piece in pieces),
    ]


def deltas(draw: st.DrawFn, message: Json) -> list[Json]:
    texts = {key: text for key, text in message.items() if isinstance(text, str) and key != "role"}
    opening = {"role": "assistant", "content": None, "refusal": None, **dict.fromkeys(texts, "")}
    if message["refusal"] or message.get("tool_calls"):
        opening["content"] = draw(st.sampled_from(["", opening["content"]]))
    pieces = mixed(
        draw, ([{key: piece} for piece in cut(draw, text)] for key, text in texts.items())
    )
    if "tool_calls" in message:
        of_calls = (call_pieces(draw, *numbered) for numbered in enumerate(message["tool_calls"]))
        pieces += [{"tool_calls": []}, *({"tool_calls": [one]} for one in mixed(draw, of_calls))]
    return [opening, *pieces]


def choice_chunks(draw: st.DrawFn, choice: Json) -> list[Json]:
    found: list[Json] = [
        {"delta": delta, "logprobs": None, "finish_reason": None}
        for delta in deltas(draw, choice["message"])
    ]
    if choice["logprobs"] is not None:
        entries = [[], *([entry] for entry in choice["logprobs"]["content"])]
        found += ({"delta": {}, "logprobs": {"content": entry}} for entry in entries)
    found.append({"delta": {}, "finish_reason": choice["finish_reason"]})
    return [{"index": choice["index"], **part} for part in found]


@st.composite
def streamed(draw: st.DrawFn) -> tuple[Json, list[bytes]]:
    """A plain completion, and the reads of a legal stream of it."""
    plain = draw(completions)
    top = {key: value for key, value in plain.items() if key not in ("choices", "usage")}
    top["object"] = "chat.completion.chunk"
    chunks = [
        {**top, "choices": [part], "usage": None, "obfuscation": draw(texts)}
        for part in mixed(draw, (choice_chunks(draw, choice) for choice in plain["choices"]))
    ]
    if "usage" in plain:
        chunks.append({**top, "choices": [], "usage": plain["usage"]})
    ascii_only, end = draw(st.booleans()), draw(st.sampled_from(["\n\n", "\r\n\r\n"]))
    lines = [json.dumps(chunk, ensure_ascii=ascii_only) for chunk in chunks]
    stream = "".join(f"data: {line}{end}" for line in [*lines, "[DONE]"]).encode()
    return plain, cut(draw, stream)


@given(streamed())
def test_a_streamed_answer_is_the_plain_answer(case: tuple[Json, list[bytes]]) -> None:
    plain, reads = case
    assembly = read(reads, n=len(plain["choices"]))
    assert assembly.done
    assert assembly.complete
    assert json.loads(assembly.completion()) == plain
