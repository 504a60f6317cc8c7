"""A whole store, as adapters build it and the composition root hands it around."""

from typing import Protocol

from chatkeep.core.ports.accounts import Accounts
from chatkeep.core.ports.claims import Claims
from chatkeep.core.ports.maintenance import Maintenance
from chatkeep.core.ports.records import Records
from chatkeep.core.ports.usage import UsageLedger


class Store(Records, Claims, UsageLedger, Accounts, Maintenance, Protocol):
    """All that is kept. Whoever needs one noun of it takes that port."""
