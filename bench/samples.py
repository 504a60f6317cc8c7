"""What is sent and what the mock upstream answers. Every value follows from a number.

A request carries its number as `n=000000000042;` and the mock puts the same into its answer, so any
stored record can be checked without remembering what was said.

Requests are templates: `@NUMBER@` and `@RUN@` vary with every request, `@ID@` is a stored
completion and `@ITS@` the number it was made with.
"""

import json
import random
import re

KEY = "sk-ck-" + "0123456789abcdef" * 4
MODEL = "bench"
PACED = "bench-paced"
# The same for gateways that serve no models but a provider's.
KNOWN_MODEL = "gpt-4o"
KNOWN_PACED = "gpt-4o-mini"
CALLING = "bench-calling"  # answers with a call of a tool as well
TWICE = "bench-twice"  # has two choices
# What goes wrong with an upstream, from an error to no answer at all.
FAILING = "bench-failing"
BREAKING = "bench-breaking"
CUT = "bench-cut"
PAGE = "bench-page"
ENDLESS = "bench-endless"
SILENT = "bench-silent"

RUNS = 20  # a page of 20 with one pair is full from 1,000 rows on
STREAM_CHUNKS = 200
PACED_CHUNKS = 100
PACE_S = 0.02
LIST_LIMIT = 20

COMPLETIONS = "/v1/chat/completions"
RECORDS = "/keep/v1/completions"
STATIC = "/answer"  # the bare forwarder's own: what its stack costs without any work

_ANSWER_CHARS = 720  # 1 KB with the JSON around it
_VOCABULARY = """about after answer because before behind between bottle bridge candle carry circle
clear cloud coffee corner count cover danger double early effort engine enough evening exact
family figure finger follow forest garden gentle ground happen harbour hidden history inside
island judge kitchen ladder lantern letter listen little market matter middle minute mirror
morning mountain narrow number ordinary outside paper pattern people person picture planet
pocket quarter question quiet reason record remember ribbon river second shadow shelter signal
silver simple single sister spring station stone street summer supper table theory thread
ticket travel valley village violet voice waiting wander weather welcome whisper window winter
wonder worker yellow yesterday"""
_WORDS = _VOCABULARY.split()
_random = random.Random(7)
_TEXT = " ".join(_random.choice(_WORDS) for _ in range(700))
_DELTAS = [" " + _random.choice(_WORDS) for _ in range(STREAM_CHUNKS - 1)]
_MARK = re.compile(r"n=(\d{12});")


def mark(number: int) -> str:
    return f"n={number:012d};"


def marked(text: str) -> int | None:
    """The number in a text."""
    found = _MARK.search(text)
    return None if found is None else int(found[1])


def answer_text(number: int) -> str:
    start = number * 31 % (len(_TEXT) - _ANSWER_CHARS)
    return f"{mark(number)} {_TEXT[start : start + _ANSWER_CHARS]}"


def deltas(number: int, chunks: int) -> list[str]:
    return [mark(number), *_DELTAS[: chunks - 1]]


def expected_texts(number: int) -> tuple[str, ...]:
    """What an answer to this number may say, by the three kinds of call."""
    return (
        answer_text(number),
        "".join(deltas(number, STREAM_CHUNKS)),
        "".join(deltas(number, PACED_CHUNKS)),
    )


def plain(*, store: bool) -> str:
    return _post(COMPLETIONS, create_body(store=store))


def stream(model: str, *, store: bool) -> str:
    return _post(COMPLETIONS, create_body(store=store, model=model, stream=True))


def update() -> str:
    metadata = '{"run":"@RUN@","n":"@ITS@","grade":"@NUMBER@"}'
    return _post(f"{COMPLETIONS}/@ID@", f'{{"metadata":{metadata}}}')


def retrieve() -> str:
    return _get(f"{COMPLETIONS}/@ID@")


def messages() -> str:
    return _get(f"{COMPLETIONS}/@ID@/messages")


def page() -> str:
    return _get(f"{COMPLETIONS}?limit={LIST_LIMIT}")


def filtered_page() -> str:
    return _get(f"{COMPLETIONS}?limit={LIST_LIMIT}&metadata%5Brun%5D=@RUN@")


def static() -> str:
    return _get(STATIC)


def tool_call(digits: str) -> dict[str, object]:
    """The call of a tool in an answer to the number with these digits."""
    function = {"name": "look_up", "arguments": f'{{"n": "{digits}"}}'}
    return {"id": f"call_{digits}", "type": "function", "function": function}


def create_body(*, store: bool, model: str = MODEL, stream: bool = False) -> str:
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant that answers briefly."},
            {"role": "user", "content": "Question n=@NUMBER@; of run @RUN@: what is the answer?"},
        ],
        "temperature": 0.5,
    }
    if stream:
        body["stream"] = True
    if store:
        body |= {"store": True, "metadata": {"run": "@RUN@", "n": "@NUMBER@"}}
    return json.dumps(body, separators=(",", ":"))


def filled(template: str, number: int, id: str = "", its: int = 0) -> str:
    text = template.replace("@NUMBER@", f"{number:012d}").replace("@ITS@", f"{its:012d}")
    return text.replace("@RUN@", f"{number % RUNS:02d}").replace("@ID@", id)


def _get(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\n{_HEADERS}\r\n"


def _post(path: str, body: str) -> str:
    length = len(filled(body, 0))  # every filling is equally long
    head = f"POST {path} HTTP/1.1\r\n{_HEADERS}content-type: application/json\r\n"
    return f"{head}content-length: {length}\r\n\r\n{body}"


_HEADERS = f"host: bench\r\nauthorization: Bearer {KEY}\r\n"
