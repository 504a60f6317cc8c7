"""What a call costs when its upstream does not say: `[[price]]` tables of chatkeep.toml.

Prices are US dollars a million tokens, so price times tokens is the cost in micro-dollars.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec

from chatkeep.core.model.completion import Usage

_REMEMBERED = 1000  # models; callers choose the names, so there is an end to it
Dollars = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[price]]` of chatkeep.toml."""

    model: str
    upstream: str | None = None
    input: Dollars
    output: Dollars
    cached: Dollars | None = None


PRICE_SAYS: dict[str, str] = {
    "model": "Pattern of the models it is for, with * and ?; the first price that fits counts.",
    "upstream": "Name of the only upstream it is for.",
    "input": "US dollars a million prompt tokens.",
    "output": "US dollars a million completion tokens.",
    "cached": "US dollars a million prompt tokens that the upstream had cached; else as input.",
}


class Prices:
    """Finds the price of a model at an upstream."""

    def __init__(self, prices: Sequence[Price]) -> None:
        self._prices = prices
        self._known: dict[tuple[str, str], Price | None] = {}

    def cost_micro(
        self, upstream: str, model: str, usage: Usage, answered: int | None = None
    ) -> int | None:
        """Millionths of a dollar: what the upstream answered that it was, else by the price.

        None without a price or without token counts.
        """
        if answered is not None:
            return answered
        price = self._price(upstream, model) if self._prices else None
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        if price is None or (prompt is None and completion is None):
            return None
        cached = min(usage.cached_tokens or 0, prompt or 0)
        of_cached = price.input if price.cached is None else price.cached
        fresh = (prompt or 0) - cached
        return round(fresh * price.input + cached * of_cached + (completion or 0) * price.output)

    def _price(self, upstream: str, model: str) -> Price | None:
        named = (upstream, model)
        if named not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            fitting = (price for price in self._prices if _fits(price, upstream, model))
            self._known[named] = next(fitting, None)
        return self._known[named]


def _fits(price: Price, upstream: str, model: str) -> bool:
    # Only * and ? mean something: the bracket that fnmatch knows as well stands in real names.
    pattern = price.model.replace("[", "[[]")
    return price.upstream in (None, upstream) and fnmatchcase(model, pattern)
