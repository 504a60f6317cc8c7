"""How a client's script is called and how it tells what it got.

`script URL KEY` writes a JSON list with one row for each answer of the model, in their order.
"""

import json
import sys

URL, KEY = sys.argv[1:]
MODEL = "gpt-4o-mini"

HELLO = "Say hello to Zoë 👋🏽."
STORY = "Tell me\na story  of two “lines”."
WEATHER = "Will it rain in Zürich or 東京?"

_rows = []


def forecast(city, days):
    """The one tool of every client."""
    return f"{days} dry days in {city}"


def got(call, text=None, tools=(), **told):
    """One answer: `tools` are pairs of name and arguments, `told` what else the client tells."""
    rows = [{"name": name, "arguments": arguments} for name, arguments in tools]
    _rows.append({"call": call, "text": text or "", "tools": rows, **told})


def tell():
    json.dump(_rows, sys.stdout)
