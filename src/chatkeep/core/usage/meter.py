"""Calls, tokens, cost and time, summed by the hour (DESIGN.md §4).

Completions that are stored are counted in their own commit. All other calls are summed here and
written once a second: a crash loses at most the last second of them.
"""

import json
import re
from collections.abc import Callable

from chatkeep.core.model.completion import Key
from chatkeep.core.model.usage import HOUR_S, Account, Outcome, Sums
from chatkeep.core.ports.usage import UsageLedger
from chatkeep.core.usage.prices import Prices
from chatkeep.core.wire.answer import scrubbed
from chatkeep.core.wire.usage import NOTHING_SPENT, Spent, spent_by, usage_object
from chatkeep.errors import StoreBusy, StoreFailed

TAIL = 2048  # of an answer's last bytes, where the usage stands
_MOST = 1000  # sums in memory; callers choose the models' names, so there is an end to it
_NAME = 256
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_JSON = json.JSONDecoder()
_OF_RESPONSES = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}


class Meter:
    """Sums up the calls that are not stored."""

    def __init__(
        self, unix: Callable[[], float], monotonic: Callable[[], float], prices: Prices
    ) -> None:
        self._unix = unix
        self.now = monotonic
        self._prices = prices
        self._sums: dict[tuple[object, ...], tuple[Account, Sums]] = {}

    def count(
        self,
        key: Key,
        form: str,
        model: str,
        upstream: str,
        outcome: Outcome,
        started: float,
        tail: bytes = b"",
    ) -> None:
        """One call that ended now; `tail` are the last bytes of its answer."""
        model = scrubbed(model)[:_NAME]
        spent = _spent_in(tail)
        usage = spent.usage
        cost = self._prices.cost_micro(upstream, model, usage, spent.cost_micro)
        duration_ms = round((self.now() - started) * 1000)
        hour = int(self._unix()) // HOUR_S
        of = (key.project.id, hour, form, model, upstream, key.id, outcome)
        found = self._sums.get(of)  # an Account, which takes longer to make
        sums = self._sum(Account(*of)) if found is None else found[1]
        sums.add_call(usage, cost, duration_ms)

    async def flush(self, ledger: UsageLedger) -> None:
        """Writes the sums; what cannot be written now waits for the next time."""
        if not self._sums:
            return
        sums, self._sums = self._sums, {}
        try:
            await ledger.add_usage(list(sums.values()))
        except (StoreBusy, StoreFailed):
            for account, figures in sums.values():
                self._sum(account).add(figures)

    def _sum(self, account: Account) -> Sums:
        if account not in self._sums and len(self._sums) >= _MOST:
            account = account._replace(model="")
        return self._sums.setdefault(account, (account, Sums()))[1]


def _spent_in(tail: bytes) -> Spent:
    """What the last usage in the end of an answer says, of whatever kind."""
    # 1 µs instead of 3 where the usage stands last, as in most answers that are not streamed.
    at = tail.rfind(b'"usage"')
    if at >= 0 and (spent := spent_by(b"{" + tail[at:])) is not None:
        usage = spent.usage  # of a whole answer of the usual kind
        if usage.prompt_tokens is not None and usage.completion_tokens is not None:
            return spent
    return _any_spent_in(tail)


def _any_spent_in(tail: bytes) -> Spent:
    at = len(tail)
    while (at := tail.rfind(b'"usage"', 0, at)) >= 0:
        found = _USAGE.match(tail, at)
        if found is None:
            continue
        try:
            usage, _ = _JSON.raw_decode(tail[found.end() :].decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        of_chat = {_OF_RESPONSES.get(name, name): value for name, value in usage.items()}
        return usage_object(of_chat).spent()
    return NOTHING_SPENT
