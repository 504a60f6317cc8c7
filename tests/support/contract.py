"""The originals of OpenAI's API: exchanges, streams and errors that others recorded, and the
OpenAPI document that fits them.

They are others' work and not in this repository. Tests marked `recordings` read them from
`../shared/contract` beside the checkout, or from the folder CHATKEEP_TEST_CONTRACT names; without
it these tests are deselected. Nothing here is read before it is asked for.
"""

import functools
import json
import os
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
VARIABLE = "CHATKEEP_TEST_CONTRACT"
FOLDER = Path(os.environ.get(VARIABLE) or ROOT.parent / "shared" / "contract")

# The recordings of OpenAI's .NET SDK, by the names of its tests.
RECORDINGS = (
    "StoredChatCompletionsWork",
    "UpdateChatCompletionWorks",
    "GetChatCompletionMessagesWithPagination",
    "GetChatCompletionMessagesWithAfterIdPagination",
    "GetChatCompletionsWithPagination",
    "GetChatCompletionsWithMinimalLimits",
    "GetChatCompletionsWithMinimalLimitsAsync",
    "GetChatCompletionsWithEmptyOptionsAsync",
    "GetChatCompletionsWithMetadataFiltering",
    "AuthFailure",
    "GetChatCompletionMessagesHandlesNonExistentCompletion",
)
# The recorded streams, by what each shows.
STREAMS = {
    "a refusal": "sse-173417d55340",
    "cut by max_tokens": "sse-4cc50a6135d2",
    "logprobs beside each piece": "sse-83b060bae42e",
    "a tool call in fragments": "sse-a247c49c5fcd",
    "three choices in turns": "sse-a491adda08c3",
    "a longer text": "sse-d61558011839",
}


def is_there() -> bool:
    return FOLDER.is_dir()


@functools.cache
def recordings() -> dict[str, list[dict[str, Any]]]:
    """The exchanges of each recording, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in _json("recordings/real-exchanges.json")["entries"]:
        found.setdefault(Path(entry["recording"]).stem, []).append(entry)
    return found


@functools.cache
def errors() -> dict[str, dict[str, Any]]:
    """Status and members of each known error, by its case."""
    return {
        known["case"]: {"status": known["status"], **known["error"]}
        for known in _json("errors.json")
    }


def stream(shown: str) -> bytes:
    return (FOLDER / "sse" / f"{STREAMS[shown]}.bin").read_bytes()


@functools.cache
def openapi() -> Any:
    """The OpenAPI document, cut to the stored chat completions, with what was observed over it."""
    text = (FOLDER / "openai-chat-completions.observed.openapi.yaml").read_text()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time, where it is there
    return yaml.load(text, loader)  # noqa: S506  # both are safe


def _json(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())
