"""Measures chatkeep over HTTP, beside references in the same run: `make bench`."""
