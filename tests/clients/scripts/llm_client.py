"""The `llm` command, which cannot set body fields: its models' `headers` ask for keeping."""

import json
import os
import subprocess
import sys
from pathlib import Path

from report import HELLO, KEY, MODEL, STORY, URL, WEATHER, got, tell

LLM = Path(sys.executable).with_name("llm")
TOOL = """
def get_forecast(city: str, days: int) -> str:
    "The weather forecast."
    return f"{days} dry days in {city}"
"""


def model(call):
    """One of extra-openai-models.yaml, in which JSON is YAML."""
    metadata = {"client": "llm", "call": call}
    return {
        "model_id": call,
        "model_name": MODEL,
        "api_base": URL,
        "api_key_name": "chatkeep",
        "headers": {"x-chatkeep-store": "true", "x-chatkeep-metadata": json.dumps(metadata)},
        "supports_tools": True,
        "supports_schema": True,
    }


def llm(*arguments):
    ran = subprocess.run([LLM, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def asked(call, question, *options):
    """The command's output is the answer's text; its log has the rest."""
    printed = llm("prompt", "-m", call, question, *options)
    for row in json.loads(llm("logs", "-m", call, "-n", "0", "--json")):
        calls = [(made["name"], made["arguments"]) for made in row["tool_calls"]]
        got(call, row["response"], calls, id=(row["response_json"] or {}).get("id"))
    assert row["response"] in printed, printed


os.environ["LLM_USER_PATH"] = folder = os.getcwd()
calls = ["plain", "stream", "tools", "tool stream", "structured"]
Path(folder, "extra-openai-models.yaml").write_text(json.dumps([model(call) for call in calls]))
llm("keys", "set", "chatkeep", "--value", KEY)

asked("plain", HELLO, "--no-stream")
asked("stream", STORY)
asked("tools", WEATHER, "--no-stream", "--functions", TOOL)
asked("tool stream", WEATHER, "--functions", TOOL)
asked("structured", WEATHER, "--no-stream", "--schema", "city, days int")
tell()
