"""The client's disconnect, of which whoever works for it at that moment is notified."""

from collections.abc import Callable


class Disconnect:
    """The web layer calls `notify`; the call in progress says what is then to be done."""

    def __init__(self) -> None:
        self.happened = False
        self._callback: Callable[[], object] | None = None

    def set_callback(self, callback: Callable[[], object] | None) -> None:
        """Replaces what is to be done; done at once when the client has disconnected already."""
        self._callback = callback
        if self.happened and callback is not None:
            callback()

    def notify(self) -> None:
        if not self.happened:
            self.happened = True
            # Dropped: the callback knows the call, and the call knows us.
            callback, self._callback = self._callback, None
            if callback is not None:
                callback()
