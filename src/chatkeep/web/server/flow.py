"""Neither side of a connection sends faster than the other one reads."""

import asyncio


class Flow:
    """Of a connection: whether it is read from, and whether it may be written to.

    A client that leaves its answer unread for `unread_s` loses the connection.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, unread_s: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._unread_s = unread_s
        self._unread: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self.reading_paused = self.writing_paused = False

    def pause_reading(self) -> None:
        if not self.reading_paused:
            self.reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.reading_paused:
            self.reading_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self.writing_paused = True
        self._writable.clear()
        self._unread = self._loop.call_later(self._unread_s, self._transport.abort)

    def resume_writing(self) -> None:
        """Also of a lost connection: nobody waits for it any more."""
        if self.writing_paused:
            self.writing_paused = False
            self._writable.set()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    async def drain(self) -> None:
        """Returns when a paused connection may be written to again, or is lost."""
        await self._writable.wait()
