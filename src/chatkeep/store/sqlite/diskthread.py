"""A thread beside the event loop, for what waits for the disk."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple


class _Job(NamedTuple):
    act: Callable[[], object]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[None]"


class DiskThread:
    """Does one thing after the other. A ThreadPoolExecutor takes twice the CPU to hand one over."""

    def __init__(self, name: str) -> None:
        self._jobs = SimpleQueue[_Job | None]()
        # At a process's end nothing waits for it: what was not answered may come to nothing.
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, act: Callable[[], object]) -> "asyncio.Future[None]":
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._jobs.put(_Job(act, loop, done))
        return done

    def end(self) -> None:
        """Waits for what is being done."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            error = _error_of(job.act)
            with suppress(RuntimeError):  # the loop was closed meanwhile
                job.loop.call_soon_threadsafe(_tell, job.done, error)


def _error_of(act: Callable[[], object]) -> BaseException | None:
    try:
        act()
    except BaseException as error:  # noqa: BLE001  # whoever waits for it is told
        return error
    return None


def _tell(done: "asyncio.Future[None]", error: BaseException | None) -> None:
    if done.done():  # whoever waited has gone
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
