"""chatkeep: a self-hosted, OpenAI-compatible server that keeps chat completions."""

__version__ = "0.1.0"
