"""The names of wire formats, their numbers, and how ids of each begin; the rest: core/forms.py."""

from collections.abc import Mapping
from typing import Literal

FormName = Literal["chat.completion"]
PREFIXES: Mapping[FormName, str] = {"chat.completion": "chatcmpl-"}
# From 1 to 15, and never another one: stores keep them.
NUMBERS: Mapping[FormName, int] = {"chat.completion": 1}
