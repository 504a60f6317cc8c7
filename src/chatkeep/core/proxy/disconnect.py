"""The client's leaving, told to whoever works for it at that moment."""

from collections.abc import Callable


class Departure:
    """The web layer calls `happened`; the call in progress says what is then to be done."""

    def __init__(self) -> None:
        self.left = False
        self._act: Callable[[], object] | None = None

    def then(self, act: Callable[[], object] | None) -> None:
        """Replaces what is to be done; done at once when the client has left already."""
        self._act = act
        if self.left and act is not None:
            act()

    def happened(self) -> None:
        if not self.left:
            self.left = True
            act, self._act = self._act, None  # which knows the call, and the call knows us
            if act is not None:
                act()
