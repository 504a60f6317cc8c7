"""Exchanges about stored chat completions as OpenAI answers them, each named after what it shows:
keys and their order, codes and the ends of pages are OpenAI's, texts and numbers are ours.

`ALL` also has the recorded exchanges. Both are lists of entries with `method`, `uri`,
`request_body`, `status` and `response_body`.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from support import contract

Json = dict[str, Any]

URL = "https://api.openai.com/v1/chat/completions"
INVALID = "invalid_request_error"
NOBODYS = "comp-of-nobody"
IMAGE = "https://example.com/leaf.png"
TOOL = {
    "type": "function",
    "function": {"name": "find_leaf", "parameters": {"type": "object", "properties": {}}},
}


class Call(NamedTuple):
    """A create: what was asked, and what OpenAI answered."""

    request: Json
    answer: Json

    @property
    def id(self) -> str:
        return str(self.answer["id"])


def call(number: int, reply: str, *messages: Any, **fields: Any) -> Call:
    asked = [{"role": "user", "content": message} for message in messages or ("Which leaf?",)]
    return Call(
        {"messages": asked, "model": "gpt-4o-mini", "store": True, **fields},
        {
            "id": f"chatcmpl-Answer{number:023d}",
            "object": "chat.completion",
            "created": 1_760_000_000 + number,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [choice(reply)],
            "usage": usage(prompt=7 * len(asked), completion=len(reply.split())),
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
        },
    )


def choice(reply: str) -> Json:
    message: Json = {"role": "assistant", "content": reply, "refusal": None, "annotations": []}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}


def usage(prompt: int, completion: int) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def stored(call: Call, metadata: Json | None = None) -> Json:
    """The stored object: 19 keys, defaults where the request said nothing, and less of the answer.

    The request id is made up. So is the seed, as OpenAI does where none was given.
    """
    asked, answer = call.request, call.answer
    reply = answer["choices"][0]["message"]
    used = answer["usage"]
    return {
        "object": "chat.completion",
        "id": call.id,
        "model": answer["model"],
        "created": answer["created"],
        "request_id": f"req_{answer['created']:032x}",
        "tool_choice": None,
        "usage": {key: used[key] for key in ("total_tokens", "completion_tokens", "prompt_tokens")},
        "seed": -(2**62) - answer["created"],
        "top_p": 1.0,
        "temperature": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "system_fingerprint": answer["system_fingerprint"],
        "input_user": None,
        "service_tier": answer["service_tier"],
        "tools": asked.get("tools"),
        "metadata": asked.get("metadata", {}) if metadata is None else metadata,
        "choices": [
            {
                "index": 0,
                "message": {
                    "content": reply["content"],
                    "role": "assistant",
                    "tool_calls": None,
                    "function_call": None,
                },
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "response_format": None,
    }


def item(call: Call, index: int, content: str, parts: list[Json] | None = None) -> Json:
    """A message of the request, as it is listed."""
    named = {"id": f"{call.id}-{index}", "role": "user"}
    return {**named, "content": content, "content_parts": parts, "name": None}


def content_part(type: str, **fields: Any) -> Json:
    empty = dict.fromkeys(("text", "image_url", "input_audio", "file"))
    return {"type": type, **empty, **fields}


def page(*rows: Any, has_more: bool = False) -> Json:
    ids = [row["id"] for row in rows if isinstance(row, dict)] or [None]
    ends = {"first_id": ids[0], "last_id": ids[-1]}
    return {"object": "list", "data": [*rows], **ends, "has_more": has_more}


def error(message: str, param: str | None, code: str) -> Json:
    return {"error": {"message": message, "type": INVALID, "param": param, "code": code}}


# One exchange each, as an entry.


def entry(method: str, path: str, answer: Json, status: int = 200, asked: Any = None) -> Json:
    return {
        "method": method,
        "uri": URL + path,
        "request_body": asked,
        "status": status,
        "response_body": answer,
    }


def create(call: Call) -> Json:
    return entry("POST", "", call.answer, asked=call.request)


def retrieve(call: Call) -> Json:
    return entry("GET", f"/{call.id}", stored(call))


def update(call: Call, metadata: Json) -> Json:
    return entry("POST", f"/{call.id}", stored(call, metadata), asked={"metadata": metadata})


def delete(call: Call) -> Json:
    answer = {"object": "chat.completion.deleted", "id": call.id, "deleted": True}
    return entry("DELETE", f"/{call.id}", answer)


def not_found(method: str, id: str, path: str = "") -> Json:
    answer = error(f"Completion {id} not found", "completion_id", "not_found")
    return entry(method, f"/{id}{path}", answer, 404)


def listed(query: str, *rows: Any, has_more: bool) -> Json:
    shown = (stored(row) if isinstance(row, Call) else row for row in rows)
    return entry("GET", query, page(*shown, has_more=has_more))


def messages(call: Call, query: str, *items: Json, has_more: bool = False) -> Json:
    return entry("GET", f"/{call.id}/messages{query}", page(*items, has_more=has_more))


OAK = call(1, "An oak leaf.")
ELM = call(2, "An elm leaf.", metadata={"tree": "elm", "season": "spring"})
ASH = call(3, "It is ash.", metadata={"tree": "ash"})
LARGE = call(4, "A large one.", metadata={"size": "large"})
SMALL = call(5, "A small one.", metadata={"size": "small"})
LOOK = [
    {"type": "text", "text": "Look at it: "},
    {"type": "image_url", "image_url": {"url": IMAGE}},
]
PARTS = [
    content_part("text", text="Look at it: "),
    content_part("image_url", image_url={"url": IMAGE, "detail": None}),
]
LONG = call(6, "A birch.", "Use the tool.", "Name a leaf.", "And one more.", LOOK, tools=[TOOL])
ITEMS = [item(LONG, index, one) for index, one in enumerate(("Use the tool.", "Name a leaf."))]
# An image adds an empty text to those of its message, which a space joins.
MORE = [item(LONG, 2, "And one more."), item(LONG, 3, "Look at it:  ", PARTS)]
SHOWN_KEY = "of-nobod***********tree"

DELETED = "what is stored is retrieved until it is deleted"
PAGES_OF_MESSAGES = "messages come in pages, the first one first"
EXCHANGES: dict[str, list[Json]] = {
    DELETED: [
        create(OAK),
        retrieve(OAK),
        delete(OAK),
        not_found("GET", OAK.id),
        not_found("DELETE", OAK.id),
    ],
    "an update answers the whole object": [
        create(ELM),
        retrieve(ELM),
        update(ELM, {"tree": "wych elm", "seen": "twice"}),
        delete(ELM),
        not_found("GET", ELM.id),
    ],
    PAGES_OF_MESSAGES: [
        create(LONG),
        messages(LONG, "?limit=2", *ITEMS, has_more=True),
        messages(LONG, f"?after={LONG.id}-1&limit=2", *MORE),
        messages(LONG, f"?after={LONG.id}-3&limit=2"),
        delete(LONG),
    ],
    "messages are on one page unless asked otherwise": [
        create(ASH),
        messages(ASH, "", item(ASH, 0, "Which leaf?")),
        delete(ASH),
    ],
    "completions come in pages, the newest first": [
        *map(create, (OAK, ELM, ASH)),
        listed("?limit=2", ASH, ELM, has_more=True),
        listed(f"?after={ELM.id}&limit=1", OAK, has_more=True),
        *map(delete, (OAK, ELM, ASH)),
    ],
    "a list that is asked for nothing shows twenty": [
        create(OAK),
        listed("", OAK, "and 19 that were there before", has_more=True),
        delete(OAK),
    ],
    "a list of some metadata shows what has it": [
        create(LARGE),
        create(SMALL),
        listed("?limit=10&metadata[size]=large", LARGE, has_more=False),
        delete(LARGE),
        delete(SMALL),
    ],
    "a wrong key is shown in part": [
        entry(
            "POST",
            "",
            error(
                f"Incorrect API key provided: {SHOWN_KEY}. You can find your API key elsewhere.",
                None,
                "invalid_api_key",
            ),
            401,
            OAK.request,
        )
    ],
    "an unknown completion has no messages": [not_found("GET", NOBODYS, "/messages")],
}
_RECORDED = "recorded: "


def every(ours: Iterable[str], recordings: Iterable[str]) -> list[Any]:
    """For `parametrize`: the names of these exchanges of ours, and of these recordings."""
    marked = (
        pytest.param(_RECORDED + name, marks=pytest.mark.recordings, id=name) for name in recordings
    )
    return [*ours, *marked]


ALL = every(EXCHANGES, contract.RECORDINGS)
LIVES = every([DELETED], ["StoredChatCompletionsWork"])  # of one completion, from its create on


def entries_of(name: str) -> list[Json]:
    """The exchanges of one of ALL, in order."""
    if name in EXCHANGES:
        return EXCHANGES[name]
    return contract.recordings()[name.removeprefix(_RECORDED)]


def is_recorded(name: str) -> bool:
    return name.startswith(_RECORDED)


def beside(name: str) -> list[Json]:
    """All exchanges from where those of this name are: ours, or the recorded ones."""
    known = EXCHANGES if name in EXCHANGES else contract.recordings()
    return [entry for entries in known.values() for entry in entries]


def plain_answer(name: str) -> bytes:
    """The answer of the first exchange, without white space."""
    answer = entries_of(name)[0]["response_body"]
    return json.dumps(answer, separators=(",", ":")).encode()
