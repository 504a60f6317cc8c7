"""The built-in model: llama.cpp with a small model in a child process."""

from chatkeep.upstream.local.model import LocalModel
from chatkeep.upstream.local.request import MODEL_ID

__all__ = ["MODEL_ID", "LocalModel"]
