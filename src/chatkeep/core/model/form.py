"""The names of wire formats, and how ids of each begin. What else one is: core/forms.py."""

from collections.abc import Mapping
from typing import Literal

FormName = Literal["chat.completion"]
PREFIXES: Mapping[FormName, str] = {"chat.completion": "chatcmpl-"}
