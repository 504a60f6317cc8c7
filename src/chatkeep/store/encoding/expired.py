"""What is left of a record when its body has expired: figures, and nothing anybody said."""

from chatkeep.core.forms import CHAT
from chatkeep.core.model.completion import Stored
from chatkeep.store.encoding.body import ExpiredBody


def expired_body(item: Stored) -> ExpiredBody:
    return ExpiredBody(*CHAT.expired(item))
