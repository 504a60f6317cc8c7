"""A conversation of a soak: as agents do, it sends all of its history again with every turn."""

import json
from base64 import b64encode
from random import Random

from bench import samples

MAX_TURNS = 30
_IMAGE_BYTES = 20_000
IMAGES = [Random(seed).randbytes(_IMAGE_BYTES) for seed in range(8)]
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": samples.answer_text(number)[16:],
            "parameters": {"type": "object", "properties": {"n": {"type": "string"}}},
        },
    }
    for number in range(4)
]


class Talk:
    """What was said so far. `image` is shown with the first question."""

    def __init__(self, image: bytes | None = None) -> None:
        self.turns = 0
        self._image = image
        self._said: list[dict[str, object]] = [
            {"role": "system", "content": "You look things up before you answer. " * 8}
        ]

    def question(self, number: int) -> str:
        """The body of the next request."""
        return self._body(number, [*self._said, self._question(number)])

    def went_on(self, number: int) -> None:
        """Takes the turn into the history, as a client does: not all that was answered."""
        digits = f"{number:012d}"
        call = samples.tool_call(digits)
        self._said += [
            self._question(number),
            {"role": "assistant", "content": samples.answer_text(number), "tool_calls": [call]},
            {"role": "tool", "content": f"found {digits}", "tool_call_id": call["id"]},
        ]
        self.turns += 1

    def go_back(self) -> None:
        """Forgets the later half of it: the next turn is another branch."""
        self.turns //= 2
        del self._said[1 + 3 * self.turns :]

    @property
    def messages(self) -> int:
        """How many the next request has."""
        return len(self._said) + 1

    def _question(self, number: int) -> dict[str, object]:
        text = f"Question {samples.mark(number)} what is the answer?"
        if self._image is None or self.turns:
            return {"role": "user", "content": text}
        url = f"data:image/png;base64,{b64encode(self._image).decode()}"
        shown = {"type": "image_url", "image_url": {"url": url}}
        return {"role": "user", "content": [shown, {"type": "text", "text": text}]}

    @staticmethod
    def _body(number: int, messages: list[dict[str, object]]) -> str:
        body = {
            "model": samples.CALLING,
            "messages": messages,
            "tools": _TOOLS,
            "store": True,
            "metadata": {"run": f"{number % samples.RUNS:02d}", "n": f"{number:012d}"},
        }
        return json.dumps(body, separators=(",", ":"))
