"""The product without its surroundings: no web framework, SQL driver, HTTP client or clock."""
