"""Streams of chat completions: chunks merged, renamed and put together."""
