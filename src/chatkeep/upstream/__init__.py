"""Where calls go: HTTP upstreams, and the built-in model."""
